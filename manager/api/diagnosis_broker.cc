#include "manager/api/diagnosis_broker.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_replace.h"
#include "common/check.h"
#include "common/proto_time.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "manager/api/lookup.h"

namespace swarm::manager {
namespace {

// For what is left in a reader's queue when all nodes have answered.
constexpr absl::Duration kReaderPatience = absl::Seconds(10);

absl::Status SlowReader() {
  return absl::ResourceExhaustedError("findings are not read as fast as they come");
}

absl::StatusOr<absl::Duration> TimeoutOf(const v1::DiagnoseNetworksRequest& request) {
  if (!request.has_timeout()) return DiagnosisBroker::kDefaultTimeout;
  const absl::Duration timeout = FromProto(request.timeout());
  if (timeout >= DiagnosisBroker::kLeastTimeout && timeout <= DiagnosisBroker::kMostTimeout) {
    return timeout;
  }
  return absl::InvalidArgumentError(
      StrCat("timeout: ", absl::FormatDuration(timeout), " is not between 6s and 60s"));
}

// What `find` finds for each of the refs, once, in order.
template <typename T, typename Find>
absl::StatusOr<std::vector<Ref<T>>> FindAll(
    const google::protobuf::RepeatedPtrField<std::string>& refs, std::string_view field,
    Find find) {
  if (static_cast<size_t>(refs.size()) > DiagnosisBroker::kMostRefs) {
    return absl::InvalidArgumentError(
        StrCat(field, ": ", refs.size(), " are more than ", DiagnosisBroker::kMostRefs));
  }
  std::vector<Ref<T>> all;
  for (int i = 0; i < refs.size(); ++i) {
    const absl::StatusOr<Ref<T>> found = find(refs[i]);
    RETURN_IF_ERROR(Annotate(found.status(), StrCat(field, "[", i, "]")));
    const bool known = std::any_of(all.begin(), all.end(),
                                   [&](const Ref<T>& one) { return one->id() == (*found)->id(); });
    if (!known) all.push_back(*found);
  }
  return all;
}

std::vector<Ref<Node>> EveryNode(const View& view) {
  std::vector<Ref<Node>> nodes;
  view.EachNode([&](const Ref<Node>& node) {
    nodes.push_back(node);
    return true;
  });
  return nodes;
}

}  // namespace

DiagnosisBroker::DiagnosisBroker(const Env& env, Store& store, Dispatcher& dispatcher)
    : env_(env),
      store_(store),
      dispatcher_(dispatcher),
      self_(std::make_shared<DiagnosisBroker*>(this)) {}

DiagnosisBroker::~DiagnosisBroker() {
  *self_ = nullptr;
  for (auto& [id, diagnosis] : diagnoses_) env_.loop.Cancel(diagnosis.timer);
}

void DiagnosisBroker::Start() {
  DCHECK(env_.loop.InLoop());
  dispatcher_.SetDiagnosisHandler([self = self_](Id node, v1::NetworkDiagnosis answer) {
    if (*self != nullptr) (*self)->OnDiagnosis(node, std::move(answer));
  });
}

// ----------------------------------------------------------------------------------------- readers

absl::StatusOr<DiagnosisBroker::DiagnosisId> DiagnosisBroker::Diagnose(
    const v1::DiagnoseNetworksRequest& request, Sink<v1::NetworkFinding>& sink) {
  DCHECK(env_.loop.InLoop());
  const View& view = store_.view();
  ASSIGN_OR_RETURN(const absl::Duration timeout, TimeoutOf(request));
  ASSIGN_OR_RETURN(const auto networks, FindAll<Network>(request.network_refs(), "network_refs",
                                                         [&](const std::string& ref) {
                                                           return FindNetwork(view, ref);
                                                         }));
  ASSIGN_OR_RETURN(auto nodes,
                   FindAll<Node>(request.node_refs(), "node_refs",
                                 [&](const std::string& ref) { return FindNode(view, ref); }));
  if (diagnoses_.size() >= kMostAtOnce) {
    return absl::ResourceExhaustedError(
        StrCat(kMostAtOnce, " diagnoses are under way: try again when they are over"));
  }
  if (nodes.empty()) nodes = EveryNode(view);
  const DiagnosisId id = ++last_id_;
  Diagnosis& diagnosis = diagnoses_[id];
  diagnosis.sink = &sink;
  diagnosis.asked_as = Id::Make(env_.random).ToString();
  diagnosis.timeout = timeout;
  v1::DiagnoseNetworks question;
  question.set_diagnosis_id(diagnosis.asked_as);
  for (const auto& network : networks) question.add_network_ids(network->id());
  for (const auto& node : nodes) Ask(diagnosis, *node, question);
  diagnosis.timer = env_.loop.RunAfter(timeout, [this, id] { OnTimeout(id); });
  // Not from inside of this call: whoever asked does not know the id yet.
  env_.loop.Post([self = self_, id] {
    if (*self != nullptr) (*self)->OnDrained(id);
  });
  return id;
}

void DiagnosisBroker::Cancel(DiagnosisId id) {
  DCHECK(env_.loop.InLoop());
  const auto node = diagnoses_.extract(id);
  if (!node.empty()) env_.loop.Cancel(node.mapped().timer);
}

void DiagnosisBroker::OnDrained(DiagnosisId id) {
  DCHECK(env_.loop.InLoop());
  const auto found = diagnoses_.find(id);
  if (found == diagnoses_.end()) return;
  Deliver(found->second);
  MaybeEnd(id);
}

// ------------------------------------------------------------------------------------------- nodes

void DiagnosisBroker::Ask(Diagnosis& diagnosis, const Node& node,
                          const v1::DiagnoseNetworks& question) {
  const std::string& reason = node.status().message();
  const std::string because = reason.empty() ? "" : StrCat(": ", reason);
  switch (node.status().state()) {
    case v1::NodeStatus::STATE_READY:
      break;
    case v1::NodeStatus::STATE_UNKNOWN:
      return Note(diagnosis, node, v1::NetworkFinding::SEVERITY_WARNING,
                  "has not been heard of since the manager started");
    default:
      return Note(diagnosis, node, v1::NetworkFinding::SEVERITY_BROKEN, StrCat("is down", because));
  }
  v1::ManagerMessage message;
  *message.mutable_diagnose() = question;
  const Id id = Id::ParseOrZero(node.id());
  if (dispatcher_.SendToNode(id, std::move(message))) {
    diagnosis.awaited[id] = 0;
  } else {
    Note(diagnosis, node, v1::NetworkFinding::SEVERITY_BROKEN,
         "is ready but cannot be asked just now: it has no session with the manager, or does not "
         "read what it is sent");
  }
}

void DiagnosisBroker::Note(Diagnosis& diagnosis, const Node& node,
                           v1::NetworkFinding::Severity severity, std::string_view why) {
  v1::NetworkFinding finding;
  finding.set_check(v1::NetworkFinding::CHECK_NODE);
  finding.set_severity(severity);
  finding.set_node_id(node.id());
  finding.set_message(OneLine(StrCat(NodeName(node), " ", why)));
  Wait(diagnosis, std::move(finding));
}

void DiagnosisBroker::Wait(Diagnosis& diagnosis, v1::NetworkFinding finding) {
  diagnosis.bytes_waiting += finding.message().size();
  diagnosis.waiting.push_back(std::move(finding));
}

void DiagnosisBroker::OnTimeout(DiagnosisId id) {
  Diagnosis& diagnosis = diagnoses_.at(id);
  diagnosis.timer = 0;
  const auto awaited = std::exchange(diagnosis.awaited, {});
  if (awaited.empty()) {  // all have answered long ago
    diagnosis.sink->Close(SlowReader());
    return Cancel(id);
  }
  for (const auto& [node_id, found] : awaited) {
    const Ref<Node> node = store_.view().GetNode(node_id);
    if (node == nullptr) continue;
    Note(diagnosis, *node, v1::NetworkFinding::SEVERITY_BROKEN,
         StrCat("did not answer within ", absl::FormatDuration(diagnosis.timeout),
                ": is it overloaded, or is its agent older than this manager?"));
  }
  Deliver(diagnosis);
  MaybeEnd(id);
}

void DiagnosisBroker::OnDiagnosis(Id node, v1::NetworkDiagnosis answer) {
  DCHECK(env_.loop.InLoop());
  const auto found = std::find_if(diagnoses_.begin(), diagnoses_.end(), [&](const auto& one) {
    return one.second.asked_as == answer.diagnosis_id();
  });
  if (found == diagnoses_.end()) return;  // given up, or never asked
  Diagnosis& diagnosis = found->second;
  const auto awaited = diagnosis.awaited.find(node);
  if (awaited == diagnosis.awaited.end()) return;
  for (const v1::NetworkFinding& said : answer.findings()) {
    if (awaited->second >= kMostFindingsPerNode) break;
    std::optional<v1::NetworkFinding> finding = Checked(node, said);
    if (!finding) continue;
    if (++awaited->second == kMostFindingsPerNode) {
      finding->set_message("this node finds more than is handed on");
    }
    Wait(diagnosis, *std::move(finding));
  }
  if (answer.last()) diagnosis.awaited.erase(awaited);
  const DiagnosisId id = found->first;
  Deliver(diagnosis);
  if (diagnosis.waiting.size() > kMostWaiting || diagnosis.bytes_waiting > kMostBytesWaiting) {
    diagnosis.sink->Close(SlowReader());
    return Cancel(id);
  }
  MaybeEnd(id);
}

std::optional<v1::NetworkFinding> DiagnosisBroker::Checked(Id node,
                                                           const v1::NetworkFinding& said) const {
  using Finding = v1::NetworkFinding;
  if (!Finding::Check_IsValid(said.check()) || said.check() == Finding::CHECK_UNSPECIFIED ||
      !Finding::Severity_IsValid(said.severity()) ||
      said.severity() == Finding::SEVERITY_UNSPECIFIED) {
    return std::nullopt;
  }
  const View& view = store_.view();
  std::string message = OneLine(said.message());  // which bounds it
  const Ref<Node> own = view.GetNode(node);
  const Ref<Node> peer = view.GetNode(Id::ParseOrZero(said.peer_node_id()));
  for (const Ref<Node>& named : {own, peer}) {
    if (named != nullptr) absl::StrReplaceAll({{named->id(), NodeName(*named)}}, &message);
  }
  Finding finding;
  finding.set_check(said.check());
  finding.set_severity(said.severity());
  finding.set_message(OneLine(message));  // names are people's, too
  finding.set_node_id(node.ToString());
  // Ids that are none say nothing.
  const auto id_or_none = [](const std::string& id) {
    return Id::ParseOrZero(id).IsZero() ? std::string() : id;
  };
  finding.set_network_id(id_or_none(said.network_id()));
  finding.set_peer_node_id(id_or_none(said.peer_node_id()));
  finding.set_service_id(id_or_none(said.service_id()));
  finding.set_task_id(id_or_none(said.task_id()));
  if (said.has_round_trip()) {
    finding.mutable_round_trip()->set_seconds(said.round_trip().seconds());
    finding.mutable_round_trip()->set_nanos(said.round_trip().nanos());
  }
  return finding;
}

void DiagnosisBroker::Deliver(Diagnosis& diagnosis) {
  while (!diagnosis.waiting.empty() && diagnosis.sink->Push(diagnosis.waiting.front())) {
    diagnosis.bytes_waiting -= diagnosis.waiting.front().message().size();
    diagnosis.waiting.pop_front();
  }
}

void DiagnosisBroker::MaybeEnd(DiagnosisId id) {
  Diagnosis& diagnosis = diagnoses_.at(id);
  if (!diagnosis.awaited.empty()) return;
  if (diagnosis.waiting.empty()) {
    diagnosis.sink->Close(absl::OkStatus());
    return Cancel(id);
  }
  env_.loop.Cancel(diagnosis.timer);
  diagnosis.timer = env_.loop.RunAfter(kReaderPatience, [this, id] { OnTimeout(id); });
}

}  // namespace swarm::manager
