// AddressBook: who may have which address of which network, in words when there is none.
//
//   book.PutNetwork(*network);
//   ASSIGN_OR_RETURN(TaskAddress address, book.Take(network_id, now));
//
// One address of each family that the network has. Pure; one thread; `now` is monotonic.
#ifndef SWARM_MANAGER_ALLOCATOR_ADDRESS_BOOK_H_
#define SWARM_MANAGER_ALLOCATOR_ADDRESS_BOOK_H_

#include <optional>
#include <string>

#include "absl/container/btree_map.h"
#include "absl/status/statusor.h"
#include "manager/allocator/address_pool.h"
#include "manager/store/store.h"

namespace swarm::manager {

class AddressBook {
 public:
  // A network that is known stays as it is: its subnets never change.
  void PutNetwork(const Network& network);
  void RemoveNetwork(Id network) { networks_.erase(network); }

  // ResourceExhausted "network web has no free address (254 of 254 in use)"; NotFound for one that
  // is not known.
  absl::StatusOr<TaskAddress> Take(Id network, absl::Duration now);
  // As of AddressPool, of both families; of networks that are gone: nothing.
  void Hold(const TaskAddress& address);
  // A machine of the LAN has the address: macvlan networks do not give it. Held until the network
  // or the book goes.
  void HoldOnLans(const IpAddress& address);
  void Release(const TaskAddress& address, absl::Duration now);
  void Cool(const TaskAddress& address, absl::Duration now);
  void Return(const TaskAddress& address);
  // When the next address of any network is free again.
  std::optional<absl::Duration> NextFree() const;

 private:
  struct Pools {
    std::string name;
    std::optional<AddressPool> v4;
    std::optional<AddressPool> v6;
    bool on_lan = false;  // macvlan
  };
  Pools* Find(Id network);

  absl::btree_map<Id, Pools> networks_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ALLOCATOR_ADDRESS_BOOK_H_
