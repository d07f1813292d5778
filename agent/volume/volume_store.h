// VolumeStore: the volumes of a node: folders that outlive the containers that use them.
//
//   auto store = VolumeStore::Open(state_dir + "/volumes", clock);
//   path = (*store)->Use(wish, task_id, &image_folder);   // makes it, mounts it, fills it
//   …
//   (*store)->Release(task_id);                            // unmounts it when nobody uses it
//
// On disk, below a folder that only root enters:
//
//   NAME/_data        what containers see; 0755 of root, or as the image has it
//   NAME/volume.json  swarm.v1.NodeVolume
//   NAME/tasks/ID     an empty file for each task that uses it, there before its container is
//
// A volume is there, whole, from the moment that its folder has its name. One with options that
// mount something is mounted on _data while a task uses it. Volumes stay until Remove, anonymous
// ones (AnonymousVolume) until their task is released.
//
// Blocking; any thread. Calls for one volume wait for each other, other calls do not.
#ifndef SWARM_AGENT_VOLUME_VOLUME_STORE_H_
#define SWARM_AGENT_VOLUME_VOLUME_STORE_H_

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/volume/image_copy.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "swarm/v1/types.pb.h"

namespace swarm::agent {

// The name of a task's volume that nobody named. No user's volume can have it.
std::string AnonymousVolume(const std::string& task_id, int index);

class VolumeStore {
 public:
  // Makes the folder; takes away what an interrupted call left half-made. `clock` is borrowed.
  static absl::StatusOr<std::unique_ptr<VolumeStore>> Open(std::string dir, const Clock& clock);

  // The volume `wish.name`, used by `task_id` from now on; the path of its data. Made of `wish`
  // when it is not there. An empty volume gets what `image` has (null: nothing; of a volume that is
  // mounted it is copied in place). After an error the task may be using it: Release.
  // InvalidArgument: name or options; FailedPrecondition: another driver than "local", other
  // options than those it was made with, no way to limit its size, a mount that fails.
  absl::StatusOr<std::string> Use(const v1::NodeVolume& wish, const std::string& task_id,
                                  const ImageFolder* image);
  // Nothing of the task's is used any more; its anonymous volumes are gone. Unknown tasks are fine.
  // Goes on after an error and returns the first.
  absl::Status Release(const std::string& task_id);
  // The same for every task but these.
  absl::Status ReleaseAllBut(const std::set<std::string>& task_ids);
  // All of them, by name; out of memory.
  std::vector<v1::NodeVolume> List() const;
  // Missing is OK. FailedPrecondition names the tasks that use it.
  absl::Status Remove(const std::string& name);

 private:
  struct Entry {
    v1::NodeVolume info;
    std::set<std::string> tasks;
  };
  class Claim;

  VolumeStore(std::string dir, const Clock& clock) : dir_(std::move(dir)), clock_(clock) {}

  absl::Status Load();
  absl::Status Make(const v1::NodeVolume& wish);
  absl::Status NoteUser(const std::string& name, const std::string& task_id);
  absl::Status Fill(const std::string& name, const ImageFolder& image, bool may_replace);
  void Clean(const std::string& folder) const;
  absl::Status ReleaseOne(const std::string& name, const std::string& task_id);
  absl::Status Delete(const std::string& name);
  std::set<std::string> NamesUsedBy(const std::string& task_id) const;
  std::set<uint32_t> Projects() const;

  std::string Folder(const std::string& name) const { return dir_ + "/" + name; }
  std::string Data(const std::string& name) const { return Folder(name) + "/_data"; }

  const std::string dir_;
  const Clock& clock_;
  Mutex limits_mu_;  // before mu_: from choosing a project until the volume is there
  mutable Mutex mu_;
  CondVar unclaimed_;
  std::set<std::string> claimed_ ABSL_GUARDED_BY(mu_);  // volumes that a call is at work on
  std::map<std::string, Entry> volumes_ ABSL_GUARDED_BY(mu_);
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_VOLUME_VOLUME_STORE_H_
