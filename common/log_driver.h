// What becomes of a container's output: a log driver and its options, as docker names them. Pure;
// any thread. The manager refuses by it what no node could do, the nodes do what it says.
//
//   ASSIGN_OR_RETURN(LogDriverConfig config, ParseLogDriver("json-file", {{"max-size", "10m"}}));
//
// Bounded by default: json-file keeps 3 files of 10 MiB, local 5 of 20 MiB, compressed.
#ifndef SWARM_COMMON_LOG_DRIVER_H_
#define SWARM_COMMON_LOG_DRIVER_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace swarm {

inline constexpr int64_t kMinLogFileBytes = 1024;
inline constexpr int64_t kMaxLogFileBytes = int64_t{1} << 40;
inline constexpr int kMaxLogFiles = 100;
// Larger files stay as they are: one is compressed in memory.
inline constexpr int64_t kMaxLogCompressBytes = int64_t{64} << 20;
inline constexpr int64_t kMinLogBufferBytes = int64_t{64} << 10;
inline constexpr int64_t kMaxLogBufferBytes = int64_t{16} << 20;

struct SyslogTarget {
  enum class Transport { kUnix, kUdp, kTcp };
  enum class Format { kPlain, kRfc3164, kRfc5424, kRfc5424Micro };
  Transport transport = Transport::kUnix;
  std::string path = "/dev/log";  // of kUnix
  std::string host;               // a name or an address, without brackets
  uint16_t port = 514;
  int facility = 3;  // daemon
  Format format = Format::kPlain;
};

struct LogDriverConfig {
  enum class Kind { kFiles, kJournald, kSyslog, kNone };
  Kind kind = Kind::kFiles;
  // Of kFiles ("json-file", "local").
  int64_t max_bytes = int64_t{10} << 20;  // of one file
  int max_files = 3;
  bool compress = false;  // all but the newest
  // Of kJournald and kSyslog: lines wait in so many bytes while their daemon is slow. When it takes
  // nothing, the container is held back for a moment, or with `non_blocking` not at all, and then
  // lines are dropped and counted.
  int64_t buffer_bytes = int64_t{1} << 20;
  bool non_blocking = false;
  SyslogTarget syslog;
  std::string tag;                  // a template (ExpandLogTag); empty: {{.ID}}
  std::vector<std::string> labels;  // of the container, that its messages carry
  std::vector<std::string> env;     // likewise variables

  // Whether `service logs` can read it.
  bool readable() const { return kind == Kind::kFiles; }
};

// `name` empty: json-file. InvalidArgument says "name: …" or "options.max-size: …", what was given
// and what there is.
absl::StatusOr<LogDriverConfig> ParseLogDriver(std::string_view name,
                                               const std::map<std::string, std::string>& options);

// What {{.ID}} and the others stand for.
struct LogTagValues {
  std::string full_id;
  std::string name;
  std::string image_name;
  std::string image_id;  // "sha256:…"
};
// InvalidArgument names the template that is not known.
absl::StatusOr<std::string> ExpandLogTag(std::string_view tag, const LogTagValues& values);

}  // namespace swarm

#endif  // SWARM_COMMON_LOG_DRIVER_H_
