// Volumes: what the API does to volumes. Decisions only; control_service.cc puts it on gRPC.
//
// A volume of the cluster is a name: each node makes its own when a task there uses it first, and
// keeps it. `Create` says what the name means before that (driver, options, labels); a volume that
// nobody created is known by the nodes that hold it, and has no id.
//
// Loop thread only. Every reply runs once, on the loop, and only when what it says is durable.
// Errors are InvalidArgument (with the field's path), NotFound, AlreadyExists (the name, with other
// options), FailedPrecondition (in use: names the users; a node that holds it cannot be reached),
// Unavailable (a node gave no answer). After an error of Create nothing was changed; after one of
// Delete some nodes may hold it no more.
#ifndef SWARM_MANAGER_API_VOLUMES_H_
#define SWARM_MANAGER_API_VOLUMES_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "manager/api/reply.h"
#include "manager/api/request_log.h"
#include "manager/dispatcher/dispatcher.h"
#include "manager/env.h"
#include "manager/store/store.h"
#include "swarm/v1/control.pb.h"

namespace swarm::manager {

class Volumes {
 public:
  // How long a node may take to remove one, and how many removals may be under way.
  static constexpr absl::Duration kPatience = absl::Seconds(25);
  static constexpr size_t kMaxRemovals = 1'000;

  Volumes(const Env& env, Store& store, RequestLog& requests, Dispatcher& dispatcher)
      : env_(env), store_(store), requests_(requests), dispatcher_(dispatcher) {}
  ~Volumes();
  void Start();

  void Create(const v1::CreateVolumeRequest& request, Reply<v1::Volume> reply);
  void Get(const v1::GetVolumeRequest& request, Reply<v1::Volume> reply);
  void List(const v1::ListVolumesRequest& request, Reply<v1::ListVolumesResponse> reply);
  void Delete(const v1::DeleteVolumeRequest& request, Reply<v1::DeleteVolumeResponse> reply);

 private:
  // Asks every node that holds it.
  struct Removal {
    std::string name;
    std::map<Id, std::string> asked;    // host names of nodes that did not answer yet
    std::vector<std::string> problems;  // "node a: why"
    std::vector<std::string> left_on;
    TimerId timer = 0;
    Reply<v1::DeleteVolumeResponse> reply;
  };

  absl::StatusOr<v1::Volume> CreateNow(const v1::CreateVolumeRequest& request);
  absl::Status CheckSameElsewhere(const v1::VolumeSpec& spec) const;
  absl::Status BeginRemoval(const std::string& name, bool force, Removal& removal);
  void OnRemoved(Id node, const v1::VolumeRemoved& answer);
  void OnLate(const std::string& removal_id);
  void Finish(const std::string& removal_id);

  const Env env_;
  Store& store_;
  RequestLog& requests_;
  Dispatcher& dispatcher_;
  std::map<std::string, Removal> removals_;  // by id
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_VOLUMES_H_
