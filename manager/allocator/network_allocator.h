// NetworkAllocator: the one implementation of Allocator. Private to the room; two files share it:
// `allocator.cc` follows the store, `giving.cc` gives.
#ifndef SWARM_MANAGER_ALLOCATOR_NETWORK_ALLOCATOR_H_
#define SWARM_MANAGER_ALLOCATOR_NETWORK_ALLOCATOR_H_

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "manager/allocator/address_book.h"
#include "manager/allocator/allocator.h"
#include "manager/allocator/endpoint_planner.h"
#include "manager/allocator/network_planner.h"

namespace swarm::manager {

class NetworkAllocator : public Allocator {
 public:
  NetworkAllocator(const Env& env, Store& store) : env_(env), store_(store) {}
  ~NetworkAllocator() override;

  void Start() override;

 private:
  // What one Update gives, to be taken back when the store refuses it.
  struct Given {
    std::vector<std::pair<Id, std::vector<TaskAddress>>> tasks;
    std::vector<std::pair<Ref<Service>, v1::Endpoint>> services;
    std::vector<std::pair<Id, TaskAddress>> nodes;
    size_t writes = 0;  // all that the Update holds
  };
  // Where tasks of one revision are, or why that is not known.
  struct Places {
    std::vector<Id> networks;
    std::string missing;
  };
  using PlacesOf = absl::flat_hash_map<const Revision*, Places>;

  // Following.
  void Load();
  void OnChanges(const ChangeSet& set);
  void OnTask(const Change& change);
  void OnService(const Change& change);
  void OnNetwork(const Change& change);
  void OnNode(const Change& change);
  void NoteNew(const Task& task);
  void ReleaseTask(const Task& task);
  void WakeUp();
  void RetryWaiting();
  void ArmRetry();

  // Giving.
  void Turn();
  void MakeIngress();
  void GiveNodes(WriteTx& tx, Given& given);
  void GiveServices(WriteTx& tx, Given& given);
  void GiveTasks(WriteTx& tx, Given& given);
  // False when it waits.
  bool GiveTask(WriteTx& tx, const Task& task, const Places& places, Given& given);
  Places PlacesOfTask(const View& view, const Task& task) const;
  void Explain(WriteTx& tx, const Task& task, const std::string& why, Given& given);
  void Keep(const Given& given);
  void TakeBack(Given& given);

  const Env env_;
  Store& store_;
  std::unique_ptr<WatchHandle> watch_;
  AddressBook book_;
  EndpointPlanner endpoints_{book_};
  NetworkPlanner planner_;
  absl::flat_hash_set<Id> holders_;  // tasks whose addresses are taken in book_

  // To be looked at. All are bounded by what the store has.
  // Each is here or in waiting_ once, and again when its service was let out of quarantine.
  std::deque<Id> new_tasks_;
  absl::btree_set<Id> dirty_services_;
  absl::btree_set<Id> dirty_nodes_;
  // Looked at, and something is missing.
  std::deque<Id> waiting_;
  absl::btree_map<Id, std::string> waiting_services_;  // and why
  absl::btree_set<Id> waiting_nodes_;
  std::string no_ingress_;                              // why it could not be made
  std::shared_ptr<const TaskDetail> last_explanation_;  // tasks with one reason share it

  bool awake_ = false;       // a turn is on its way
  TimerId turn_timer_ = 0;   // after an Update that was refused
  TimerId retry_timer_ = 0;  // when an address that cools is free
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ALLOCATOR_NETWORK_ALLOCATOR_H_
