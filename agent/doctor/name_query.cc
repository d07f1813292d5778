#include "agent/doctor/name_query.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "agent/dns/message.h"
#include "agent/network/network_namespace.h"
#include "common/socket_address.h"
#include "common/status_macros.h"
#include "common/unique_fd.h"

namespace swarm::agent {
namespace {

constexpr int kAttempts = 2;
constexpr int kMostPerWake = 1'000;  // of one socket, before others have their turn
constexpr size_t kLongestLabel = 63;
// In a record: class and type before the TTL, its length behind.
constexpr size_t kTtlAndLength = 6;

void AppendShort(std::string* out, uint16_t value) {
  out->push_back(static_cast<char>(value >> 8));
  out->push_back(static_cast<char>(value & 0xff));
}

DnsQuery QueryOf(const DnsQuestion& question) {
  DnsQuery query;
  query.recursion_desired = true;
  query.edns = true;
  query.question = question;
  for (const absl::string_view label : absl::StrSplit(question.name, '.')) {
    query.question_wire.push_back(static_cast<char>(std::min(label.size(), kLongestLabel)));
    query.question_wire.append(label.data(), std::min(label.size(), kLongestLabel));
  }
  query.question_wire.push_back('\0');
  AppendShort(&query.question_wire, question.type);
  AppendShort(&query.question_wire, 1);  // class IN
  return query;
}

std::set<IpAddress> AddressesIn(const DnsResponse& response) {
  std::set<IpAddress> addresses;
  for (const DnsResponse::Record& record : response.records) {
    if (record.section != DnsResponse::Section::kAnswer) continue;
    if (record.type != dns_type::kA && record.type != dns_type::kAaaa) continue;
    const size_t begin = record.ttl_at + kTtlAndLength;
    if (begin > record.end) continue;
    const IpAddress address =
        IpAddress::FromBytes({response.wire.data() + begin, record.end - begin});
    if (!address.empty()) addresses.insert(address);
  }
  return addresses;
}

class Round {
 public:
  Round(const std::vector<NameProbe>& probes, const NameOptions& options, const ProbeEnv& env)
      : probes_(probes), options_(options), env_(env), results_(probes.size()) {
    for (const NameProbe& probe : probes) queries_.push_back(QueryOf(probe.question));
  }

  std::vector<NameResult> Run() {
    Open();
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      for (size_t i = 0; i < probes_.size(); ++i) Ask(i);
      Receive(env_.clock.MonotonicNow() + options_.patience);
    }
    return std::move(results_);
  }

 private:
  void Open() {
    std::map<std::string, std::vector<size_t>> spaces;
    for (size_t i = 0; i < probes_.size(); ++i) spaces[probes_[i].space].push_back(i);
    for (const auto& [space, members] : spaces) {
      UniqueFd fd;
      const absl::Status opened = EnterAndRun(space, [&, this] { return Connect(&fd); });
      for (const size_t i : members) results_[i].status = opened;
      if (!opened.ok()) continue;
      polled_.push_back({.fd = fd.get(), .events = POLLIN});
      sockets_[space] = std::move(fd);
    }
  }

  absl::Status Connect(UniqueFd* fd) const {
    IpAddress server = options_.server;
    if (server.empty()) server = IpAddress::FromBytes({"\x7f\x00\x00\x0b", 4});
    const SocketAddress to = ToSocketAddress(server, options_.port);
    fd->Reset(socket(to.get()->sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd->valid()) return ErrnoStatus(errno, "socket");
    if (connect(fd->get(), to.get(), to.size) == 0) return absl::OkStatus();
    return ErrnoStatus(errno, "the way to the resolver");
  }

  void Ask(size_t i) {
    if (!results_[i].status.ok() || results_[i].answered) return;
    uint16_t id = 0;
    do id = static_cast<uint16_t>(env_.random.Next());
    while (asked_.contains(id));
    asked_[id] = i;
    const std::string wire = BuildUpstreamQuery(queries_[i], id);
    // One that is refused at once (nobody listens) is as good as lost.
    (void)send(sockets_.at(probes_[i].space).get(), wire.data(), wire.size(), MSG_NOSIGNAL);
  }

  bool AllAnswered() const {
    return std::all_of(results_.begin(), results_.end(), [](const NameResult& result) {
      return result.answered || !result.status.ok();
    });
  }

  void Receive(absl::Duration until) {
    while (!AllAnswered() && AwaitReady(env_, &polled_, until)) {
      for (const pollfd& polled : polled_) {
        if (polled.revents != 0) Read(polled.fd);
      }
    }
  }

  void Read(int fd) {
    std::string bytes(kMaxTcpMessage, '\0');
    for (int i = 0; i < kMostPerWake; ++i) {
      const ssize_t got = recv(fd, bytes.data(), bytes.size(), MSG_DONTWAIT);
      if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
      if (got >= 2) Take(bytes.substr(0, static_cast<size_t>(got)));
    }
  }

  void Take(std::string bytes) {
    const auto id =
        static_cast<uint16_t>(static_cast<uint8_t>(bytes[0]) << 8 | static_cast<uint8_t>(bytes[1]));
    const auto found = asked_.find(id);
    if (found == asked_.end()) return;
    NameResult& result = results_[found->second];
    const auto response = ParseResponse(std::move(bytes), queries_[found->second]);
    if (!response.ok()) return;
    result.answered = true;
    result.code = response->code;
    result.cut = response->truncated;
    result.addresses = AddressesIn(*response);
  }

  const std::vector<NameProbe>& probes_;
  const NameOptions options_;
  const ProbeEnv& env_;
  std::vector<DnsQuery> queries_;
  std::vector<NameResult> results_;
  std::map<std::string, UniqueFd> sockets_;  // by namespace
  std::vector<pollfd> polled_;
  std::map<uint16_t, size_t> asked_;  // by the message's id
};

}  // namespace

std::vector<NameResult> AskNames(const std::vector<NameProbe>& probes, const NameOptions& options,
                                 const ProbeEnv& env) {
  return Round(probes, options, env).Run();
}

DnsQuestion QuestionFor(const std::string& name, uint16_t type) {
  DnsQuestion question;
  question.name = absl::AsciiStrToLower(name);
  question.labels =
      1 + static_cast<int>(std::count(question.name.begin(), question.name.end(), '.'));
  question.type = type;
  return question;
}

}  // namespace swarm::agent
