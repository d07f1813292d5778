// ConnectionBook: how many connections are open, without holding a descriptor of any.
//
// Once gRPC has a descriptor, nobody says when it is closed. But a socket's inode is its own for as
// long as it lives, so a look with fstat tells whether the number still is that socket. The look is
// taken only when a limit seems reached, and at most once in `kSweepPeriod`. One thread.
#ifndef SWARM_COMMON_GRPC_CONNECTION_BOOK_H_
#define SWARM_COMMON_GRPC_CONNECTION_BOOK_H_

#include <sys/types.h>

#include <cstddef>
#include <map>
#include <string>

#include "absl/time/time.h"

namespace swarm::edge {

class ConnectionBook {
 public:
  static constexpr absl::Duration kSweepPeriod = absl::Milliseconds(200);

  // 0 is no limit.
  ConnectionBook(size_t max_total, size_t max_per_address)
      : max_total_(max_total), max_per_address_(max_per_address) {}

  enum class Verdict { kOk, kFull, kAddressFull };
  // Enters the descriptor when it is OK. `address` without the port; empty counts for no address.
  Verdict Enter(int fd, const std::string& address, absl::Duration now);
  // How many are known; some may have ended since the last sweep.
  size_t size() const { return open_.size(); }

 private:
  struct Entry {
    ino_t inode;
    std::string address;
  };
  Verdict Judge(const std::string& address) const;
  void Sweep();
  void Erase(std::map<int, Entry>::iterator it);

  const size_t max_total_;
  const size_t max_per_address_;
  std::map<int, Entry> open_;
  std::map<std::string, size_t> per_address_;
  bool swept_ = false;
  absl::Duration last_sweep_ = absl::ZeroDuration();
};

}  // namespace swarm::edge

#endif  // SWARM_COMMON_GRPC_CONNECTION_BOOK_H_
