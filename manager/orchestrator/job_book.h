// What the JobKeeper knows about a job's runs: which slots of each are in flight, dead or free.
// Nothing here is lost with the process: one look at the service's tasks finds it all again. Pure.
#ifndef SWARM_MANAGER_ORCHESTRATOR_JOB_BOOK_H_
#define SWARM_MANAGER_ORCHESTRATOR_JOB_BOOK_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/time/time.h"
#include "common/cron_schedule.h"
#include "common/ids.h"
#include "manager/orchestrator/slots.h"
#include "manager/store/store.h"

namespace swarm::manager {

// What a slot of a job came to.
enum class SlotFate : uint8_t {
  kFree,      // nothing ever ran in it
  kInFlight,  // runs, will run or waits to be restarted: counts against max concurrent
  kComplete,  // one of its tasks is COMPLETE
  kDead,      // its tasks failed, and its restart policy allows no more
};

// The tasks of one slot of a job, added in any order.
class SlotSummary {
 public:
  void Add(const Task& task);
  SlotFate fate() const;
  // The slot is not as it should be, or has more than `history_limit` finished tasks.
  bool NeedsCare(size_t history_limit) const;
  bool in_service() const { return in_service_; }

 private:
  bool in_service_ = false;  // has tasks that are not to be removed
  bool complete_ = false;
  bool unsettled_ = false;
  size_t active_ = 0;
  size_t history_ = 0;
};
SlotFate FateOf(const SlotTasks& tasks);

// The slots of one run, by their numbers. Each call costs O(log of what is not complete).
class RunBook {
 public:
  SlotFate At(uint32_t number) const;
  void Set(uint32_t number, SlotFate fate);

  // The lowest number up to `total` that is free; 0: none.
  uint32_t NextFree(uint64_t total) const;
  // The highest number that was ever not free.
  uint32_t last() const { return last_; }
  uint64_t complete() const { return complete_; }
  const absl::btree_set<uint32_t>& in_flight() const { return in_flight_; }
  const absl::btree_set<uint32_t>& dead() const { return dead_; }
  bool HasFree() const { return !free_.empty(); }

  // Global jobs: the slot of each node.
  absl::btree_map<Id, uint32_t> number_of_node;

 private:
  absl::btree_set<uint32_t>* SetOf(SlotFate fate);

  uint32_t last_ = 0;
  uint64_t complete_ = 0;
  absl::btree_set<uint32_t> in_flight_;
  absl::btree_set<uint32_t> dead_;
  absl::btree_set<uint32_t> free_;  // up to last_: hardly ever any
};

struct JobBook {
  absl::btree_map<uint32_t, RunBook> runs;  // those whose tasks are kept
  // Runs whose tasks are being removed, and the highest slot number that may still have some.
  absl::btree_map<uint32_t, uint32_t> leaving;

  // Cron: the schedule as parsed, and when this job is looked at again (monotonic).
  std::string schedule_key;
  std::optional<CronSchedule> schedule;
  std::optional<absl::Duration> alarm_at;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ORCHESTRATOR_JOB_BOOK_H_
