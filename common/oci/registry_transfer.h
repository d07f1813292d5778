// One HTTP GET at a time by libcurl, told in plain values; the policy on top is registry.cc's.
#ifndef SWARM_COMMON_OCI_REGISTRY_TRANSFER_H_
#define SWARM_COMMON_OCI_REGISTRY_TRANSFER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "common/mutex.h"

namespace swarm::oci {

struct TransferRequest {
  std::string url;      // http:// or https://; redirects stay in its scheme, at most five
  std::string accept;   // the Accept header; empty: none
  int64_t offset = 0;   // asks for the bytes from here on
  bool direct = false;  // never by a proxy of the environment
};

struct TransferResult {
  enum class Outcome {
    kAnswered,   // a whole response, whatever its status
    kNoConnect,  // refused, no route, no such host, timed out
    kTls,        // no trust, or no TLS on the other side
    kLost,       // the connection broke or stalled on the way: another try may go on
    kRefused,    // we stopped it: too many redirects, another scheme, too much
    kStopped,    // the body callback said stop, or it was cancelled
  };
  Outcome outcome = Outcome::kLost;
  int64_t http_status = 0;
  std::string content_type;  // lower case, without parameters
  absl::Duration retry_after = absl::ZeroDuration();
  std::string reason;  // one line, unless kAnswered
};

// A piece of a 2xx body. `start` is the position of the whole response's first byte in the blob: 0
// when the server ignored the offset. False stops.
using TransferBody = std::function<bool(int64_t start, std::string_view bytes)>;

// Keeps connections open between calls, one per call that runs at the same time. Any thread.
class Transfers {
 public:
  struct Options {
    std::string ca_file;
    absl::Duration connect_timeout;
    absl::Duration stall_timeout;
  };
  explicit Transfers(Options options);
  ~Transfers();

  TransferResult Get(const TransferRequest& request, const TransferBody& body,
                     const std::atomic<bool>& cancelled);

 private:
  struct Handle;
  std::unique_ptr<Handle> Take();
  void GiveBack(std::unique_ptr<Handle> handle);

  const Options options_;
  Mutex mu_;
  std::vector<std::unique_ptr<Handle>> idle_ ABSL_GUARDED_BY(mu_);  // at most kMaxIdle
};

}  // namespace swarm::oci

#endif  // SWARM_COMMON_OCI_REGISTRY_TRANSFER_H_
