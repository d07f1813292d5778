#include "agent/doctor/echo.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/doctor/echo_message.h"
#include "agent/doctor/echo_socket.h"
#include "agent/network/network_namespace.h"
#include "common/socket_address.h"
#include "common/status_macros.h"
#include "common/unique_fd.h"

namespace swarm::agent {
namespace {

using Family = IpAddress::Family;

constexpr size_t kMostBytes = 65'536;
constexpr int kMostPerWake = 1'000;  // of one socket, before others have their turn
constexpr size_t kBurst = 64;        // sent between two looks at what came back
// Of a whole round, waiting for room to send.
constexpr absl::Duration kMostStalled = absl::Seconds(1);

// One round: its sockets, and what is under way.
class Round {
 public:
  Round(const std::vector<EchoProbe>& probes, const EchoOptions& options, const ProbeEnv& env)
      : probes_(probes),
        options_(options),
        env_(env),
        cookie_(env.random.Next()),
        results_(probes.size()) {}

  std::vector<EchoResult> Run() {
    Open();
    for (int attempt = 0; attempt < options_.attempts; ++attempt) {
      SendAll();
      const bool last = attempt + 1 == options_.attempts;
      Receive(env_.clock.MonotonicNow() + (last ? options_.patience : options_.gap), !last);
    }
    for (EchoResult& result : results_) {
      if (!result.status.ok() || result.sent > 0) continue;
      result.status = absl::ResourceExhaustedError("there is no room in this node to send packets");
    }
    return std::move(results_);
  }

 private:
  using SocketKey = std::pair<std::string, Family>;
  struct Attempt {
    size_t probe = 0;
    absl::Duration sent_at;
  };

  void Open() {
    std::map<std::string, std::vector<size_t>> spaces;
    for (size_t i = 0; i < probes_.size(); ++i) spaces[probes_[i].space].push_back(i);
    for (const auto& [space, members] : spaces) {
      const auto open = [&, this, members = &members] {
        for (const size_t i : *members) results_[i].status = OpenOne(i);
        return absl::OkStatus();
      };
      const absl::Status entered = space.empty() ? open() : EnterAndRun(space, open);
      if (entered.ok()) continue;
      for (const size_t i : members) results_[i].status = entered;
    }
  }

  absl::Status OpenOne(size_t i) {
    const EchoProbe& probe = probes_[i];
    const Family family = probe.to.family;
    UniqueFd& fd = sockets_[{probe.space, family}];
    if (!fd.valid()) {
      ASSIGN_OR_RETURN(fd, OpenEchoSocket(family));
      polled_.push_back({.fd = fd.get(), .events = POLLIN});
      families_.push_back(family);
    }
    results_[i].size = static_cast<int>(SmallestEcho(family));
    if (!probe.full_size) return absl::OkStatus();
    const auto mtu = MtuTowards(probe.from, probe.to);
    if (mtu.ok()) results_[i].size = *mtu;
    // No way there: the small ones tell so in words.
    return absl::OkStatus();
  }

  EchoMark FreshMark() {
    while (true) {
      const uint64_t drawn = env_.random.Next();
      const EchoMark mark{static_cast<uint16_t>(drawn), static_cast<uint16_t>(drawn >> 16)};
      if (!under_way_.contains(mark)) return mark;
    }
  }

  // In an order of its own each time: what is lost because of the packets right before it is not
  // the same one again.
  void SendAll() {
    std::vector<size_t> order(probes_.size());
    std::iota(order.begin(), order.end(), size_t{0});
    for (size_t left = order.size(); left > 1; --left) {
      std::swap(order[left - 1], order[env_.random.Below(left)]);
    }
    size_t sent = 0;
    for (const size_t i : order) {
      Send(i);
      if (++sent % kBurst == 0) ReadAll();
    }
  }

  void Send(size_t i) {
    EchoResult& result = results_[i];
    if (!result.status.ok()) return;
    const EchoProbe& probe = probes_[i];
    const EchoMark mark = FreshMark();
    const std::string request =
        EchoRequest(probe.to.family, mark, cookie_, static_cast<size_t>(result.size));
    const int error =
        SendPatiently(sockets_.at({probe.space, probe.to.family}).get(), probe, request);
    if (IsFull(error)) return;  // it never left: nothing is lost
    ++result.sent;
    if (error == 0) {
      under_way_[mark] = {i, env_.clock.MonotonicNow()};
    } else {
      result.refusal = absl::StrCat("it cannot be sent: ", std::strerror(error));
    }
  }

  static bool IsFull(int error) {
    return error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS;
  }

  // Waits for room, and reads meanwhile. 0, or the error.
  int SendPatiently(int fd, const EchoProbe& probe, const std::string& request) {
    while (!SendFrom(fd, probe, request)) {
      const int error = errno;
      const absl::Duration before = env_.clock.MonotonicNow();
      if (!IsFull(error) || stalled_ >= kMostStalled) return error;
      ReadAll();
      std::vector<pollfd> room = {{.fd = fd, .events = POLLOUT}};
      if (!AwaitReady(env_, &room, before + (kMostStalled - stalled_))) stalled_ = kMostStalled;
      stalled_ += env_.clock.MonotonicNow() - before;
    }
    return 0;
  }

  static bool SendFrom(int fd, const EchoProbe& probe, const std::string& request) {
    SocketAddress to = ToSocketAddress(probe.to, 0);
    iovec piece = {const_cast<char*>(request.data()), request.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(in6_pktinfo))> control = {};
    msghdr header = {};
    header.msg_name = &to.storage;
    header.msg_namelen = to.size;
    header.msg_iov = &piece;
    header.msg_iovlen = 1;
    if (!probe.from.empty()) {
      header.msg_control = control.data();
      header.msg_controllen = FillSource(probe.from, &header);
    }
    return sendmsg(fd, &header, MSG_NOSIGNAL) == static_cast<ssize_t>(request.size());
  }

  // The source's control message; its length.
  static size_t FillSource(const IpAddress& from, msghdr* header) {
    header->msg_controllen = CMSG_SPACE(sizeof(in6_pktinfo));
    cmsghdr* control = CMSG_FIRSTHDR(header);
    if (from.is_v4()) {
      in_pktinfo info = {};
      std::memcpy(&info.ipi_spec_dst, from.bytes.data(), sizeof info.ipi_spec_dst);
      control->cmsg_level = IPPROTO_IP;
      control->cmsg_type = IP_PKTINFO;
      control->cmsg_len = CMSG_LEN(sizeof info);
      std::memcpy(CMSG_DATA(control), &info, sizeof info);
      return CMSG_SPACE(sizeof info);
    }
    in6_pktinfo info = {};
    std::memcpy(&info.ipi6_addr, from.bytes.data(), sizeof info.ipi6_addr);
    control->cmsg_level = IPPROTO_IPV6;
    control->cmsg_type = IPV6_PKTINFO;
    control->cmsg_len = CMSG_LEN(sizeof info);
    std::memcpy(CMSG_DATA(control), &info, sizeof info);
    return CMSG_SPACE(sizeof info);
  }

  // Until all that is under way is answered, or until then. `whole`: until then in any case.
  void Receive(absl::Duration until, bool whole) {
    while ((whole || !under_way_.empty()) && AwaitReady(env_, &polled_, until)) {
      for (size_t i = 0; i < polled_.size(); ++i) {
        if (polled_[i].revents != 0) Read(polled_[i].fd, families_[i]);
      }
    }
  }

  // What is there already.
  void ReadAll() {
    for (size_t i = 0; i < polled_.size(); ++i) Read(polled_[i].fd, families_[i]);
  }

  void Read(int fd, Family family) {
    if (buffer_.empty()) buffer_.resize(kMostBytes);
    for (int i = 0; i < kMostPerWake; ++i) {
      const ssize_t got = recv(fd, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
      if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
      if (got < 0) continue;  // an error that it kept: said once
      const auto answer =
          ParseEchoAnswer(family, absl::string_view(buffer_.data(), static_cast<size_t>(got)));
      if (answer) Take(*answer);
    }
  }

  void Take(const EchoAnswer& answer) {
    const auto found = under_way_.find(answer.mark);
    if (found == under_way_.end()) return;
    EchoResult& result = results_[found->second.probe];
    if (!answer.refusal.empty()) {
      result.refusal = answer.refusal;
    } else if (answer.cookie != cookie_) {
      return;
    } else {
      const absl::Duration took = env_.clock.MonotonicNow() - found->second.sent_at;
      if (result.received++ == 0 || took < result.round_trip) result.round_trip = took;
    }
    under_way_.erase(found);
  }

  const std::vector<EchoProbe>& probes_;
  const EchoOptions options_;
  const ProbeEnv& env_;
  const uint64_t cookie_;
  std::vector<EchoResult> results_;
  std::map<SocketKey, UniqueFd> sockets_;
  std::vector<pollfd> polled_;    // the sockets
  std::vector<Family> families_;  // of each
  std::map<EchoMark, Attempt> under_way_;
  std::string buffer_;
  absl::Duration stalled_;  // so far
};

}  // namespace

std::vector<EchoResult> RunEchoes(const std::vector<EchoProbe>& probes, const EchoOptions& options,
                                  const ProbeEnv& env) {
  return Round(probes, options, env).Run();
}

}  // namespace swarm::agent
