#include "manager/store/store.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "manager/store/loading.h"
#include "manager/store/tables.h"
#include "manager/store/transaction.h"

namespace swarm::manager {
namespace {

// Change sets that one watcher gets before the loop has another turn.
constexpr int kSetsPerTurn = 64;
// The history also ends here, whatever its number of sets: each change holds an object in memory.
constexpr size_t kMaxHistoryWeight = 500'000;  // changes, and KiB of what secrets and configs hold
// Between two looks, while the journal stalls, at who has waited long enough.
constexpr absl::Duration kStallPeriod = absl::Seconds(1);

// Of kMaxHistoryWeight: what other objects hold is small.
size_t Weight(const ChangeSet& set) {
  size_t weight = set.changes.size();
  for (const Change& change : set.changes) {
    if (!change.Is<Secret>() && !change.Is<Config>()) continue;
    for (const Ref<Secret>& secret : {change.Before<Secret>(), change.After<Secret>()}) {
      if (secret != nullptr) weight += secret->sealed_data().size() >> 10;
    }
    for (const Ref<Config>& config : {change.Before<Config>(), change.After<Config>()}) {
      if (config != nullptr) weight += config->spec().data().size() >> 10;
    }
  }
  return weight;
}

struct Watcher {
  WatchSpeed speed;
  uint64_t delivered = 0;  // the last version that was told
  Store::ChangeCallback callback;
  bool ended = false;  // its handle is gone
};

class Handle : public WatchHandle {
 public:
  explicit Handle(std::shared_ptr<Watcher> watcher) : watcher_(std::move(watcher)) {}
  ~Handle() override { watcher_->ended = true; }

 private:
  std::shared_ptr<Watcher> watcher_;
};

class JournaledStore : public Store {
 public:
  JournaledStore(EventLoop& loop, const Clock& clock, Journal& journal, Options options)
      : loop_(loop), clock_(clock), journal_(journal), options_(std::move(options)) {}
  ~JournaledStore() override { loop_.Cancel(stall_timer_); }

  absl::Status Load() {
    journal_.OnStall([this, alive = std::weak_ptr<bool>(alive_)](absl::Status status) {
      if (!alive.expired()) OnStall(std::move(status));
    });
    ASSIGN_OR_RETURN(version_, LoadTables(journal_, tables_));
    reserved_ = durable_version_ = oldest_resumable_ = version_;
    return absl::OkStatus();
  }

  const View& view() const override {
    DCHECK(loop_.InLoop());
    return tables_;
  }
  uint64_t version() const override { return version_; }
  uint64_t durable_version() const override { return durable_version_; }

  absl::Status Update(absl::FunctionRef<absl::Status(WriteTx&)> fn,
                      DurableCallback durable) override;
  void WhenDurable(uint64_t version, absl::AnyInvocable<void()> done) override;
  void WhenDurableWithin(uint64_t version, absl::Duration patience, DurableCallback done) override;
  absl::Status stall() const override { return stall_; }
  std::unique_ptr<WatchHandle> Watch(WatchSpeed speed, ChangeCallback callback) override;
  absl::StatusOr<std::unique_ptr<WatchHandle>> WatchFrom(uint64_t version, WatchSpeed speed,
                                                         ChangeCallback callback) override;
  Past VersionBefore(absl::Time time) const override;

 private:
  struct Waiting {
    uint64_t version;
    DurableCallback done;
    // How long it stands a stall, and since when it does.
    absl::Duration patience = absl::InfiniteDuration();
    absl::Duration since = absl::ZeroDuration();
  };

  absl::Status Run(Transaction& tx, absl::FunctionRef<absl::Status(WriteTx&)> fn, Batch& batch);
  void Send(Batch batch);
  void OnCommitted(uint64_t version, absl::Status status);
  void Fail(absl::Status status);
  void AdvanceDurable();
  void OnStall(absl::Status status);
  void GiveUpWaiting();
  void Await(Waiting waiting);
  void WakeDurable();
  void RunDurable();
  void WakeWatchers();
  void TellWatchers();
  bool Tell(Watcher& watcher, uint64_t up_to);
  void TrimHistory();
  // Runs `method` in a callback of its own, unless the store is gone by then.
  void PostOnce(bool& posted, void (JournaledStore::*method)());

  EventLoop& loop_;
  const Clock& clock_;
  Journal& journal_;
  Options options_;
  Tables tables_;

  uint64_t version_ = 0;
  uint64_t durable_version_ = 0;
  uint64_t reserved_ = 0;
  bool in_update_ = false;
  absl::Status failure_;
  absl::Status stall_;
  absl::Duration stalled_at_;
  TimerId stall_timer_ = 0;

  // Batches on their way to the disk: version and bytes.
  std::deque<std::pair<uint64_t, size_t>> in_flight_;
  size_t in_flight_bytes_ = 0;
  std::deque<Waiting> waiting_;  // by version
  bool durable_posted_ = false;
  bool give_up_posted_ = false;

  std::deque<ChangeSet> history_;
  size_t history_weight_ = 0;
  // A watch may begin after this version or any later one.
  uint64_t oldest_resumable_ = 0;
  std::vector<std::shared_ptr<Watcher>> watchers_;
  bool watchers_posted_ = false;

  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

absl::Status JournaledStore::Update(absl::FunctionRef<absl::Status(WriteTx&)> fn,
                                    DurableCallback durable) {
  DCHECK(loop_.InLoop());
  CHECK(!in_update_) << "an Update inside an Update";
  RETURN_IF_ERROR(failure_);
  Transaction tx(tables_, version_ + 1, clock_.WallNow());
  Batch batch;
  in_update_ = true;
  absl::Status status = Run(tx, fn, batch);
  if (!status.ok()) tx.Undo();
  in_update_ = false;
  RETURN_IF_ERROR(status);
  if (!tx.Empty()) {
    version_ = batch.version;
    ChangeSet set{version_, clock_.WallNow(), tx.TakeChanges()};
    history_weight_ += Weight(set);
    history_.push_back(std::move(set));
    if (!batch.mutations.empty()) Send(std::move(batch));
    AdvanceDurable();
    WakeWatchers();
  }
  if (durable != nullptr) Await({version_, std::move(durable)});
  return absl::OkStatus();
}

absl::Status JournaledStore::Run(Transaction& tx, absl::FunctionRef<absl::Status(WriteTx&)> fn,
                                 Batch& batch) {
  RETURN_IF_ERROR(fn(tx));
  RETURN_IF_ERROR(tx.Check());
  batch.version = version_ + 1;
  batch.mutations = tx.MakeMutations();
  if (batch.version > reserved_ && !tx.Empty()) {
    batch.mutations.push_back(ReserveVersions(batch.version + kReservedVersions));
  }
  if (!batch.mutations.empty()) RETURN_IF_ERROR(stall_);
  // The journal would refuse it too, but then it would be too late to undo.
  if (in_flight_bytes_ + BatchBytes(batch) > Journal::kMaxQueuedBytes) {
    return absl::ResourceExhaustedError(
        StrCat("the disk is too slow: ", in_flight_bytes_, " bytes wait for it"));
  }
  return absl::OkStatus();
}

void JournaledStore::Send(Batch batch) {
  const uint64_t version = batch.version;
  if (version > reserved_) reserved_ = version + kReservedVersions;
  in_flight_.emplace_back(version, BatchBytes(batch));
  in_flight_bytes_ += in_flight_.back().second;
  journal_.Commit(std::move(batch), /*epoch=*/0,
                  [this, version, alive = std::weak_ptr<bool>(alive_)](absl::Status status) {
                    if (!alive.expired()) OnCommitted(version, std::move(status));
                  });
}

void JournaledStore::OnCommitted(uint64_t version, absl::Status status) {
  CHECK(!in_flight_.empty() && in_flight_.front().first == version)
      << "the journal called back for " << version << " out of turn";
  in_flight_bytes_ -= in_flight_.front().second;
  in_flight_.pop_front();
  if (!status.ok()) Fail(std::move(status));
  if (!failure_.ok()) return;
  AdvanceDurable();
}

void JournaledStore::Fail(absl::Status status) {
  if (!failure_.ok()) return;
  failure_ = Annotate(status, "the journal failed");
  LogError("store", ToStd(failure_.message()));
  WakeDurable();
  if (options_.on_fatal != nullptr) options_.on_fatal(failure_);
}

// Versions without a batch are as durable as the batches before them.
void JournaledStore::AdvanceDurable() {
  const uint64_t durable = in_flight_.empty() ? version_ : in_flight_.front().first - 1;
  if (durable == durable_version_ || !failure_.ok()) return;
  durable_version_ = durable;
  WakeDurable();
  WakeWatchers();
}

void JournaledStore::WhenDurable(uint64_t version, absl::AnyInvocable<void()> done) {
  DCHECK(loop_.InLoop());
  CHECK(version <= version_) << "version " << version << " is still to come, at " << version_;
  Await({version, [done = std::move(done)](absl::Status status) mutable {
           if (status.ok()) done();
         }});
}

void JournaledStore::WhenDurableWithin(uint64_t version, absl::Duration patience,
                                       DurableCallback done) {
  DCHECK(loop_.InLoop());
  CHECK(version <= version_) << "version " << version << " is still to come, at " << version_;
  Await({version, std::move(done), patience, loop_.Now()});
  if (!stall_.ok()) PostOnce(give_up_posted_, &JournaledStore::GiveUpWaiting);
}

void JournaledStore::OnStall(absl::Status status) {
  stall_ = std::move(status);
  stalled_at_ = loop_.Now();
  if (options_.on_stall != nullptr) options_.on_stall(stall_);
  if (!stall_.ok()) PostOnce(give_up_posted_, &JournaledStore::GiveUpWaiting);
}

// Those who waited long enough, now and each second while it stalls.
void JournaledStore::GiveUpWaiting() {
  loop_.Cancel(std::exchange(stall_timer_, 0));
  if (stall_.ok()) return;
  stall_timer_ = loop_.RunAfter(kStallPeriod, [this] {
    stall_timer_ = 0;
    GiveUpWaiting();
  });
  const absl::Duration now = loop_.Now();
  std::deque<Waiting> rest;
  std::vector<Waiting> late;
  for (Waiting& waiting : waiting_) {
    const bool gives_up = waiting.version > durable_version_ &&
                          now - std::max(waiting.since, stalled_at_) >= waiting.patience;
    if (gives_up) {
      late.push_back(std::move(waiting));
    } else {
      rest.push_back(std::move(waiting));
    }
  }
  waiting_ = std::move(rest);
  const absl::Status why = absl::UnavailableError(stall_.message());
  const std::weak_ptr<bool> alive = alive_;
  for (Waiting& waiting : late) {
    waiting.done(why);
    if (alive.expired()) return;
  }
}

void JournaledStore::Await(Waiting waiting) {
  const uint64_t version = waiting.version;
  const auto behind =
      std::upper_bound(waiting_.begin(), waiting_.end(), version,
                       [](uint64_t v, const Waiting& other) { return v < other.version; });
  waiting_.insert(behind, std::move(waiting));
  if (version <= durable_version_ || !failure_.ok()) WakeDurable();
}

void JournaledStore::PostOnce(bool& posted, void (JournaledStore::*method)()) {
  if (posted) return;
  posted = true;
  loop_.Post([this, &posted, method, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired()) return;
    posted = false;
    (this->*method)();
  });
}

void JournaledStore::WakeDurable() {
  if (!waiting_.empty()) PostOnce(durable_posted_, &JournaledStore::RunDurable);
}

void JournaledStore::RunDurable() {
  // What these callbacks add waits for the next turn.
  std::vector<Waiting> ready;
  while (!waiting_.empty() && (waiting_.front().version <= durable_version_ || !failure_.ok())) {
    ready.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  const std::weak_ptr<bool> alive = alive_;
  const uint64_t durable = durable_version_;
  const absl::Status failure = failure_;
  for (Waiting& waiting : ready) {
    waiting.done(waiting.version <= durable ? absl::OkStatus() : failure);
    if (alive.expired()) return;
  }
}

std::unique_ptr<WatchHandle> JournaledStore::Watch(WatchSpeed speed, ChangeCallback callback) {
  absl::StatusOr<std::unique_ptr<WatchHandle>> handle =
      WatchFrom(version_, speed, std::move(callback));
  return *std::move(handle);
}

absl::StatusOr<std::unique_ptr<WatchHandle>> JournaledStore::WatchFrom(uint64_t version,
                                                                       WatchSpeed speed,
                                                                       ChangeCallback callback) {
  DCHECK(loop_.InLoop());
  if (version < oldest_resumable_ || version > version_) {
    return absl::OutOfRangeError(StrCat("changes are kept from version ", oldest_resumable_, " to ",
                                        version_, ", not after ", version));
  }
  auto watcher = std::make_shared<Watcher>(Watcher{speed, version, std::move(callback)});
  watchers_.push_back(watcher);
  if (version < version_) WakeWatchers();
  return std::make_unique<Handle>(std::move(watcher));
}

Store::Past JournaledStore::VersionBefore(absl::Time time) const {
  DCHECK(loop_.InLoop());
  for (const ChangeSet& set : history_) {
    if (set.at >= time)
      return {std::max(set.version - 1, oldest_resumable_), &set != &history_.front()};
  }
  // All that is kept is older.
  return {version_, !history_.empty()};
}

void JournaledStore::WakeWatchers() { PostOnce(watchers_posted_, &JournaledStore::TellWatchers); }

void JournaledStore::TellWatchers() {
  const std::weak_ptr<bool> alive = alive_;
  const uint64_t newest = version_;
  const uint64_t durable = durable_version_;
  bool more = false;
  // By index: a callback may watch.
  for (size_t i = 0; i < watchers_.size(); ++i) {
    const std::shared_ptr<Watcher> watcher = watchers_[i];
    more |= Tell(*watcher, watcher->speed == WatchSpeed::kApplied ? newest : durable);
    if (alive.expired()) return;
  }
  std::erase_if(watchers_, [](const auto& watcher) { return watcher->ended; });
  TrimHistory();
  if (more) WakeWatchers();
}

// True when it has not seen everything up to `up_to` yet.
bool JournaledStore::Tell(Watcher& watcher, uint64_t up_to) {
  const std::weak_ptr<bool> alive = alive_;
  for (int told = 0; !watcher.ended && watcher.delivered < up_to; ++told) {
    if (told == kSetsPerTurn) return true;
    CHECK(!history_.empty() && watcher.delivered + 1 >= history_.front().version)
        << "version " << watcher.delivered + 1 << " was trimmed before a watcher saw it";
    // Versions in the history are consecutive. A deque keeps its elements where they are when
    // others are added at its end, and nothing is trimmed while a callback runs.
    const ChangeSet& set = history_[watcher.delivered + 1 - history_.front().version];
    watcher.delivered = set.version;
    watcher.callback(set);
    if (alive.expired()) return false;
  }
  return false;
}

void JournaledStore::TrimHistory() {
  uint64_t seen = version_;
  for (const auto& watcher : watchers_) seen = std::min(seen, watcher->delivered);
  while (!history_.empty() && history_.front().version <= seen &&
         (history_.size() > options_.history_limit || history_weight_ > kMaxHistoryWeight)) {
    oldest_resumable_ = history_.front().version;
    history_weight_ -= Weight(history_.front());
    history_.pop_front();
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> OpenStore(EventLoop& loop, const Clock& clock,
                                                 Journal& journal, Store::Options options) {
  auto store = std::make_unique<JournaledStore>(loop, clock, journal, std::move(options));
  RETURN_IF_ERROR(store->Load());
  return store;
}

}  // namespace swarm::manager
