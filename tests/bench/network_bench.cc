// What the router costs: containers on one node and across nodes, with the kernel's plain way
// beside them in the same run. Prints one JSON object a line, as bench.py does.
//
//   network_bench net-node|net-overlay|vip|attach|net-churn [RUNS]
//
// Hosts are network namespaces on one machine, so both ends and the wire share its processors: the
// ratio counts.
#include <sys/socket.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agent/network/nft_context.h"
#include "agent/network/router_plan.h"
#include "agent/network/router_test_world.h"
#include "common/check.h"

namespace swarm::agent {
namespace {

constexpr char kSeconds[] = "3";

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double Late(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() * 95 / 100];
}

class NetworkBench : public RouterTestWorld {
 public:
  explicit NetworkBench(int runs) : runs_(runs) {
    AddNetwork(MakeNetwork("front", 4097, {"10.0.1.0/24"}));
    AddNode(1);
    AddNode(2);
  }
  void TestBody() override {}

  // Between two containers of one node; a pair of veth links through a bridge beside it.
  void NetNode() {
    AddContainer("a", "web", nodes_.at("n1"), {"front"});
    AddContainer("b", "web", nodes_.at("n1"), {"front"});
    Apply();
    const auto one = MakeHost("plain1", 11);
    const auto other = MakeHost("plain2", 12);
    Compare(
        "net-node", [&] { return Gbits(Space("a"), Space("b"), Task("front", "b").v4); },
        [&] { return Gbits(*one, *other, Ip("192.0.2.12")); });
  }

  // Between containers of two nodes; beside it a VXLAN that ends in the hosts themselves, and one
  // as bridging network drivers build it.
  void NetOverlay() {
    AddContainer("a", "web", nodes_.at("n1"), {"front"});
    AddContainer("b", "web", nodes_.at("n2"), {"front"});
    Apply();
    for (const int number : {1, 2}) {
      const std::string done = Shell(
          *nodes_.at(absl::StrCat("n", number)).host,
          absl::StrCat("ip link add plain type vxlan id 99 dstport 4789 remote 192.0.2.",
                       3 - number, " local 192.0.2.", number,
                       "; ip link set plain up; ip address add 10.9.9.", number, "/24 dev plain"));
      CHECK(done.empty()) << done;
    }
    const auto one = MakeBridged(1);
    const auto other = MakeBridged(2);
    Compare(
        "net-overlay", [&] { return Gbits(Space("a"), Space("b"), Task("front", "b").v4); },
        [&] { return Gbits(*nodes_.at("n1").host, *nodes_.at("n2").host, Ip("10.9.9.2")); },
        [&] { return Gbits(*one, *other, Ip("10.8.8.2")); });
  }

  // One more connection through a virtual address; to the task's own address beside it.
  void Vip() {
    AddContainer("a", "client", nodes_.at("n1"), {"front"});
    AddContainer("b", "web", nodes_.at("n1"), {"front"});
    Put(&state_,
        NetworkService{.network_id = "front", .service_id = "web", .vip4 = Ip("10.0.1.200")});
    Apply();
    const UniqueFd listener = Listen(Space("b"), 80).value();
    const NetworkNamespace client = Space("a");
    std::vector<double> direct, vip;
    for (int i = 0; i < 2000 * runs_; ++i) {
      direct.push_back(ConnectMicros(client, Task("front", "b").v4, listener));
      vip.push_back(ConnectMicros(client, Ip("10.0.1.200"), listener));
    }
    Say({{"bench", "vip"},
         {"direct_us_p50", Median(direct)},
         {"vip_us_p50", Median(vip)},
         {"ratio", Median(vip) / Median(direct)}});
  }

  // What a place in a network adds to a container's start: its namespace with a link, addresses,
  // routes and the router's end. Beside it the same by a bridge: the standard CNI plugins, which
  // are programs, and `ip` from one shell.
  void Attach() {
    Apply();
    const auto plain = MakeHost("plain1", 11);
    const std::string made = Shell(*plain,
                                   "ip link add cni0 type bridge && ip link set cni0 up &&"
                                   " ip address add 10.8.0.1/16 dev cni0");
    CHECK(made.empty()) << made;
    std::vector<double> ours, cni, by_hand;
    for (int i = 0; i < 20 * runs_; ++i) {
      ours.push_back(AttachMillis(i));
      cni.push_back(BridgeMillis(*plain, CniScript(i)));
      by_hand.push_back(BridgeMillis(*plain, IpScript(i)));
    }
    Say({{"bench", "attach"},
         {"ours_ms_p50", Median(ours)},
         {"ours_ms_p95", Late(ours)},
         {"cni_bridge_ms_p50", Median(cni)},
         {"ip_bridge_ms_p50", Median(by_hand)},
         {"ratio_cni", Median(cni) / Median(ours)}});
  }

  // One task leaves its service, among so many services: until the kernel holds it. Beside it the
  // whole table anew, as tools do that do not keep what they said last. And one more connection
  // through a virtual address among so many others.
  void NetChurn() {
    AddNetwork(MakeNetwork("big", 4100, {"10.64.0.0/12"}));
    AddContainer("a", "client", nodes_.at("n1"), {"front"});
    AddContainer("b", "web", nodes_.at("n1"), {"front"});
    Put(&state_,
        NetworkService{.network_id = "front", .service_id = "web", .vip4 = Ip("10.0.1.200")});
    const UniqueFd listener = Listen(Space("b"), 80).value();
    const NetworkNamespace client = Space("a");
    const auto plain = MakeHost("plain1", 11);
    const std::vector<int> sizes = {10, 100, 1000};
    std::map<int, std::vector<double>> change, anew, connect;
    for (int run = 0; run < runs_; ++run) {
      for (const int services : sizes) {
        HaveServices(services);
        const NetworkState state = StateOf(nodes_.at("n1"));
        CHECK(nodes_.at("n1").router->Apply(state).ok());
        for (int i = 0; i < 50; ++i) change[services].push_back(ChangeMillis(state, i % services));
        anew[services].push_back(WholeTableMillis(*plain, state));
        for (int i = 0; i < 2000; ++i) {
          connect[services].push_back(ConnectMicros(client, Ip("10.0.1.200"), listener));
        }
      }
    }
    for (const int services : sizes) {
      Say({{"bench", "net-churn"},
           {"services", services},
           {"change_ms_p50", Median(change[services])},
           {"change_ms_p95", Late(change[services])},
           {"whole_table_ms_p50", Median(anew[services])},
           {"vip_connect_us_p50", Median(connect[services])}});
    }
  }

 private:
  static constexpr int kTasksOfService = 5;

  // Milliseconds that `work` takes.
  static double Millis(const std::function<void()>& work) {
    const absl::Time before = absl::Now();
    work();
    return absl::ToDoubleMilliseconds(absl::Now() - before);
  }

  double AttachMillis(int number) {
    const std::string id = absl::StrCat("t", number);
    Put(&state_, MakeTask("front", "web", id, "n1",
                          {Ip("10.0.1.5").Plus(static_cast<uint64_t>(number)).ToString()}));
    const Attachment attachment = PlanAttachment(state_, id, {"front"}).value();
    Attachments& attachments = *nodes_.at("n1").attachments;
    const double millis = Millis([&] { CHECK(attachments.Attach(attachment).ok()); });
    CHECK(attachments.Detach(id).ok());
    return millis;
  }

  static double BridgeMillis(const NetworkNamespace& host, const std::string& script) {
    std::string out;
    const double millis = Millis([&] { out = Shell(host, script); });
    Shell(host, "ip netns delete network_bench");
    CHECK(!absl::StrContains(out, "exit ")) << out;
    return millis;
  }

  static std::string CniScript(int number) {
    return absl::StrCat(
        "ip netns add network_bench && echo '{\"cniVersion\": \"0.4.0\", \"name\": \"bench\","
        " \"type\": \"bridge\", \"bridge\": \"cni0\", \"ipam\": {\"type\": \"static\","
        " \"addresses\": [{\"address\": \"10.8.1.",
        number % 250 + 2,
        "/16\", \"gateway\": \"10.8.0.1\"}], \"routes\": [{\"dst\": \"0.0.0.0/0\"}]}}' |"
        " CNI_COMMAND=ADD CNI_CONTAINERID=bench CNI_NETNS=/run/netns/network_bench CNI_IFNAME=eth0"
        " CNI_PATH=/usr/lib/cni /usr/lib/cni/bridge");
  }

  // The link of the one before may be there yet: the kernel takes a namespace down behind our back.
  static std::string IpScript(int number) {
    const std::string link = absl::StrCat("bench", number);
    return absl::StrCat("ip netns add network_bench && ip link add ", link,
                        " type veth peer name eth0 netns network_bench && ip link set ", link,
                        " master cni0 up && ip -n network_bench link set lo up &&"
                        " ip -n network_bench link set eth0 up &&"
                        " ip -n network_bench address add 10.8.1.",
                        number % 250 + 2,
                        "/16 dev eth0 && ip -n network_bench route add default via 10.8.0.1");
  }

  // So many services of five tasks each, on the other node.
  void HaveServices(int services) {
    std::erase_if(state_.services, [](const auto& of) { return of.second.network_id == "big"; });
    std::erase_if(state_.tasks, [](const auto& of) { return of.second.network_id == "big"; });
    for (int i = 0; i < services; ++i) {
      const std::string service = absl::StrCat("s", i);
      const IpAddress base = Ip("10.64.1.0").Plus(static_cast<uint64_t>(i));
      Put(&state_, NetworkService{.network_id = "big", .service_id = service, .vip4 = base});
      for (int t = 1; t <= kTasksOfService; ++t) {
        Put(&state_, MakeTask("big", service, absl::StrCat(service, ".", t), "n2",
                              {base.Plus(static_cast<uint64_t>(t) << 12).ToString()}));
      }
    }
  }

  // A task of one service stops serving; the time to serve again is not counted.
  double ChangeMillis(const NetworkState& state, int service) {
    NetworkUpdate update;
    const NetworkTask& task = state.tasks.at({"big", absl::StrCat("s", service, ".1")});
    NetworkTask stopped = task;
    stopped.serving = false;
    Put(&update.put, stopped);
    Router& router = *nodes_.at("n1").router;
    const double millis = Millis([&] { CHECK(router.Apply(update).ok()); });
    Put(&update.put, task);
    CHECK(router.Apply(update).ok());
    return millis;
  }

  static double WholeTableMillis(const NetworkNamespace& space, const NetworkState& state) {
    const RouterFacts facts{.node_id = "n1",
                            .underlay = Ip("192.0.2.1"),
                            .host_link = "swarm0",
                            .host4 = Ip("169.254.83.0"),
                            .router4 = Ip("169.254.83.1")};
    RouterPlanner planner(facts);
    planner.Update(UpdateBetween({}, state));
    const std::string all = NftReplacement(RouterRules(facts), planner.Wanted().router_table);
    NftContext nft = NftContext::Open(space).value();
    CHECK(nft.Run(all).ok());
    return Millis([&] { CHECK(nft.Run(all).ok()); });
  }

  static void Say(const nlohmann::json& row) { std::puts(row.dump().c_str()); }

  // A namespace with a link whose other end is in a bridge of the node's host with a VXLAN link.
  std::unique_ptr<NetworkNamespace> MakeBridged(int number) {
    const TestNode& node = nodes_.at(absl::StrCat("n", number));
    auto space = MakeHost(absl::StrCat("bridged", number), 20 + number);
    const MacAddress mac = MacAddress::Of(Ip(absl::StrCat("10.8.8.", number)));
    CHECK(
        KernelNamespace::Open(*node.host)
            .value()
            .MakeVeth({.name = "box9", .mac = MacAddress::Of(Ip(absl::StrCat("10.8.9.", number)))},
                      "", {.name = "box", .mac = mac, .space = space->fd()}, 1450)
            .ok());
    const std::string done =
        Shell(*node.host,
              absl::StrCat(
                  "ip link add bridge9 type bridge; ip link add vx type vxlan id 98 dstport 4789 "
                  "remote 192.0.2.",
                  3 - number, " local 192.0.2.", number,
                  "; ip link set vx master bridge9; ip link set box9 master bridge9; "
                  "for l in vx box9 bridge9; do ip link set $l up; done")) +
        Shell(*space,
              absl::StrCat("ip link set box up; ip address add 10.8.8.", number, "/24 dev box"));
    CHECK(done.empty()) << done;
    return space;
  }

  // `bridged` may be null.
  void Compare(const char* name, const std::function<double()>& ours,
               const std::function<double()>& plain,
               const std::function<double()>& bridged = nullptr) {
    std::vector<double> mine, theirs, ratios, in_bridges, ratios_bridged;
    for (int i = 0; i < runs_; ++i) {
      mine.push_back(ours());
      theirs.push_back(plain());
      ratios.push_back(mine.back() / theirs.back());
      if (bridged == nullptr) continue;
      in_bridges.push_back(bridged());
      ratios_bridged.push_back(mine.back() / in_bridges.back());
    }
    nlohmann::json row = {{"bench", name},
                          {"ours_gbits", Median(mine)},
                          {"plain_gbits", Median(theirs)},
                          {"ratio", Median(ratios)}};
    if (bridged != nullptr) {
      row["bridged_gbits"] = Median(in_bridges);
      row["ratio_bridged"] = Median(ratios_bridged);
    }
    Say(row);
  }

  double Gbits(const NetworkNamespace& from, const NetworkNamespace& to, const IpAddress& address) {
    const std::string served = Shell(to, "iperf3 --server --one-off --daemon");
    CHECK(served.empty()) << served;
    // The daemon says nothing when it listens: try until it does.
    const std::string out =
        Shell(from, absl::StrCat("for i in $(seq 50); do iperf3 --json --time ", kSeconds,
                                 " --client ", address.ToString(),
                                 " > /tmp/network_bench.$$ && break; done; cat "
                                 "/tmp/network_bench.$$; rm /tmp/network_bench.$$"));
    const auto report = nlohmann::json::parse(out, nullptr, false);
    CHECK(!report.is_discarded() && report.contains("end")) << out;
    return report["end"]["sum_received"]["bits_per_second"].get<double>() / 1e9;
  }

  static double ConnectMicros(const NetworkNamespace& client, const IpAddress& to,
                              const UniqueFd& listener) {
    const absl::Time before = absl::Now();
    const auto connected = Connect(client, to, 80);
    const double micros = absl::ToDoubleMicroseconds(absl::Now() - before);
    CHECK(connected.ok()) << connected.status().ToString();
    const auto accepted = Accept(listener);
    CHECK(accepted.ok());
    const linger now = {1, 0};
    setsockopt(accepted->fd.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    return micros;
  }

  const int runs_;
};

}  // namespace
}  // namespace swarm::agent

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: network_bench net-node|net-overlay|vip|attach|net-churn [RUNS]\n", stderr);
    return 2;
  }
  swarm::agent::NetworkBench bench(argc > 2 ? std::atoi(argv[2]) : 3);
  if (std::strcmp(argv[1], "net-node") == 0) {
    bench.NetNode();
  } else if (std::strcmp(argv[1], "net-overlay") == 0) {
    bench.NetOverlay();
  } else if (std::strcmp(argv[1], "vip") == 0) {
    bench.Vip();
  } else if (std::strcmp(argv[1], "attach") == 0) {
    bench.Attach();
  } else if (std::strcmp(argv[1], "net-churn") == 0) {
    bench.NetChurn();
  } else {
    std::fprintf(stderr, "no benchmark %s\n", argv[1]);
    return 2;
  }
  return 0;
}
