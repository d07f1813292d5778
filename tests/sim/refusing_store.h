// RefusingStore: a store that now and then refuses an Update after its function ran, as the real
// one does when the disk is too slow for what is queued (F4, F6). Nothing of the Update happened
// then.
#ifndef SWARM_TESTS_SIM_REFUSING_STORE_H_
#define SWARM_TESTS_SIM_REFUSING_STORE_H_

#include <memory>
#include <utility>

#include "common/random.h"
#include "manager/store/store.h"

namespace swarm::testing {

class RefusingStore : public manager::Store {
 public:
  // One in `one_in` Updates is refused; 0: none.
  RefusingStore(manager::Store& store, Random& random, uint64_t one_in)
      : store_(store), random_(random), one_in_(one_in) {}

  void Relent() { one_in_ = 0; }

  const manager::View& view() const override { return store_.view(); }
  uint64_t version() const override { return store_.version(); }
  uint64_t durable_version() const override { return store_.durable_version(); }
  absl::Status Update(absl::FunctionRef<absl::Status(manager::WriteTx&)> fn,
                      DurableCallback durable) override {
    const bool refuse = one_in_ > 0 && random_.Below(one_in_) == 0;
    return store_.Update(
        [&](manager::WriteTx& tx) {
          absl::Status status = fn(tx);
          if (status.ok() && refuse) return absl::ResourceExhaustedError("refused by the test");
          return status;
        },
        std::move(durable));
  }
  void WhenDurable(uint64_t version, absl::AnyInvocable<void()> done) override {
    store_.WhenDurable(version, std::move(done));
  }
  void WhenDurableWithin(uint64_t version, absl::Duration patience, DurableCallback done) override {
    store_.WhenDurableWithin(version, patience, std::move(done));
  }
  absl::Status stall() const override { return store_.stall(); }
  std::unique_ptr<manager::WatchHandle> Watch(manager::WatchSpeed speed,
                                              ChangeCallback callback) override {
    return store_.Watch(speed, std::move(callback));
  }
  absl::StatusOr<std::unique_ptr<manager::WatchHandle>> WatchFrom(
      uint64_t version, manager::WatchSpeed speed, ChangeCallback callback) override {
    return store_.WatchFrom(version, speed, std::move(callback));
  }
  Past VersionBefore(absl::Time time) const override { return store_.VersionBefore(time); }

 private:
  manager::Store& store_;
  Random& random_;
  uint64_t one_in_;
};

}  // namespace swarm::testing

#endif  // SWARM_TESTS_SIM_REFUSING_STORE_H_
