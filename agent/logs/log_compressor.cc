#include "agent/logs/log_compressor.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "agent/logs/gzip_file.h"
#include "common/log.h"
#include "common/log_driver.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/unique_fd.h"

namespace swarm::agent {
namespace {

void CompressMarked(const std::vector<std::string>& folders) {
  int64_t left = LogCompressor::kMostBytesPerSweep;
  for (const std::string& folder : folders) {
    if (left <= 0) return;
    if (::access(StrCat(folder, "/", kCompressMark).c_str(), F_OK) != 0) continue;
    const absl::StatusOr<int64_t> done = CompressLogs(folder, left);
    if (done.ok()) {
      left -= *done;
    } else {
      LogWarning("logs", StrCat("compress ", folder, ": ", done.status().message()));
    }
  }
}

}  // namespace

void MarkCompressed(const std::string& folder) {
  const std::string path = StrCat(folder, "/", kCompressMark);
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) LogWarning("logs", ToStd(ErrnoStatus(errno, path).message()));
}

absl::StatusOr<int64_t> CompressLogs(const std::string& folder, int64_t most_bytes) {
  int64_t done = 0;
  // The shim may rename them meanwhile: then one is seen twice, or at the next sweep.
  for (int number = kMaxLogFiles; number >= 1 && done < most_bytes; --number) {
    ASSIGN_OR_RETURN(const int64_t bytes, CompressFile(folder, StrCat("log.", number)));
    done += bytes;
  }
  return done;
}

LogCompressor::LogCompressor(const Env& env, Folders folders)
    : env_(env), folders_(std::move(folders)) {}

LogCompressor::~LogCompressor() {
  *alive_ = false;
  env_.loop.Cancel(timer_);
}

void LogCompressor::Start() {
  timer_ = env_.loop.RunAfter(kPeriod, [this] {
    timer_ = 0;
    Sweep();
  });
}

void LogCompressor::Sweep() {
  auto again = [this, alive = alive_] {
    if (*alive) Start();
  };
  const absl::Status taken = env_.pool.Submit([folders = folders_, &loop = env_.loop, again] {
    CompressMarked(folders());
    loop.Post(again);
  });
  if (!taken.ok()) again();
}

}  // namespace swarm::agent
