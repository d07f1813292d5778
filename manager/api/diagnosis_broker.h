// DiagnosisBroker: has nodes look at their networks for somebody who asks, and hands on what they
// find.
//
//   reader ── Control.DiagnoseNetworks ──▶ broker ── DiagnoseNetworks over the session ──▶ agent
//   reader ◀── NetworkFinding ──────────── broker ◀── NetworkDiagnosis over the session ── agent
//
// All nodes are asked at once and findings go on as they come. A node that is not READY, that has
// no session or that is silent until the timeout is a finding of the broker's own. The stream ends
// when every node that was asked has answered, at the latest at the timeout.
//
// What a node sends is believed only from a node that was asked under that id and has not ended its
// answer (S2); who looked is who the session says it is. Agents know nodes by their ids: in
// messages the ids of the looking node and of its peer become their names.
//
// Nothing here is durable or rests on what is: a look changes nothing.
//
// Loop thread only.
#ifndef SWARM_MANAGER_API_DIAGNOSIS_BROKER_H_
#define SWARM_MANAGER_API_DIAGNOSIS_BROKER_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "manager/api/sink.h"
#include "manager/dispatcher/dispatcher.h"
#include "manager/env.h"
#include "manager/store/store.h"
#include "swarm/v1/control.pb.h"

namespace swarm::manager {

class DiagnosisBroker {
 public:
  using DiagnosisId = uint64_t;  // 0 is none

  static constexpr absl::Duration kDefaultTimeout = absl::Seconds(10);
  static constexpr absl::Duration kLeastTimeout = absl::Seconds(6);  // a look takes up to 5 s
  static constexpr absl::Duration kMostTimeout = absl::Seconds(60);
  // Each makes every node send packets: the next is refused, ResourceExhausted.
  static constexpr size_t kMostAtOnce = 4;
  static constexpr size_t kMostRefs = 1'000;
  // Of one node; what is above is dropped, and its last finding says so.
  static constexpr size_t kMostFindingsPerNode = 1'000;
  // That wait for a reader who is slow; one who lets more come is cut off, ResourceExhausted.
  static constexpr size_t kMostWaiting = 20'000;
  static constexpr size_t kMostBytesWaiting = 8 << 20;  // of their messages

  DiagnosisBroker(const Env& env, Store& store, Dispatcher& dispatcher);
  ~DiagnosisBroker();
  void Start();

  // NotFound for an unknown network or node, InvalidArgument for a bad timeout, ResourceExhausted
  // above the limits: each with the field. `sink` is used until it was closed or Cancel.
  absl::StatusOr<DiagnosisId> Diagnose(const v1::DiagnoseNetworksRequest& request,
                                       Sink<v1::NetworkFinding>& sink);
  // The sink was full and has room again.
  void OnDrained(DiagnosisId id);
  // The reader is gone. Unknown ids are fine.
  void Cancel(DiagnosisId id);

  void OnDiagnosis(Id node, v1::NetworkDiagnosis answer);

  size_t diagnoses() const { return diagnoses_.size(); }

 private:
  struct Diagnosis {
    Sink<v1::NetworkFinding>* sink = nullptr;
    std::string asked_as;  // the id that nodes were given
    absl::Duration timeout;
    std::map<Id, size_t> awaited;  // nodes, and how much they have found so far
    std::deque<v1::NetworkFinding> waiting;
    size_t bytes_waiting = 0;  // of their messages
    TimerId timer = 0;
  };

  void Ask(Diagnosis& diagnosis, const Node& node, const v1::DiagnoseNetworks& question);
  void OnTimeout(DiagnosisId id);
  static void Wait(Diagnosis& diagnosis, v1::NetworkFinding finding);
  // A finding of our own about a node.
  static void Note(Diagnosis& diagnosis, const Node& node, v1::NetworkFinding::Severity severity,
                   std::string_view why);
  // What a node found, made sure of: the fields that we know, of a bounded size. Nothing when it
  // says nothing.
  std::optional<v1::NetworkFinding> Checked(Id node, const v1::NetworkFinding& said) const;
  static void Deliver(Diagnosis& diagnosis);
  void MaybeEnd(DiagnosisId id);

  const Env env_;
  Store& store_;
  Dispatcher& dispatcher_;
  const std::shared_ptr<DiagnosisBroker*> self_;
  DiagnosisId last_id_ = 0;
  std::map<DiagnosisId, Diagnosis> diagnoses_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_DIAGNOSIS_BROKER_H_
