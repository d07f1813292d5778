#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "agent/doctor/verdict.h"
#include "agent/doctor/words.h"

namespace swarm::agent {
namespace {

using Check = Finding::Check;
using Severity = Finding::Severity;
using absl::StrCat;

// What was met on the way to one node through one network (or over the underlay), or at one virtual
// address.
struct Way {
  Named lost;   // all small packets: what was asked for
  Named shaky;  // some of them
  Named unasked;
  size_t answered = 0;         // asked for and heard of
  int sent = 0, received = 0;  // small packets
  bool full_lost = false;      // all full-size packets, to what answers small ones
  int full_size = 0;
  std::string full_to;
  std::string refusal, full_refusal;
  std::string task_id;  // the first that is lost
  absl::Duration round_trip = absl::InfiniteDuration();

  bool all_lost() const { return answered == 0 && shaky.empty() && !lost.empty(); }
};

class EchoJudge {
 public:
  EchoJudge(const ExaminationPlace& place, const std::vector<PlannedEcho>& echoes,
            const std::vector<EchoResult>& results)
      : place_(place), state_(place.state) {
    // Small ones first: a full-size packet says something only where they pass.
    for (size_t i = 0; i < echoes.size(); ++i) {
      if (!echoes[i].probe.full_size) TakeSmall(echoes[i], results[i]);
    }
    for (size_t i = 0; i < echoes.size(); ++i) {
      if (echoes[i].probe.full_size) TakeFull(echoes[i], results[i]);
    }
  }

  std::vector<Finding> Judge() {
    std::vector<Finding> findings;
    for (const auto& [key, way] : ways_) {
      const auto& [check, network, peer, service] = key;
      Finding finding{.check = check,
                      .network_id = network,
                      .peer_node_id = peer,
                      .service_id = service,
                      .task_id = way.task_id};
      if (way.round_trip != absl::InfiniteDuration()) finding.round_trip = way.round_trip;
      if (check == Check::kPeer) {
        JudgePeer(way, &finding);
      } else if (check == Check::kOverlay) {
        JudgeOverlay(way, &finding);
      } else {
        JudgeVirtualAddress(way, &finding);
      }
      if (!finding.message.empty()) findings.push_back(std::move(finding));
    }
    return findings;
  }

 private:
  using Key = std::tuple<Check, std::string, std::string, std::string>;

  static Key KeyOf(const PlannedEcho& echo) {
    return {echo.check, echo.network_id, echo.peer_node_id, echo.service_id};
  }

  std::string Subject(const PlannedEcho& echo) const {
    const std::string to = echo.probe.to.ToString();
    return echo.to_task.empty() ? to : StrCat(ShortName(state_, echo.to_task), " (", to, ")");
  }

  void TakeSmall(const PlannedEcho& echo, const EchoResult& result) {
    Way& way = ways_[KeyOf(echo)];
    if (!result.status.ok()) {
      way.unasked.Add([&] { return StrCat(Asker(echo), ": ", result.status.message()); });
      return;
    }
    way.sent += result.sent;
    way.received += result.received;
    if (!result.refusal.empty()) way.refusal = result.refusal;
    if (result.received == 0) {
      if (way.lost.empty()) way.task_id = echo.to_task.empty() ? echo.from_task : echo.to_task;
      way.lost.Add([&] { return Subject(echo); });
      return;
    }
    if (result.received < result.sent) {
      way.shaky.Add([&] { return Subject(echo); });
    } else {
      ++way.answered;
    }
    way.round_trip = std::min(way.round_trip, result.round_trip);
    heard_.insert({KeyOf(echo), echo.probe.to});
  }

  void TakeFull(const PlannedEcho& echo, const EchoResult& result) {
    Way& way = ways_[KeyOf(echo)];
    if (!result.status.ok() || !heard_.contains({KeyOf(echo), echo.probe.to})) return;
    if (result.received > 0) return;
    way.full_lost = true;
    way.full_size = result.size;
    way.full_to = Subject(echo);
    way.full_refusal = result.refusal;
  }

  std::string Asker(const PlannedEcho& echo) const {
    return echo.from_task.empty() ? "the host" : ShortName(state_, echo.from_task);
  }

  // How the underlay's own address of a node did; null: it was not asked for.
  const Way* Underlay(const std::string& node_id) const {
    const auto found = ways_.find({Check::kPeer, "", node_id, ""});
    return found == ways_.end() ? nullptr : &found->second;
  }

  // 1: tasks on the node answer through some network; -1: none does; 0: none was asked.
  int OverlayTo(const std::string& node_id) const {
    int seen = 0;
    for (const auto& [key, way] : ways_) {
      if (std::get<0>(key) != Check::kOverlay || std::get<2>(key) != node_id) continue;
      if (way.answered > 0 || !way.shaky.empty()) return 1;
      if (!way.lost.empty()) seen = -1;
    }
    return seen;
  }

  static std::string Because(const std::string& refusal) {
    return refusal.empty() ? "" : StrCat(" (", refusal, ")");
  }

  void JudgePeer(const Way& way, Finding* out) const {
    const std::string& node = out->peer_node_id;
    const std::string address = UnderlayAddress(state_, node);
    if (!way.unasked.empty()) {
      out->severity = Severity::kWarning;
      out->message = StrCat("cannot ask for ", node, ": ", way.unasked.Text());
    } else if (way.all_lost() && OverlayTo(node) > 0) {
      out->severity = Severity::kWarning;
      out->message =
          StrCat(node, "'s address ", address, " does not answer pings", Because(way.refusal),
                 ", though its tasks do: a firewall drops ICMP, and with it the news "
                 "that a packet is too large");
    } else if (way.all_lost()) {
      const bool broken = OverlayTo(node) < 0;
      out->severity = broken ? Severity::kBroken : Severity::kWarning;
      out->message = StrCat(
          node, " does not answer at its address ", address, Because(way.refusal), ": ", way.sent,
          " of ", way.sent, " packets are lost",
          broken ? ", and none of its tasks answers either: is the network between the nodes down?"
                 : "; there are no tasks to tell whether it is cut off or only drops pings");
    } else if (!way.shaky.empty()) {
      out->severity = Severity::kWarning;
      out->message = StrCat(way.sent - way.received, " of ", way.sent, " packets to ", node,
                            "'s address ", address, " are lost", Because(way.refusal));
    } else if (way.full_lost) {
      out->severity = Severity::kBroken;
      out->message =
          StrCat("packets of ", way.full_size, " bytes to ", node, "'s address ", address,
                 " are lost, small ones arrive", Because(way.full_refusal), ": ", MtuAdvice());
    } else {
      out->message = StrCat(node, " answers at its address ", address);
    }
  }

  static std::string MtuAdvice() {
    return "the way between the nodes takes less than their links say; lower the MTU of both "
           "nodes' links (ip link set dev … mtu …) and restart swarm-agent, or raise it on the way";
  }

  void JudgeOverlay(const Way& way, Finding* out) const {
    const std::string& node = out->peer_node_id;
    const bool own = node == state_.node_id;
    const std::string where = own ? "" : StrCat(" on ", node);
    const std::string through = StrCat("through network ", NetworkName(state_, out->network_id));
    if (!way.lost.empty()) {
      out->severity = Severity::kBroken;
      out->message =
          StrCat(way.lost.Text(), where, way.lost.size() == 1 ? " does" : " do", " not answer ",
                 through, Because(way.refusal), ": ", way.sent - way.received, " of ", way.sent,
                 " packets are lost", Reason(way, out->network_id, node));
    } else if (way.full_lost) {
      out->severity = Severity::kBroken;
      out->message =
          StrCat("packets of ", way.full_size, " bytes to ", way.full_to, where, " ", through,
                 " are lost, small ones arrive", Because(way.full_refusal), ": ", MtuAdvice());
    } else if (!way.shaky.empty()) {
      out->severity = Severity::kWarning;
      out->message =
          StrCat(way.sent - way.received, " of ", way.sent, " packets to ", way.shaky.Text(), where,
                 " ", through, " are lost", Because(way.refusal));
    } else if (!way.unasked.empty()) {
      out->severity = Severity::kWarning;
      out->message = StrCat("cannot ask from inside ", way.unasked.Text());
    } else {
      out->tasks = way.answered;
      out->message = StrCat(Count(way.answered, "task", "tasks"), own ? " of this node" : where,
                            way.answered == 1 ? " answers " : " answer ", through);
    }
  }

  std::string Reason(const Way& way, const std::string& network_id, const std::string& node) const {
    if (!way.all_lost()) return ", while others answer: is it those containers' own network?";
    if (node == state_.node_id) return ": nothing reaches tasks of the node itself";
    const Way* underlay = Underlay(node);
    const std::string address = UnderlayAddress(state_, node);
    if (underlay == nullptr || underlay->sent == 0) return "";
    if (underlay->received > 0) {
      return StrCat(", while ", node, "'s own address ", address, " answers: is ",
                    CarrierOf(network_id), " open between the nodes, both ways?");
    }
    return StrCat(", and neither does ", node, "'s own address ", address,
                  ": is the network between the nodes down?");
  }

  // What packets of a network travel in between nodes.
  std::string CarrierOf(const std::string& network_id) const {
    const auto network = state_.networks.find(network_id);
    const bool encrypted = network != state_.networks.end() && network->second.encrypted;
    return encrypted ? "WireGuard's UDP port" : StrCat("UDP ", place_.vxlan_port, " (VXLAN)");
  }

  void JudgeVirtualAddress(const Way& way, Finding* out) const {
    const std::string name = ServiceName(state_, out->service_id);
    const std::string through = StrCat("in network ", NetworkName(state_, out->network_id));
    if (way.all_lost()) {
      out->severity = Severity::kBroken;
      out->message =
          StrCat("the virtual address ", way.lost.Text(), " of service ", name, " ", through,
                 " does not answer", Because(way.refusal), ", though tasks serve: ", way.sent,
                 " of ", way.sent, " packets are lost");
    } else if (!way.lost.empty() || !way.shaky.empty()) {
      // Each packet is a connection of its own, to one task after the other.
      out->severity = Severity::kBroken;
      out->message =
          StrCat(way.sent - way.received, " of ", way.sent, " packets to the virtual address ",
                 (way.lost.empty() ? way.shaky : way.lost).Text(), " of service ", name, " ",
                 through, " are lost: not all of its tasks answer");
    } else if (!way.unasked.empty()) {
      out->severity = Severity::kWarning;
      out->message = StrCat("cannot ask from inside ", way.unasked.Text());
    } else {
      out->message = StrCat("the virtual address of service ", name, " ", through, " answers");
    }
  }

  const ExaminationPlace& place_;
  const NetworkState& state_;
  std::map<Key, Way> ways_;
  std::set<std::pair<Key, IpAddress>> heard_;
};

}  // namespace

std::vector<Finding> JudgeEchoes(const ExaminationPlace& place,
                                 const std::vector<PlannedEcho>& echoes,
                                 const std::vector<EchoResult>& results) {
  return EchoJudge(place, echoes, results).Judge();
}

}  // namespace swarm::agent
