// What is wrong with a stack file, collected, so that one message can name it all. One thread.
#ifndef SWARM_CLI_COMPOSE_PROBLEMS_H_
#define SWARM_CLI_COMPOSE_PROBLEMS_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace swarm::cli::compose {

class Problems {
 public:
  // `where` is "web.yml:12", `path` "services.web.imagee".
  void Invalid(std::string_view where, std::string_view path, std::string_view why);
  void NotBuilt(std::string_view where, std::string_view path);
  void Warn(std::string_view where, std::string_view path, std::string_view what);

  // One line: the first invalid thing, else everything that is not built, else OK.
  absl::Status ToStatus(bool not_built_passes) const;
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  std::vector<std::string> invalid_;
  struct Missing {
    std::string where;
    std::string path;
  };
  std::vector<Missing> not_built_;
  std::vector<std::string> warnings_;
};

}  // namespace swarm::cli::compose

#endif  // SWARM_CLI_COMPOSE_PROBLEMS_H_
