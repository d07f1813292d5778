// The folders of containers: `state_dir`/ID (record, overlay upper and work folders, log, generated
// files) and `run_dir`/ID (the shim's "state"). A container is there from the moment that its state
// folder has its name (renamed into place with the record inside) until it has lost it again.
// Nothing is synced (a sync costs more than the rest of a start): after a power cut no container
// runs, so a record that it tore is only a folder to remove. It reads as DataLoss: neither zeros
// nor a piece of the text is a JSON object.
#ifndef SWARM_AGENT_RUNTIME_CONTAINER_FOLDER_H_
#define SWARM_AGENT_RUNTIME_CONTAINER_FOLDER_H_

#include <string>
#include <vector>
#include "absl/strings/string_view.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/runtime/oci_spec.h"
#include "agent/runtime/runtime.h"

namespace swarm::agent {

// [a-z0-9_.-]{1,64}, not beginning with '.'.
absl::Status CheckContainerId(absl::string_view id);
absl::Status CheckOwnerName(absl::string_view owner);
// With parents; mode 0700 afterwards even if it was there with another.
absl::Status MakePrivateDirectory(const std::string& path);

struct ContainerRecord {
  std::string id, owner, boot_id, image_digest;
  std::string note;  // as given to Prepare
};

class ContainerFolders {
 public:
  explicit ContainerFolders(const RuntimeOptions& options)
      : state_root_(options.state_dir),
        run_root_(options.run_dir),
        boot_id_(options.boot_id),
        owner_(options.owner) {}

  std::string StateDir(const std::string& id) const { return state_root_ + "/" + id; }
  std::string RunDir(const std::string& id) const { return run_root_ + "/" + id; }
  std::string LogDir(const std::string& id) const { return StateDir(id) + "/log"; }
  std::string UpperDir(const std::string& id) const { return StateDir(id) + "/upper"; }
  std::string WorkDir(const std::string& id) const { return StateDir(id) + "/work"; }

  absl::Status Make(const RuntimeContainerSpec& spec, const OciSpec& oci) const;
  bool Exists(const std::string& id) const;
  // NotFound; also for another owner's. DataLoss when it is torn.
  absl::StatusOr<ContainerRecord> ReadRecord(const std::string& id) const;
  // The configuration that it was prepared with. NotFound: by an agent that did not keep it.
  absl::StatusOr<std::string> ReadConfig(const std::string& id) const;
  // OK for ours and for none; FailedPrecondition for another owner's.
  absl::Status CheckOwner(const std::string& id) const;
  // Ours, sorted.
  absl::StatusOr<std::vector<std::string>> List() const;
  // The upper and work folders only.
  absl::Status RemoveRootFs(const std::string& id) const;
  absl::Status Remove(const std::string& id) const;
  // What a Make or a Remove of ours left when it was interrupted.
  absl::Status SweepHalfMade() const;

 private:
  std::string NewName(const std::string& id) const { return ".new-" + owner_ + "-" + id; }
  std::string OldName(const std::string& id) const { return ".old-" + owner_ + "-" + id; }

  std::string state_root_, run_root_, boot_id_, owner_;
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_RUNTIME_CONTAINER_FOLDER_H_
