#include "manager/api/stats_broker.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/check.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/utf8.h"
#include "manager/api/call_target.h"
#include "manager/api/lookup.h"

namespace swarm::manager {

// One node's stream of one reader.
class StatsBroker::Leg : public NodeStreams::Peer {
 public:
  Leg(Reader& reader, NodeStreams& streams, Id node)
      : reader_(reader), streams_(streams), node_(node) {}
  ~Leg() override { streams_.Close(stream_); }

  absl::Status Open() {
    ASSIGN_OR_RETURN(stream_, streams_.Open(node_, Id{}, NodeStreams::Use::kStats, *this));
    return absl::OkStatus();
  }
  void SetTasks(std::set<Id> tasks, absl::Duration period) {
    if (tasks == tasks_ && period == period_) return;
    tasks_ = std::move(tasks);
    period_ = period;
    dirty_ = true;
    if (ready_ && !writing_) Tell();
  }
  bool answered() const { return answered_; }
  // Once a period.
  void Ask() {
    answered_ = false;
    reads_left_ = kReadsPerPeriod;
    if (std::exchange(read_due_, false)) Read();
  }

  void OnNodeReady() override {
    ready_ = true;
    Tell();
    Read();
  }
  void OnNodeWritten() override {
    writing_ = false;
    if (dirty_) Tell();
  }
  void OnNodeOutput(v1::ContainerOutput output) override;
  void OnNodeEnded(absl::Status status) override;

 private:
  // More than one, so that what a node sends a little faster than it is asked for does not pile up
  // on the way and grow old.
  static constexpr int kReadsPerPeriod = 2;

  void Read() {
    if (reads_left_ == 0) {
      read_due_ = true;
      return;
    }
    --reads_left_;
    streams_.ReadNext(stream_);
  }
  void Tell() {
    v1::ContainerInput input;
    for (Id task : tasks_) input.mutable_stats()->add_task_ids(task.ToString());
    input.mutable_stats()->set_period_ms(static_cast<uint32_t>(absl::ToInt64Milliseconds(period_)));
    dirty_ = false;
    writing_ = true;
    streams_.Write(stream_, std::move(input));
  }

  Reader& reader_;
  NodeStreams& streams_;
  const Id node_;
  NodeStreams::StreamId stream_ = 0;
  std::set<Id> tasks_;
  absl::Duration period_;
  int reads_left_ = kReadsPerPeriod;
  bool read_due_ = false;
  bool ready_ = false;
  bool dirty_ = true;
  bool writing_ = false;
  bool answered_ = false;  // since the reader got its last message
};

class StatsBroker::Reader : public StreamEvents<v1::StatsRequest> {
 public:
  Reader(StatsBroker& owner, StreamEnd<v1::StatsResponse>& caller)
      : owner_(owner), caller_(caller) {}
  ~Reader() override { owner_.env_.loop.Cancel(timer_); }

  void OnMessage(v1::StatsRequest request) override {
    const absl::Status begun = Begin(request);
    if (!begun.ok()) return caller_.Finish(begun);
    Turn();
  }
  void OnReadEnd() override {}
  void OnWritten() override { writing_ = false; }
  void OnCancelled() override { Finish(absl::CancelledError("the reader has gone")); }
  void OnClosed() override { owner_.readers_.erase(this); }

  void OnStats(Id node, v1::StatsResponse stats) {
    const View& view = owner_.store_.view();
    silences_.erase(node);
    for (v1::TaskStats& of : *stats.mutable_tasks()) {
      const Id id = Id::ParseOrZero(of.task_id());
      const Ref<Task> task = view.GetTask(id);
      // S2: of its own tasks that were asked for.
      if (task == nullptr || task->node_id != node || !wanted_.contains(id)) continue;
      if (of.ByteSizeLong() > kMaxLookBytes) {
        too_large_.insert(id);
        continue;
      }
      of.set_task_name(TaskNameOf(*task));
      of.set_node_hostname(HostnameOf(view, node));
      looks_[id] = std::move(of);
      too_large_.erase(id);
    }
    const bool all = std::all_of(legs_.begin(), legs_.end(),
                                 [](const auto& leg) { return leg.second->answered(); });
    if (all && !sent_) Send();
  }
  void OnLegEnded(Id node, const absl::Status& status) {
    Silence& silence = silences_[node];
    ++silence.periods;
    silence.why = ToUtf8(OneLine(ToStd(status.message())));
    legs_.erase(node);
  }

 private:
  struct Silence {
    int periods = 0;  // without an answer
    std::string why;  // unless it just gives no answer
  };

  absl::Status Begin(const v1::StatsRequest& request) {
    if (request.refs().empty() || static_cast<size_t>(request.refs_size()) > kMaxRefs) {
      return absl::InvalidArgumentError(StrCat("refs: give 1 to ", kMaxRefs, " services or tasks"));
    }
    if (request.period_ms() != 0) period_ = absl::Milliseconds(request.period_ms());
    if (period_ < kLeastPeriod || period_ > kMostPeriod) {
      return absl::InvalidArgumentError("period_ms: must be between 200 and 60000");
    }
    const View& view = owner_.store_.view();
    for (const std::string& ref : request.refs()) {
      const absl::StatusOr<Ref<Service>> service = FindService(view, ref);
      if (service.ok()) {
        services_.insert(Id::ParseOrZero((*service)->id()));
        continue;
      }
      if (!absl::IsNotFound(service.status())) return service.status();
      v1::TaskSelector selector;
      selector.set_ref(ref);
      ASSIGN_OR_RETURN(const Ref<Task> task, FindRunningTask(view, selector));
      tasks_.insert(task->id);
    }
    return absl::OkStatus();
  }

  // Once a period.
  void Turn() {
    for (const auto& [node, leg] : legs_) {
      if (!leg->answered()) ++silences_[node].periods;
    }
    if (!first_turn_ && !sent_) Send();
    first_turn_ = false;
    sent_ = false;
    std::map<Id, std::set<Id>> by_node = Wanted();
    const absl::Duration period =
        walked_ > kLongWalk ? std::max(period_, kLeastLongPeriod) : period_;
    timer_ = owner_.env_.loop.RunAfter(period, [this] { Turn(); });
    if (services_.empty() && tasks_.empty()) return Finish(absl::OkStatus());
    for (auto it = legs_.begin(); it != legs_.end();) {
      it = by_node.contains(it->first) ? std::next(it) : legs_.erase(it);
    }
    std::erase_if(silences_, [&](const auto& of) { return !by_node.contains(of.first); });
    for (auto& [node, tasks] : by_node) {
      auto& leg = legs_[node];
      if (leg == nullptr) {
        leg = std::make_unique<Leg>(*this, owner_.streams_, node);
        if (const absl::Status opened = leg->Open(); !opened.ok()) {
          OnLegEnded(node, opened);
          continue;
        }
      }
      leg->Ask();
      leg->SetTasks(std::move(tasks), period);
    }
  }

  // Forgets what is there no more.
  std::map<Id, std::set<Id>> Wanted() {
    const View& view = owner_.store_.view();
    std::map<Id, std::set<Id>> by_node;
    wanted_.clear();
    walked_ = 0;
    too_many_ = false;
    const auto add = [&](const Ref<Task>& task) {
      const bool one_more = MayHaveContainer(*task) && !wanted_.contains(task->id);
      if (walked_ == kMaxWalked || (one_more && wanted_.size() == kMaxTasks)) {
        too_many_ = true;
        return false;
      }
      ++walked_;
      if (!one_more) return true;
      wanted_.emplace(task->id, task->node_id);
      by_node[task->node_id].insert(task->id);
      return true;
    };
    std::erase_if(services_, [&](Id id) { return view.GetService(id) == nullptr; });
    std::erase_if(tasks_, [&](Id id) {
      const Ref<Task> task = view.GetTask(id);
      return task == nullptr || !MayHaveContainer(*task);
    });
    for (Id id : tasks_) add(view.GetTask(id));
    for (Id id : services_) view.EachTaskOfService(id, add);
    std::erase_if(looks_, [&](const auto& look) { return !wanted_.contains(look.first); });
    std::erase_if(too_large_, [&](Id task) { return !wanted_.contains(task); });
    return by_node;
  }

  void Send() {
    if (writing_) return;
    v1::StatsResponse response;
    AddNotices(response);
    too_large_.clear();
    for (auto& [id, look] : std::exchange(looks_, {})) *response.add_tasks() = std::move(look);
    sent_ = writing_ = true;
    caller_.Write(std::move(response));
  }

  void AddNotices(v1::StatsResponse& response) const {
    std::map<Id, size_t> missing;  // tasks, by node
    for (const auto& [task, node] : wanted_) {
      if (!looks_.contains(task)) ++missing[node];
    }
    for (const auto& [node, silence] : silences_) {
      const auto tasks = missing.find(node);
      if (tasks == missing.end()) continue;
      if (silence.why.empty() && silence.periods < kPatiencePeriods) continue;
      response.add_notices(StrCat(Words(node, silence.why), ": ", Missing(tasks->second)));
    }
    if (!too_large_.empty()) {
      response.add_notices(StrCat("what nodes say is above ", kMaxLookBytes,
                                  " bytes a task: ", Missing(too_large_.size())));
    }
    if (too_many_) {
      response.add_notices(StrCat("too many tasks: statistics are of ", wanted_.size(),
                                  " of them, others are missing"));
    }
  }
  static std::string Missing(size_t tasks) {
    return StrCat("statistics of ", tasks, tasks == 1 ? " task" : " tasks", " are missing");
  }
  // Most reasons name the node already.
  std::string Words(Id node, const std::string& why) const {
    const std::string subject = StrCat("node ", NodeName(owner_.store_.view(), node));
    if (why.empty()) return StrCat(subject, " gave no answer");
    return why.starts_with(subject) ? why : StrCat(subject, ": ", why);
  }

  void Finish(absl::Status status) {
    owner_.env_.loop.Cancel(std::exchange(timer_, 0));
    legs_.clear();
    caller_.Finish(std::move(status));
  }

  StatsBroker& owner_;
  StreamEnd<v1::StatsResponse>& caller_;
  absl::Duration period_ = kDefaultPeriod;
  std::set<Id> services_;
  std::set<Id> tasks_;                       // asked for by themselves
  std::map<Id, Id> wanted_;                  // of now, by whatever way, and their nodes
  size_t walked_ = 0;                        // tasks that wanted_ was picked from
  std::map<Id, std::unique_ptr<Leg>> legs_;  // by node
  bool too_many_ = false;                    // others were left out of it
  std::map<Id, v1::TaskStats> looks_;        // not sent yet, by task
  std::set<Id> too_large_;                   // tasks whose looks were left out of those
  std::map<Id, Silence> silences_;           // since the last answer, by node
  TimerId timer_ = 0;
  bool first_turn_ = true;
  bool sent_ = false;  // in this period
  bool writing_ = false;
};

void StatsBroker::Leg::OnNodeOutput(v1::ContainerOutput output) {
  answered_ = true;
  Read();
  if (output.has_stats()) reader_.OnStats(node_, std::move(*output.mutable_stats()));
}

// Destroys this.
void StatsBroker::Leg::OnNodeEnded(absl::Status status) { reader_.OnLegEnded(node_, status); }

StatsBroker::StatsBroker(const Env& env, Store& store, NodeStreams& streams)
    : env_(env), store_(store), streams_(streams) {}

StatsBroker::~StatsBroker() = default;

StreamEvents<v1::StatsRequest>* StatsBroker::OnOpened(StreamEnd<v1::StatsResponse>& caller) {
  DCHECK(env_.loop.InLoop());
  if (readers_.size() >= kMaxReaders) {
    caller.Finish(absl::ResourceExhaustedError("too many readers of statistics; try again later"));
    return nullptr;
  }
  auto made = std::make_unique<Reader>(*this, caller);
  Reader* reader = made.get();
  readers_[reader] = std::move(made);
  return reader;
}

}  // namespace swarm::manager
