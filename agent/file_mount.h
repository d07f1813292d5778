// FileMount: a task's files in memory that is never swapped out: a tmpfs with noswap (Linux 6.4) or
// a ramfs. Of the host it is seen for as long as this object lives, which is while the container is
// prepared; the container keeps what it has bound, and with it all of it ends.
//
//   ASSIGN_OR_RETURN(FileMount mount, FileMount::Make("/run/swarm/files", id, files));
//   input.files = mount.Binds();
//   runtime.Prepare(…);                       // and `mount` may go
//
// Blocking; any thread; needs root. After an error nothing is mounted.
#ifndef SWARM_AGENT_FILE_MOUNT_H_
#define SWARM_AGENT_FILE_MOUNT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/runtime/oci_config.h"
#include "agent/task_files.h"

namespace swarm::agent {

class FileMount {
 public:
  // Below `base`, which is made when missing, 0700. Without files it mounts nothing.
  static absl::StatusOr<FileMount> Make(const std::string& base, const std::string& task_id,
                                        const std::vector<TaskFile>& files);
  FileMount() = default;
  ~FileMount();
  FileMount(FileMount&& other) noexcept;
  FileMount& operator=(FileMount&&) = delete;

  // What below /run/secrets is one folder, everything else a file of its own. Secrets cannot be
  // run, configs can, when their mode says so.
  const std::vector<OciFile>& Binds() const { return binds_; }

  // Takes away what an agent left that died while it prepared a container. Before the first Make.
  static void Sweep(const std::string& base);

 private:
  absl::Status Fill(int root, const std::vector<TaskFile>& files);

  std::string folder_;  // empty: nothing is mounted
  std::vector<OciFile> binds_;
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_FILE_MOUNT_H_
