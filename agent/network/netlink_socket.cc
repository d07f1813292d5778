#include "agent/network/netlink_socket.h"

#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"

namespace swarm::agent {
namespace {

constexpr size_t kLargestMessage = 16384;
constexpr int kReceiveBuffer = 1 << 20;

// What the kernel says beside the number (NETLINK_EXT_ACK).
std::string KernelWords(const nlmsghdr* header, const nlmsgerr* error) {
  if ((header->nlmsg_flags & NLM_F_ACK_TLVS) == 0) return "netlink";
  size_t skip = sizeof *error;
  if ((header->nlmsg_flags & NLM_F_CAPPED) == 0) skip += error->msg.nlmsg_len - sizeof(nlmsghdr);
  const char* begin = reinterpret_cast<const char*>(error) + NLMSG_ALIGN(skip);
  const char* end = reinterpret_cast<const char*>(header) + header->nlmsg_len;
  if (begin >= end) return "netlink";
  const nlattr* words = nla_find(reinterpret_cast<const nlattr*>(begin),
                                 static_cast<int>(end - begin), NLMSGERR_ATTR_MSG);
  return words == nullptr ? "netlink" : nla_get_string(const_cast<nlattr*>(words));
}

}  // namespace

NetlinkMessage::NetlinkMessage(int type, int flags) : message_(nlmsg_alloc_size(kLargestMessage)) {
  CHECK(message_ != nullptr);
  const bool fits =
      nlmsg_put(message_, NL_AUTO_PORT, NL_AUTO_SEQ, type, 0, flags | NLM_F_REQUEST) != nullptr;
  CHECK(fits);
}

NetlinkMessage::~NetlinkMessage() { nlmsg_free(message_); }

void NetlinkMessage::Append(const void* data, size_t size) {
  const int error = nlmsg_append(message_, const_cast<void*>(data), size, NLMSG_ALIGNTO);
  CHECK(error == 0) << "netlink message too large";
}

void NetlinkMessage::Put(int attribute, std::string_view bytes) {
  const int error = nla_put(message_, attribute, static_cast<int>(bytes.size()), bytes.data());
  CHECK(error == 0) << "netlink message too large";
}

void NetlinkMessage::PutText(int attribute, const std::string& text) {
  Put(attribute, std::string_view(text.c_str(), text.size() + 1));
}

nlattr* NetlinkMessage::Begin(int attribute) {
  nlattr* nest = nla_nest_start(message_, attribute);
  CHECK(nest != nullptr) << "netlink message too large";
  return nest;
}

void NetlinkMessage::End(nlattr* attribute) { nla_nest_end(message_, attribute); }

void NetlinkSocket::Close::operator()(nl_sock* socket) const { nl_socket_free(socket); }

absl::StatusOr<NetlinkSocket> NetlinkSocket::Open(const NetworkNamespace& space, int protocol) {
  NetlinkSocket socket(nl_socket_alloc());
  CHECK(socket.socket_ != nullptr);
  RETURN_IF_ERROR(space.Run([&]() -> absl::Status {
    if (const int error = nl_connect(socket.socket_.get(), protocol); error < 0) {
      return absl::InternalError(absl::StrCat("open netlink: ", nl_geterror(error)));
    }
    return absl::OkStatus();
  }));
  nl_socket_disable_auto_ack(socket.socket_.get());
  const int on = 1;
  setsockopt(nl_socket_get_fd(socket.socket_.get()), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  nl_socket_set_buffer_size(socket.socket_.get(), kReceiveBuffer, 0);
  nl_socket_set_msg_buf_size(socket.socket_.get(), 1 << 16);
  return socket;
}

absl::Status NetlinkSocket::Send(const NetlinkMessage& message) {
  nlmsg_hdr(message.get())->nlmsg_flags |= NLM_F_ACK;
  return Ask(message, [](const nlmsghdr*) {});
}

absl::Status NetlinkSocket::Ask(const NetlinkMessage& message,
                                absl::FunctionRef<void(const nlmsghdr*)> visit) {
  nlmsghdr* request = nlmsg_hdr(message.get());
  const bool dump = (request->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
  const bool ack = (request->nlmsg_flags & NLM_F_ACK) != 0;
  if (const int sent = nl_send_auto(socket_.get(), message.get()); sent < 0) {
    last_errno_ = EIO;
    return absl::InternalError(absl::StrCat("netlink: ", nl_geterror(sent)));
  }
  for (;;) {
    sockaddr_nl from = {};
    unsigned char* buffer = nullptr;
    int size = nl_recv(socket_.get(), &from, &buffer, nullptr);
    const std::unique_ptr<unsigned char, decltype(&free)> owner(size > 0 ? buffer : nullptr, &free);
    if (size <= 0) {
      last_errno_ = EIO;
      return absl::InternalError(
          absl::StrCat("netlink: ", size == 0 ? "no answer" : nl_geterror(size)));
    }
    for (auto* header = reinterpret_cast<nlmsghdr*>(buffer); nlmsg_ok(header, size);
         header = nlmsg_next(header, &size)) {
      if (header->nlmsg_seq != request->nlmsg_seq) continue;  // of a request that was given up
      if (header->nlmsg_type == NLMSG_DONE) return absl::OkStatus();
      if (header->nlmsg_type == NLMSG_ERROR) {
        const auto* error = static_cast<const nlmsgerr*>(nlmsg_data(header));
        if (error->error == 0) return absl::OkStatus();
        last_errno_ = -error->error;
        return ErrnoStatus(last_errno_, KernelWords(header, error));
      }
      visit(header);
      if (!dump && !ack) return absl::OkStatus();
    }
  }
}

}  // namespace swarm::agent
