// What a stack file says of secrets and configs: those of its own with what they hold, and which a
// service mounts. One thread; what is given outlives it.
#ifndef SWARM_CLI_COMPOSE_FILE_READER_H_
#define SWARM_CLI_COMPOSE_FILE_READER_H_

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "cli/compose/fields.h"
#include "cli/compose/problems.h"
#include "cli/compose/stack.h"

namespace swarm::cli::compose {

// Reads services first, then Finish.
class FileReader {
 public:
  // `root` is the whole file, merged. Without `read_contents` nothing is opened or looked up.
  FileReader(const Value& root, const std::vector<SourceFile>& files, const StackOptions& options,
             bool read_contents, Problems& problems)
      : root_(root),
        files_(files),
        options_(options),
        read_contents_(read_contents),
        problems_(problems) {}

  // `secrets` and `configs` of a service.
  void ReadMounts(const Fields& service, v1::ContainerSpec& container);
  // Checks every secret and config of the file; those that a service mounts go to the stack.
  void Finish(Stack& stack);

 private:
  struct Kind {
    std::string_view section;  // "secrets"
    std::set<std::string>& used;
  };
  template <typename Add>
  void ReadReferences(const Kind& kind, const Fields& service, Add add);
  const Value* Declared(std::string_view section, std::string_view key) const;
  std::string NameOf(std::string_view section, const std::string& key) const;
  void FinishKind(const Kind& kind, std::vector<StackContent>& out);
  StackContent ReadContent(std::string_view section, const Entry& entry);
  void ReadData(const Fields& fields, bool is_config, StackContent& content);

  const Value& root_;
  const std::vector<SourceFile>& files_;
  const StackOptions& options_;
  const bool read_contents_;
  Problems& problems_;
  std::set<std::string> used_secrets_;  // keys
  std::set<std::string> used_configs_;
};

}  // namespace swarm::cli::compose

#endif  // SWARM_CLI_COMPOSE_FILE_READER_H_
