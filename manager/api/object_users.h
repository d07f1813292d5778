// Who uses an object of the cluster (a network, a secret, a config, a volume): services whose spec
// needs it or that an update which fails takes back to it, and services whose tasks still do. Loop
// thread.
#ifndef SWARM_MANAGER_API_OBJECT_USERS_H_
#define SWARM_MANAGER_API_OBJECT_USERS_H_

#include <cstddef>
#include <string>

#include "absl/functional/function_ref.h"
#include "manager/store/store.h"

namespace swarm::manager {

// What it means to use the object in question.
struct UserRules {
  // A service that is not being removed needs it for tasks to come.
  absl::FunctionRef<bool(const Service&)> spec_uses;
  // Tasks of the revision may hold it; only then they are asked.
  absl::FunctionRef<bool(const Revision&)> revision_uses;
  absl::FunctionRef<bool(const Task&)> task_holds;
};

class ObjectUsers {
 public:
  ObjectUsers(const View& view, const UserRules& rules);

  bool empty() const { return count_ == 0; }
  bool AllAreBeingRemoved() const { return count_ == removing_; }
  // `services "web", "db" and 3 more`
  std::string ToString() const;

 private:
  static constexpr size_t kNamed = 5;
  void Note(const Service& service);

  std::string names_;
  size_t count_ = 0;
  size_t removing_ = 0;
};

// FailedPrecondition: `network "front" is in use by service "web"`.
absl::Status InUse(std::string_view kind, std::string_view name, const ObjectUsers& users);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_OBJECT_USERS_H_
