// What the router costs: containers on one node and across nodes, with the kernel's plain way
// beside them in the same run. Prints one JSON object a line, as bench.py does.
//
//   network_bench net-node|net-overlay|vip [RUNS]
//
// Hosts are network namespaces on one machine, so both ends and the wire share its processors: the
// ratio counts.
#include <sys/socket.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agent/network/router_test_world.h"
#include "common/check.h"

namespace swarm::agent {
namespace {

constexpr char kSeconds[] = "3";

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
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

  // Between containers of two nodes; a VXLAN between the same hosts beside it.
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
    Compare(
        "net-overlay", [&] { return Gbits(Space("a"), Space("b"), Task("front", "b").v4); },
        [&] { return Gbits(*nodes_.at("n1").host, *nodes_.at("n2").host, Ip("10.9.9.2")); });
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

 private:
  static void Say(const nlohmann::json& row) { std::puts(row.dump().c_str()); }

  void Compare(const char* name, const std::function<double()>& ours,
               const std::function<double()>& plain) {
    std::vector<double> mine, theirs, ratios;
    for (int i = 0; i < runs_; ++i) {
      mine.push_back(ours());
      theirs.push_back(plain());
      ratios.push_back(mine.back() / theirs.back());
    }
    Say({{"bench", name},
         {"ours_gbits", Median(mine)},
         {"plain_gbits", Median(theirs)},
         {"ratio", Median(ratios)}});
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
    std::fputs("usage: network_bench net-node|net-overlay|vip [RUNS]\n", stderr);
    return 2;
  }
  swarm::agent::NetworkBench bench(argc > 2 ? std::atoi(argv[2]) : 3);
  if (std::strcmp(argv[1], "net-node") == 0) {
    bench.NetNode();
  } else if (std::strcmp(argv[1], "net-overlay") == 0) {
    bench.NetOverlay();
  } else if (std::strcmp(argv[1], "vip") == 0) {
    bench.Vip();
  } else {
    std::fprintf(stderr, "no benchmark %s\n", argv[1]);
    return 2;
  }
  return 0;
}
