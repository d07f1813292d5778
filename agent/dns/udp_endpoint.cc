#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "agent/dns/endpoints.h"

namespace swarm::agent {
namespace {

// Datagrams that one wake reads, before other sockets have their turn.
constexpr size_t kBatch = 32;

struct Batch {
  std::array<mmsghdr, kBatch> headers;
  std::array<iovec, kBatch> pieces;
  std::array<sockaddr_in, kBatch> from;
  std::array<std::array<char, UdpEndpoint::kMaxQuery>, kBatch> bytes;

  int Receive(int fd) {
    for (size_t i = 0; i < kBatch; ++i) {
      pieces[i] = {bytes[i].data(), bytes[i].size()};
      headers[i] = {};
      headers[i].msg_hdr.msg_name = &from[i];
      headers[i].msg_hdr.msg_namelen = sizeof from[i];
      headers[i].msg_hdr.msg_iov = &pieces[i];
      headers[i].msg_hdr.msg_iovlen = 1;
    }
    return recvmmsg(fd, headers.data(), kBatch, MSG_DONTWAIT, nullptr);
  }
};

// Answers that are ready when the batch is through, sent together.
struct Answers {
  std::vector<std::pair<std::string, sockaddr_in>> ready;

  void Send(int fd) {
    std::array<mmsghdr, kBatch> headers = {};
    std::array<iovec, kBatch> pieces;
    for (size_t i = 0; i < ready.size(); ++i) {
      auto& [wire, to] = ready[i];
      pieces[i] = {wire.data(), wire.size()};
      headers[i].msg_hdr.msg_name = &to;
      headers[i].msg_hdr.msg_namelen = sizeof to;
      headers[i].msg_hdr.msg_iov = &pieces[i];
      headers[i].msg_hdr.msg_iovlen = 1;
    }
    // An answer that does not go out is a lost datagram: the client asks again.
    for (size_t at = 0; at < ready.size();) {
      const int sent = sendmmsg(fd, &headers[at], static_cast<unsigned>(ready.size() - at),
                                MSG_DONTWAIT | MSG_NOSIGNAL);
      at += sent > 0 ? static_cast<size_t>(sent) : 1;
    }
  }
};

}  // namespace

UdpEndpoint::~UdpEndpoint() { loop_.Unwatch(watch_); }

void UdpEndpoint::Start() {
  if (watch_ == 0) Watch();
}

void UdpEndpoint::Watch() {
  watch_ = loop_.WatchReadable(fd_.get(), [this] { OnReadable(); });
}

void UdpEndpoint::OnReadable() {
  static thread_local std::unique_ptr<Batch> batch = std::make_unique<Batch>();
  const int count = batch->Receive(fd_.get());
  auto answers = std::make_shared<Answers>();
  for (int i = 0; i < count; ++i) {
    const mmsghdr& header = batch->headers[static_cast<size_t>(i)];
    const sockaddr_in from = batch->from[static_cast<size_t>(i)];
    const absl::string_view query(batch->bytes[static_cast<size_t>(i)].data(), header.msg_len);
    // Within this batch into its pile, later by itself.
    handler_(query, [from, pile = std::weak_ptr<Answers>(answers),
                     endpoint = weak_from_this()](std::string answer) {
      if (answer.empty()) return;
      if (const auto ready = pile.lock()) {
        ready->ready.emplace_back(std::move(answer), from);
      } else if (const auto self = endpoint.lock()) {
        sendto(self->fd_.get(), answer.data(), answer.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
               reinterpret_cast<const sockaddr*>(&from), sizeof from);
      }
    });
  }
  answers->Send(fd_.get());
  Watch();
}

}  // namespace swarm::agent
