// How people write which secrets and configs a service mounts, in flags and in stack files. Pure.
#ifndef SWARM_CLI_COMPOSE_FILE_WORDS_H_
#define SWARM_CLI_COMPOSE_FILE_WORDS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "swarm/v1/types.pb.h"

namespace swarm::cli::compose {

// A reference as words; what is not said is empty.
struct FileWords {
  std::string source;
  std::string target;
  std::string uid;
  std::string gid;
  std::string mode;
};

// "db_password", or "source=db_password,target=/etc/pw,uid=1000,gid=1000,mode=0400" in any order.
// InvalidArgument says what would do.
absl::StatusOr<FileWords> ParseFileWords(const std::string& text);

// Permission bits: 0400 and 0o400 count by eight, 256 by ten, as Docker and YAML do.
absl::StatusOr<uint32_t> ParsePermissions(const std::string& text);

absl::StatusOr<v1::FileTarget> MakeFileTarget(const FileWords& words);

}  // namespace swarm::cli::compose

#endif  // SWARM_CLI_COMPOSE_FILE_WORDS_H_
