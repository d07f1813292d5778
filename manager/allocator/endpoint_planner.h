// EndpointPlanner: what a service needs to be reached: a virtual address in each of its networks,
// and the numbers of its published ports.
//
//   absl::StatusOr<v1::Endpoint> endpoint = planner.Plan(view, service, now);
//   … written …  planner.Commit(service, *endpoint, now);   // what it left is released
//   … refused …  planner.Abandon(service, *endpoint);       // what it took is free again
//
// A service keeps what it has: an address of a network that it left as long as tasks of it are
// there, a given port as long as it publishes the same target.
//
// Loop thread. The address book is shared with tasks and nodes.
#ifndef SWARM_MANAGER_ALLOCATOR_ENDPOINT_PLANNER_H_
#define SWARM_MANAGER_ALLOCATOR_ENDPOINT_PLANNER_H_

#include <cstdint>

#include "absl/container/btree_map.h"
#include "absl/status/statusor.h"
#include "manager/allocator/address_book.h"
#include "manager/network_rules.h"
#include "manager/store/store.h"

namespace swarm::manager {

class EndpointPlanner {
 public:
  static constexpr uint32_t kFirstGivenPort = 30'000;
  static constexpr uint32_t kLastGivenPort = 32'767;

  explicit EndpointPlanner(AddressBook& book) : book_(book) {}

  // What `service` should have; its endpoint as it is when nothing is missing. It is taken by then.
  // An error says in words what is missing, and nothing is taken: a network that is not there, no
  // free address, a port of another service, no free port.
  absl::StatusOr<v1::Endpoint> Plan(const View& view, const Service& service, absl::Duration now);
  // `before` is the service that was planned for.
  void Commit(const Service& before, const v1::Endpoint& planned, absl::Duration now);
  void Abandon(const Service& before, const v1::Endpoint& planned);

  // As the store has it at start.
  void Hold(const Service& service);
  // The service is gone.
  void Release(const Service& service, absl::Duration now);

 private:
  absl::Status PlanAddresses(const View& view, const Service& service, absl::Duration now,
                             v1::Endpoint& planned);
  absl::Status PlanPorts(const View& view, const Service& service, v1::Endpoint& planned);
  absl::StatusOr<uint32_t> GivePort(const View& view, v1::PortConfig::Protocol protocol);

  AddressBook& book_;
  absl::btree_map<Port, Id> ports_;  // in ingress mode, by whose
  uint32_t next_port_ = kFirstGivenPort;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ALLOCATOR_ENDPOINT_PLANNER_H_
