// DelayedJournal: each batch reaches the disk some milliseconds later, in order. What had not when
// the manager died is lost.
#ifndef SWARM_TESTS_SIM_DELAYED_JOURNAL_H_
#define SWARM_TESTS_SIM_DELAYED_JOURNAL_H_

#include <algorithm>
#include <memory>
#include <utility>

#include "common/random.h"
#include "manager/journal/journal.h"
#include "tests/support/sim_loop.h"

namespace swarm::testing {

class DelayedJournal : public manager::Journal {
 public:
  DelayedJournal(SimLoop& loop, Random& random, manager::MemoryJournal& disk)
      : loop_(loop), random_(random), disk_(disk) {}

  absl::StatusOr<uint64_t> Load(
      absl::FunctionRef<absl::Status(const manager::Mutation&)> record) override {
    return disk_.Load(record);
  }
  void Commit(manager::Batch batch, uint64_t epoch,
              absl::AnyInvocable<void(absl::Status)> done) override {
    // Now and then the disk hangs for a while (F6).
    const absl::Duration wait = random_.Below(200) == 0 ? absl::Milliseconds(500)
                                                        : absl::Milliseconds(1 + random_.Below(20));
    last_ = std::max(last_, loop_.Now() + wait);
    loop_.RunAfter(last_ - loop_.Now(),
                   [this, alive = std::weak_ptr<bool>(alive_), batch = std::move(batch), epoch,
                    done = std::move(done)]() mutable {
                     if (!alive.expired()) disk_.Commit(std::move(batch), epoch, std::move(done));
                   });
  }

 private:
  SimLoop& loop_;
  Random& random_;
  manager::MemoryJournal& disk_;
  absl::Duration last_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace swarm::testing

#endif  // SWARM_TESTS_SIM_DELAYED_JOURNAL_H_
