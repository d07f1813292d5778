// ServiceProgress: is a service where its spec wants it, from the changes that Watch tells. Pure.
//
//   ServiceProgress progress(accepted);            // what the write answered
//   progress.Reset(service, tasks);                // first, and after a RESYNC
//   progress.Apply(event);
//   switch (progress.Judge(clock.MonotonicNow()).state) …
//
// Converged: each wanted slot runs a task of the wanted revision, nothing else is wanted to run,
// and no update is under way. Failed, with the reason: the update paused; the service was removed;
// a slot's tasks failed, or ended by themselves, kEndsOfASlot times since the write; a slot's task
// ended and nothing replaced it for kReplacementPatience (attempts used up, or a restart condition
// that says so). A task that waits for a node is neither: the cluster may still get one.
#ifndef SWARM_CLI_PROGRESS_H_
#define SWARM_CLI_PROGRESS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "swarm/v1/control.pb.h"
#include "swarm/v1/types.pb.h"

namespace swarm::cli {

class ServiceProgress {
 public:
  static constexpr size_t kEndsOfASlot = 3;
  static constexpr absl::Duration kReplacementPatience = absl::Seconds(2);
  static constexpr uint64_t kMostBars = 20;  // above it a summary, as Docker

  explicit ServiceProgress(const v1::Service& accepted);

  void Reset(const v1::Service& service, const std::vector<v1::Task>& tasks);
  // Events of other services are left alone.
  void Apply(const v1::WatchEvent& event);

  enum class State { kWaiting, kConverged, kFailed };
  struct Verdict {
    State state = State::kWaiting;
    std::string reason;  // kFailed: why; kWaiting: what hinders, may be empty
    // kWaiting: ask again after this, even if nothing happens.
    absl::Duration ask_again = absl::InfiniteDuration();
  };
  // `now` is monotonic and never goes back.
  Verdict Judge(absl::Duration now);

  // "overall progress: 1 out of 3 tasks"; above kMostBars with the number in each state.
  std::string Summary() const;
  // One a slot up to kMostBars, else none: "1/3: running   [====>  ]".
  std::vector<std::string> Bars() const;
  // One a slot that has something to say: "web.2: no suitable node (…)". At most kMostBars.
  std::vector<std::string> Notes() const;

  const std::string& id() const { return id_; }
  const std::string& name() const { return name_; }

 private:
  struct Slot {
    const v1::Task* current = nullptr;     // wanted to run; else the newest
    const v1::Task* last_ended = nullptr;  // of those that count
    size_t ends = 0;                       // since the write, of the wanted revision
    bool wanted = false;                   // `current` is wanted to run and has not ended
    bool good = false;                     // `current` runs the wanted revision
  };
  std::map<uint64_t, Slot> Slots() const;
  bool IsWanted(const v1::Task& task) const;
  bool Counts(const v1::Task& task) const;
  bool UpdateIsDone() const;
  // Of a task that has an error or has ended: "web.1: task: non-zero exit (3)".
  std::string Explain(uint64_t slot, const v1::Task& task) const;
  Verdict JudgeSlot(uint64_t number, const Slot& slot, absl::Duration now);

  const std::string id_;
  const std::string name_;
  const absl::Time accepted_at_;  // the manager's clock
  const bool paused_before_;      // an update that stands still, and not because of this write
  v1::Service service_;
  bool removed_ = false;
  std::map<std::string, v1::Task> tasks_;
  std::map<uint64_t, absl::Duration> empty_since_;  // slots without a wanted task
};

}  // namespace swarm::cli

#endif  // SWARM_CLI_PROGRESS_H_
