// LogCompressor: makes rotated log files smaller, of the containers whose log driver says so
// (`compress`). Such a container's log folder holds an empty file "compress".
//
// Loop thread only; the work is done on the pool, one folder after the other: at most
// kMostBytesPerSweep of logs each kPeriod, so that a container that floods costs a bounded share of
// a processor. What is not compressed in time rotates away as it is.
#ifndef SWARM_AGENT_LOGS_LOG_COMPRESSOR_H_
#define SWARM_AGENT_LOGS_LOG_COMPRESSOR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/env.h"

namespace swarm::agent {

inline constexpr char kCompressMark[] = "compress";
// Best effort: without it the container's logs stay as they are.
void MarkCompressed(const std::string& folder);

// The folder's rotated files, the oldest first, at most so many bytes. Blocking. Returns the bytes
// that were compressed.
absl::StatusOr<int64_t> CompressLogs(const std::string& folder, int64_t most_bytes);

class LogCompressor {
 public:
  static constexpr absl::Duration kPeriod = absl::Seconds(30);
  static constexpr int64_t kMostBytesPerSweep = int64_t{256} << 20;

  // `folders` gives all log folders; it is called on the pool.
  using Folders = std::function<std::vector<std::string>()>;
  LogCompressor(const Env& env, Folders folders);
  ~LogCompressor();

  void Start();

 private:
  void Sweep();

  const Env env_;
  const Folders folders_;
  TimerId timer_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_LOGS_LOG_COMPRESSOR_H_
