#include "agent/network/router_test_world.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/file_system.h"
#include "common/status_macros.h"
#include "common/tls/x25519.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

constexpr int kPatienceMillis = 5000;

struct SocketAddress {
  sockaddr_storage storage = {};
  socklen_t size = 0;
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

SocketAddress ToKernel(const IpAddress& address, int port) {
  SocketAddress out;
  if (address.is_v4()) {
    auto* four = reinterpret_cast<sockaddr_in*>(&out.storage);
    four->sin_family = AF_INET;
    four->sin_port = htons(static_cast<uint16_t>(port));
    std::memcpy(&four->sin_addr, address.bytes.data(), 4);
    out.size = sizeof *four;
  } else {
    auto* six = reinterpret_cast<sockaddr_in6*>(&out.storage);
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(static_cast<uint16_t>(port));
    std::memcpy(&six->sin6_addr, address.bytes.data(), 16);
    out.size = sizeof *six;
  }
  return out;
}

absl::Status Words(int error) {
  return absl::UnavailableError(absl::AsciiStrToLower(strerror(error)));
}

absl::Status Await(const UniqueFd& fd, short events) {
  pollfd poll_fd = {fd.get(), events, 0};
  if (poll(&poll_fd, 1, kPatienceMillis) == 1) return absl::OkStatus();
  return absl::DeadlineExceededError("nothing within five seconds");
}

}  // namespace

RouterTestWorld::RouterTestWorld() : dir_(absl::StrCat("/run/swarm-router-test-", getpid())) {
  wire_ = std::make_unique<NetworkNamespace>(
      NetworkNamespace::Make(absl::StrCat(dir_, "/wire")).value());
  CHECK(Shell(*wire_, "ip link add br0 type bridge && ip link set br0 up").empty());
}

RouterTestWorld::~RouterTestWorld() {
  std::vector<std::string> dirs = {dir_};
  for (auto& [id, node] : nodes_) {
    if (node.router != nullptr) {
      EXPECT_OK(node.router->Remove());
    }
    dirs.push_back(OptionsOf(node).netns_dir);
  }
  for (const std::string& dir : dirs) {
    const auto names = ListDirectory(dir);
    if (!names.ok()) continue;
    for (const std::string& name : *names) {
      NetworkNamespace::Remove(absl::StrCat(dir, "/", name)).IgnoreError();
    }
    EXPECT_OK(RemoveTree(dir));
  }
}

std::string RouterTestWorld::Shell(const NetworkNamespace& space, const std::string& command) {
  std::string out;
  const absl::Status run = space.Run([&] {
    FILE* pipe = popen(absl::StrCat("{ ", command, "\n} 2>&1").c_str(), "re");
    CHECK(pipe != nullptr);
    char buffer[4096];
    for (size_t n; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) out.append(buffer, n);
    if (const int status = pclose(pipe); status != 0) absl::StrAppend(&out, "exit ", status >> 8);
    return absl::OkStatus();
  });
  CHECK(run.ok()) << run.ToString();
  return out;
}

std::unique_ptr<NetworkNamespace> RouterTestWorld::MakeHost(const std::string& name, int number) {
  const std::string path = absl::StrCat(dir_, "/", name);
  auto host = std::make_unique<NetworkNamespace>(NetworkNamespace::Make(path).value());
  const std::string pipe = absl::StrCat("to", number);
  auto kernel = KernelNamespace::Open(*wire_).value();
  EXPECT_OK(kernel.MakeVeth(
      {.name = pipe, .mac = MacAddress::Of(Ip(absl::StrCat("198.51.100.", number)))}, "",
      {.name = "eth0",
       .mac = MacAddress::Of(Ip(absl::StrCat("192.0.2.", number))),
       .space = host->fd()},
      1500));
  EXPECT_OK(KernelNamespace::Open(*host).value().SetUp("eth0"));
  EXPECT_EQ(Shell(*wire_, absl::StrCat("ip link set ", pipe, " master br0")), "");
  EXPECT_EQ(Shell(*host, absl::StrCat("ip link set lo up; ip address add 192.0.2.", number,
                                      "/24 dev eth0; ip address add 2001:db8::", number,
                                      "/64 dev eth0 nodad")),
            "");
  return host;
}

TestNode& RouterTestWorld::AddNode(int number) {
  const std::string id = absl::StrCat("n", number);
  TestNode& node = nodes_[id];
  node.id = id;
  node.underlay = absl::StrCat("192.0.2.", number);
  node.host = MakeHost(id, number);
  if (random_ != nullptr) node.wireguard_private_key = tls::MakeX25519Key(*random_);
  OpenRouter(node);
  return node;
}

RouterOptions RouterTestWorld::OptionsOf(const TestNode& node) const {
  return {.node_id = node.id,
          .underlay = Ip(node.underlay),
          .wireguard_private_key = node.wireguard_private_key,
          .netns_dir = absl::StrCat(dir_, ".", node.id),
          .host_namespace = absl::StrCat(dir_, "/", node.id)};
}

void RouterTestWorld::OpenRouter(TestNode& node) {
  node.attachments.reset();
  node.router.reset();
  auto router = Router::Open(OptionsOf(node));
  ASSERT_OK(router);
  node.router = *std::move(router);
  node.attachments = Attachments::Open(*node.router).value();
}

void RouterTestWorld::AddNetwork(const Network& network) { Put(&state_, network); }

NetworkState RouterTestWorld::StateOf(const TestNode& node) const {
  NetworkState state = state_;
  state.node_id = node.id;
  for (auto& [id, network] : state.networks) {
    const auto address_of = [&network = network](const std::string& node_id) {
      const IpAddress& base = network.subnets.front().prefix.base;
      return network.ingress ? base.Plus(200 + static_cast<uint64_t>(node_id[1] - '0'))
                             : IpAddress();
    };
    network.node_address = address_of(node.id);
    for (const auto& [other_id, other] : nodes_) {
      if (other_id == node.id) continue;
      NetworkPeer peer{id, other_id, Ip(other.underlay), address_of(other_id), ""};
      if (network.encrypted && !other.wireguard_private_key.empty()) {
        peer.wireguard_key = tls::X25519PublicKey(other.wireguard_private_key).value();
      }
      Put(&state, peer);
    }
  }
  return state;
}

void RouterTestWorld::AddContainer(const std::string& task, const std::string& service,
                                   TestNode& node, const std::vector<std::string>& networks) {
  for (const std::string& id : networks) {
    std::vector<std::string> addresses;
    const uint64_t number = 5 + next_address_[id]++;
    for (const Network::Subnet& subnet : state_.networks.at(id).subnets) {
      addresses.push_back(subnet.prefix.base.Plus(number).ToString());
    }
    Put(&state_, MakeTask(id, service, task, node.id, addresses));
  }
  node_of_task_[task] = node.id;
  const auto attachment =
      PlanAttachment(state_, task, networks, !node.wireguard_private_key.empty());
  ASSERT_OK(attachment);
  ASSERT_OK(node.router->Apply(StateOf(node)));
  ASSERT_OK(node.attachments->Attach(*attachment));
}

void RouterTestWorld::Apply() {
  for (auto& [id, node] : nodes_) ASSERT_OK(node.router->Apply(StateOf(node)));
}

NetworkNamespace RouterTestWorld::Space(const std::string& task) {
  return NetworkNamespace::Open(nodes_.at(node_of_task_.at(task)).attachments->PathOf(task))
      .value();
}

absl::StatusOr<UniqueFd> Listen(const NetworkNamespace& space, int port, int type) {
  UniqueFd fd;
  RETURN_IF_ERROR(space.Run([&]() -> absl::Status {
    fd.Reset(socket(AF_INET6, type | SOCK_CLOEXEC, 0));
    const int on = 1, off = 0;
    setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    SocketAddress any = ToKernel(Ip("::"), port);
    if (bind(fd.get(), any.get(), any.size) != 0) return Words(errno);
    if (type == SOCK_STREAM && listen(fd.get(), 128) != 0) return Words(errno);
    return absl::OkStatus();
  }));
  return fd;
}

absl::StatusOr<UniqueFd> Connect(const NetworkNamespace& space, const IpAddress& to, int port,
                                 const IpAddress& from) {
  UniqueFd fd;
  RETURN_IF_ERROR(space.Run([&]() -> absl::Status {
    fd.Reset(
        socket(to.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!from.empty()) {
      SocketAddress own = ToKernel(from, 0);
      if (bind(fd.get(), own.get(), own.size) != 0) return Words(errno);
    }
    return absl::OkStatus();
  }));
  SocketAddress address = ToKernel(to, port);
  if (connect(fd.get(), address.get(), address.size) != 0 && errno != EINPROGRESS) {
    return Words(errno);
  }
  RETURN_IF_ERROR(Await(fd, POLLOUT));
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return Words(error);
  fcntl(fd.get(), F_SETFL, 0);
  return fd;
}

absl::StatusOr<UniqueFd> ConnectUdp(const NetworkNamespace& space, const IpAddress& to, int port,
                                    const IpAddress& from) {
  UniqueFd fd;
  RETURN_IF_ERROR(space.Run([&]() -> absl::Status {
    fd.Reset(socket(to.is_v4() ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    SocketAddress own = ToKernel(from, 0);
    if (!from.empty() && bind(fd.get(), own.get(), own.size) != 0) return Words(errno);
    return absl::OkStatus();
  }));
  SocketAddress address = ToKernel(to, port);
  if (connect(fd.get(), address.get(), address.size) != 0) return Words(errno);
  return fd;
}

absl::StatusOr<IpAddress> AnswerOne(const UniqueFd& server) {
  RETURN_IF_ERROR(Await(server, POLLIN));
  sockaddr_in6 from = {};
  socklen_t size = sizeof from;
  char buffer[1500];
  const ssize_t n =
      recvfrom(server.get(), buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from), &size);
  if (n < 0 || sendto(server.get(), buffer, static_cast<size_t>(n), 0,
                      reinterpret_cast<sockaddr*>(&from), size) != n) {
    return Words(errno);
  }
  return IpAddress::FromBytes({reinterpret_cast<const char*>(&from.sin6_addr), 16}).Unmapped();
}

absl::StatusOr<Accepted> Accept(const UniqueFd& listener) {
  RETURN_IF_ERROR(Await(listener, POLLIN));
  sockaddr_in6 from = {};
  socklen_t size = sizeof from;
  Accepted accepted;
  accepted.fd.Reset(
      accept4(listener.get(), reinterpret_cast<sockaddr*>(&from), &size, SOCK_CLOEXEC));
  if (!accepted.fd.valid()) return Words(errno);
  accepted.from =
      IpAddress::FromBytes({reinterpret_cast<const char*>(&from.sin6_addr), 16}).Unmapped();
  return accepted;
}

absl::Status Exchange(const UniqueFd& one, const UniqueFd& other, size_t size) {
  std::string bytes(size, 'x');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 7 + i / 251);
  return Exchange(one, other, bytes);
}

absl::Status Exchange(const UniqueFd& one, const UniqueFd& other, const std::string& bytes) {
  const size_t size = bytes.size();
  for (const auto& [from, to] : {std::pair(one.get(), other.get()), {other.get(), one.get()}}) {
    std::string got;
    size_t sent = 0;
    while (got.size() < size) {
      pollfd fds[] = {{from, static_cast<short>(sent < size ? POLLOUT : 0), 0}, {to, POLLIN, 0}};
      if (poll(fds, 2, kPatienceMillis) <= 0) {
        return absl::DeadlineExceededError(absl::StrCat("stuck after ", got.size(), " bytes"));
      }
      if ((fds[0].revents & POLLOUT) != 0) {
        const ssize_t n = send(from, bytes.data() + sent, size - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) sent += static_cast<size_t>(n);
      }
      if ((fds[1].revents & POLLIN) == 0) continue;
      char buffer[65536];
      const ssize_t n = recv(to, buffer, sizeof buffer, 0);
      if (n <= 0) return n < 0 ? Words(errno) : absl::UnavailableError("closed");
      got.append(buffer, static_cast<size_t>(n));
    }
    if (got != bytes) return absl::DataLossError("other bytes arrived than were sent");
  }
  return absl::OkStatus();
}

absl::StatusOr<IpAddress> Talk(const NetworkNamespace& space, const IpAddress& to, int port,
                               const UniqueFd& listener, size_t size) {
  ASSIGN_OR_RETURN(const UniqueFd client, Connect(space, to, port));
  ASSIGN_OR_RETURN(const Accepted server, Accept(listener));
  RETURN_IF_ERROR(Exchange(client, server.fd, size));
  return server.from;
}

}  // namespace swarm::agent
