// VolumeBook: what the cluster knows of volumes by their names, as the durable feed has it, and
// what that makes of a revision: agents need not know more than what tasks mount. Loop thread.
#ifndef SWARM_MANAGER_DISPATCHER_VOLUME_BOOK_H_
#define SWARM_MANAGER_DISPATCHER_VOLUME_BOOK_H_

#include <map>
#include <string>

#include "manager/store/store.h"
#include "swarm/v1/types.pb.h"

namespace swarm::manager {

class VolumeBook {
 public:
  void Load(const View& view);
  void Follow(const Change& change);
  // Mounts of volumes that were created get what SettleMount gives them.
  void Settle(v1::Revision& revision) const;

 private:
  std::map<std::string, Ref<Volume>> volumes_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_DISPATCHER_VOLUME_BOOK_H_
