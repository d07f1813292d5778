// Progress: has a service got where its spec wants it, from the changes that Watch tells. Pure.
//
//   std::unique_ptr<Progress> progress = MakeProgress(accepted, …);  // what the write answered
//   progress->Reset(service, tasks);                                 // first, and after a RESYNC
//   progress->Apply(event);
//   switch (progress->Judge(clock.MonotonicNow()).state) …
//
// ServiceProgress is of services that stay up. Converged: each place (a slot, or a node of a global
// service) runs a task of the wanted revision, nothing else is wanted to run, and no update is
// under way. Failed, with the reason: the update paused or was rolled back; the service was
// removed; a place's tasks failed, or ended by themselves, kEndsOfAPlace times since the write; a
// place's task ended and nothing replaced it for kReplacementPatience (attempts used up, or a
// restart condition that says so). While an update is under way its tasks' failures are for its own
// rules to judge. A task that waits for a node is neither: the cluster may still get one.
// JobProgress (job_progress.h) is of services that end.
#ifndef SWARM_CLI_PROGRESS_H_
#define SWARM_CLI_PROGRESS_H_

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "swarm/v1/control.pb.h"
#include "swarm/v1/types.pb.h"

namespace swarm::cli {

class Progress {
 public:
  static constexpr absl::Duration kReplacementPatience = absl::Seconds(2);
  static constexpr uint64_t kMostBars = 20;  // above it a summary, as Docker

  explicit Progress(const v1::Service& accepted);
  virtual ~Progress() = default;

  void Reset(const v1::Service& service, const std::vector<v1::Task>& tasks);
  // Events of other services are left alone.
  void Apply(const v1::WatchEvent& event);
  // Host names by id, for those who read; ids will do.
  void NameNodes(std::map<std::string, std::string> names) { node_names_ = std::move(names); }

  enum class State { kWaiting, kConverged, kFailed };
  struct Verdict {
    State state = State::kWaiting;
    std::string reason;  // kFailed: why; kWaiting: what hinders, may be empty
    // kWaiting: ask again after this, even if nothing happens.
    absl::Duration ask_again = absl::InfiniteDuration();
    bool is_over = false;      // kConverged: done, there is no need to see whether it stays so
    bool rolled_back = false;  // kFailed: to what it was before
  };
  // `now` is monotonic and never goes back.
  virtual Verdict Judge(absl::Duration now) = 0;

  // "overall progress: 1 out of 3 tasks"; above kMostBars with the number in each state.
  virtual std::string Summary() const = 0;
  // On terminals: one a place up to kMostBars, else one of all: "1/3: running   [====>  ]".
  virtual std::vector<std::string> Bars() const = 0;
  // One a place that has something to say: "web.2: no suitable node (…)". At most kMostBars.
  virtual std::vector<std::string> Notes() const = 0;
  // About the service as a whole: "rollback: web.2 failed", "waiting for db to be healthy".
  virtual std::vector<std::string> Remarks() const;

  const std::string& id() const { return id_; }
  const std::string& name() const { return name_; }
  const v1::Service& service() const { return service_; }
  size_t task_count() const { return tasks_.size(); }

 protected:
  // The service is another one now.
  virtual void Changed() {}
  // A record that goes, yet still counts.
  virtual bool Remembers(const v1::Task&) const { return false; }
  std::string NodeName(const std::string& node_id) const;
  // "web.1: task: non-zero exit (3)"; "" when there is nothing to say.
  std::string Explain(const std::string& task_name, const v1::Task& task) const;

  const std::string id_;
  const std::string name_;
  const absl::Time accepted_at_;  // the manager's clock
  v1::Service service_;
  bool removed_ = false;
  std::map<std::string, v1::Task> tasks_;

 private:
  std::map<std::string, std::string> node_names_;
};

class ServiceProgress : public Progress {
 public:
  static constexpr size_t kEndsOfAPlace = 3;
  // For the first task of a global service; without a node that suits it there will be none.
  static constexpr absl::Duration kNodePatience = absl::Seconds(5);

  // `rolls_back`: the write was a rollback, so that its completion is what was asked for.
  ServiceProgress(const v1::Service& accepted, bool rolls_back);

  Verdict Judge(absl::Duration now) override;
  std::string Summary() const override;
  std::vector<std::string> Bars() const override;
  std::vector<std::string> Notes() const override;
  std::vector<std::string> Remarks() const override;

 protected:
  void Changed() override;
  bool Remembers(const v1::Task& task) const override { return Counts(task); }

 private:
  struct Place {
    uint64_t slot = 0;
    std::string node;  // of global services
    auto operator<=>(const Place&) const = default;
  };
  struct Occupant {
    const v1::Task* current = nullptr;     // wanted to run; else the newest
    const v1::Task* last_ended = nullptr;  // of those that count
    size_t ends = 0;                       // since the write, of the wanted revision
    bool wanted = false;                   // `current` is wanted to run and has not ended
    bool good = false;                     // `current` runs the wanted revision
    bool expected = false;                 // there is to be a task; else it is to stop
  };
  std::map<Place, Occupant> Places() const;
  bool IsGlobal() const;
  uint64_t WantedReplicas() const;
  bool IsWanted(const v1::Task& task) const;
  bool Counts(const v1::Task& task) const;
  bool UpdateIsDone() const;
  bool IsRollingBack() const;
  std::string NameOf(const Place& place) const;
  Verdict JudgePlace(const Place& place, const Occupant& occupant, absl::Duration now);
  Verdict JudgeUpdate() const;
  Verdict JudgeWithoutNodes(absl::Duration now);

  const bool rolls_back_;
  const v1::UpdateStatus status_before_;
  bool status_is_old_;  // it is of something before this write, and says nothing about it
  std::map<Place, absl::Duration> empty_since_;  // without a wanted task
  std::optional<absl::Duration> no_node_since_;
  bool has_no_node_ = false;
};

std::unique_ptr<Progress> MakeProgress(const v1::Service& accepted, bool rolls_back);

// 0 before the first state, then 1 for NEW to 8 for RUNNING.
int StepOf(v1::TaskStatus::State state);
// "[=====>     ]"
std::string DrawBar(uint64_t done, uint64_t all);

}  // namespace swarm::cli

#endif  // SWARM_CLI_PROGRESS_H_
