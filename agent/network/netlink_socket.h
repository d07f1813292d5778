// NetlinkSocket: requests to the kernel over netlink, and its answers, one at a time (libnl-3).
//
//   NetlinkMessage message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
//   message.Header(ifaddrmsg{…});
//   message.Put(IFA_LOCAL, address.ToBytes());
//   RETURN_IF_ERROR(socket.Send(message));
//
// Blocking for as long as the kernel takes (no network is involved). One thread at a time. A socket
// belongs to the namespace that it was opened in for good.
#ifndef SWARM_AGENT_NETWORK_NETLINK_SOCKET_H_
#define SWARM_AGENT_NETWORK_NETLINK_SOCKET_H_

#include <linux/netlink.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/network/network_namespace.h"

struct nl_msg;
struct nl_sock;
struct nlattr;

namespace swarm::agent {

class NetlinkMessage {
 public:
  NetlinkMessage(int type, int flags);
  ~NetlinkMessage();
  NetlinkMessage(const NetlinkMessage&) = delete;
  NetlinkMessage& operator=(const NetlinkMessage&) = delete;

  // What the kind of message begins with; also inside of an attribute.
  template <typename T>
  void Header(const T& header) {
    Append(&header, sizeof header);
  }
  void Put(int attribute, std::string_view bytes);
  void PutText(int attribute, const std::string& text);  // with its zero
  template <typename T>
  requires std::is_integral_v<T>
  void Put(int attribute, T number) {
    Put(attribute, std::string_view(reinterpret_cast<const char*>(&number), sizeof number));
  }
  // An attribute of attributes: what follows until End.
  nlattr* Begin(int attribute);
  void End(nlattr* attribute);

  nl_msg* get() const { return message_; }

 private:
  void Append(const void* data, size_t size);
  nl_msg* message_;
};

class NetlinkSocket {
 public:
  // `protocol` is NETLINK_ROUTE or NETLINK_NETFILTER.
  static absl::StatusOr<NetlinkSocket> Open(const NetworkNamespace& space, int protocol);

  // Waits for the kernel's yes. Its no is an ErrnoStatus whose `last_errno` is kept, with the
  // kernel's own words when it has some.
  absl::Status Send(const NetlinkMessage& message);
  // Sends it and visits each message of the answer.
  absl::Status Ask(const NetlinkMessage& message, absl::FunctionRef<void(const nlmsghdr*)> visit);
  // Of the last call that failed.
  int last_errno() const { return last_errno_; }

 private:
  struct Close {
    void operator()(nl_sock* socket) const;
  };
  explicit NetlinkSocket(nl_sock* socket) : socket_(socket) {}
  std::unique_ptr<nl_sock, Close> socket_;
  int last_errno_ = 0;
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NETWORK_NETLINK_SOCKET_H_
