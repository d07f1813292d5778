#include "common/grpc/connection_book.h"

#include <sys/stat.h>

namespace swarm::edge {
namespace {

// 0 when the descriptor is closed.
ino_t InodeOf(int fd) {
  struct stat info;
  return fstat(fd, &info) == 0 && S_ISSOCK(info.st_mode) ? info.st_ino : 0;
}

}  // namespace

ConnectionBook::Verdict ConnectionBook::Enter(int fd, const std::string& address,
                                              absl::Duration now) {
  // The number is ours now, so whatever stood under it has ended.
  if (auto old = open_.find(fd); old != open_.end()) Erase(old);
  Verdict verdict = Judge(address);
  if (verdict != Verdict::kOk && (!swept_ || now - last_sweep_ >= kSweepPeriod)) {
    swept_ = true;
    last_sweep_ = now;
    Sweep();
    verdict = Judge(address);
  }
  if (verdict == Verdict::kOk) {
    open_[fd] = {InodeOf(fd), address};
    if (!address.empty()) ++per_address_[address];
  }
  return verdict;
}

ConnectionBook::Verdict ConnectionBook::Judge(const std::string& address) const {
  if (max_total_ != 0 && open_.size() >= max_total_) return Verdict::kFull;
  if (max_per_address_ == 0 || address.empty()) return Verdict::kOk;
  auto it = per_address_.find(address);
  return it != per_address_.end() && it->second >= max_per_address_ ? Verdict::kAddressFull
                                                                    : Verdict::kOk;
}

void ConnectionBook::Sweep() {
  for (auto it = open_.begin(); it != open_.end();) {
    auto next = std::next(it);
    if (InodeOf(it->first) != it->second.inode) Erase(it);
    it = next;
  }
}

void ConnectionBook::Erase(std::map<int, Entry>::iterator it) {
  if (auto count = per_address_.find(it->second.address);
      count != per_address_.end() && --count->second == 0) {
    per_address_.erase(count);
  }
  open_.erase(it);
}

}  // namespace swarm::edge
