// What a volume of the driver "local" may be: its name and its options, as Docker's local driver
// takes them.
//
//   {}                                                     a folder on the node
//   {type: nfs, device: ":/export", o: "addr=10.0.0.7,rw"}  mounted on that folder while it is used
//   {type: tmpfs, device: tmpfs, o: "size=64m,uid=1000"}
//   {type: none, device: /srv/data, o: bind}
//   {size: 10G}                                            a folder with a limit (project quota)
#ifndef SWARM_COMMON_LOCAL_VOLUME_H_
#define SWARM_COMMON_LOCAL_VOLUME_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace swarm {

inline constexpr std::string_view kLocalDriver = "local";
inline constexpr size_t kMaxVolumeName = 200;

// Letters, digits, '_', '.' and '-', a letter or digit first. InvalidArgument.
absl::Status CheckVolumeName(std::string_view name);

struct LocalVolume {
  std::string type;        // of mount(2); empty: a folder
  std::string device;      // likewise
  uint64_t flags = 0;      // MS_RDONLY, MS_BIND, …
  std::string data;        // the file system's own options
  int64_t size_bytes = 0;  // 0: no limit

  bool is_mounted() const { return !type.empty(); }
  // The same data whatever the node: a task that uses it need not go back to its node.
  bool is_shared() const { return type == "nfs" || type == "nfs4" || type == "cifs"; }
};

// InvalidArgument begins with the option's name.
absl::StatusOr<LocalVolume> ParseLocalVolume(const std::map<std::string, std::string>& options);

}  // namespace swarm

#endif  // SWARM_COMMON_LOCAL_VOLUME_H_
