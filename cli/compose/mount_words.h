// The words of mounts, volumes and devices that flags and stack files share. InvalidArgument says
// what may stand there; the caller adds where it stood. Pure; any thread.
#ifndef SWARM_CLI_COMPOSE_MOUNT_WORDS_H_
#define SWARM_CLI_COMPOSE_MOUNT_WORDS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "swarm/v1/types.pb.h"

namespace swarm::cli::compose {

// "rprivate", "shared", …
absl::StatusOr<v1::Mount::Propagation> ParsePropagation(std::string_view word);
// "1777": octal.
absl::StatusOr<uint32_t> ParseOctalMode(std::string_view text);

// As --mount takes it: "type=volume,source=db,target=/data,readonly,volume-opt=type=nfs"; a field
// with a comma in it stands in double quotes.
absl::StatusOr<v1::Mount> ParseMount(std::string_view text);

// "[SOURCE:]TARGET[:MODE]" of a stack file. A source that begins with '/', '.' or '~' is a path, as
// it stands; any other is a volume's name. Words of MODE that mean nothing here (z, cached, …) are
// added to `ignored`.
absl::StatusOr<v1::Mount> ParseShortVolume(std::string_view text,
                                           std::vector<std::string>* ignored);
// "/run" or "/run:size=64m,mode=755,exec"
absl::StatusOr<v1::Mount> ParseTmpfs(std::string_view text);

// "/dev/fuse[:/dev/fuse[:rwm]]"
absl::StatusOr<v1::Device> ParseDevice(std::string_view text);

// "/a//b/../c/" is "/a/c"; "a" below `folder`, an absolute path.
std::string AbsolutePath(std::string_view path, std::string_view folder);
// Without what stands at its end: "/data/" is "/data".
std::string CleanTarget(std::string_view target);

}  // namespace swarm::cli::compose

#endif  // SWARM_CLI_COMPOSE_MOUNT_WORDS_H_
