// Runtime: containers out of namespaces, cgroups and overlayfs, each under a shim of its own.
//
//   runtime->Prepare(spec);  runtime->Start(id);  …  runtime->Kill(id);  runtime->Remove(id);
//
// Blocking; call from the agent's pool. Calls for different ids may run at the same time; calls for
// one id may not, except Kill, and Release beside State and Remove (which waits for it). Everything
// that is needed to find a container again after the agent died is on disk under `state_dir`/ID
// before it is done in the kernel.
#ifndef SWARM_AGENT_RUNTIME_RUNTIME_H_
#define SWARM_AGENT_RUNTIME_RUNTIME_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/runtime/exec.h"
#include "agent/runtime/stats.h"
#include "agent/shim/plan.h"
#include "common/unique_fd.h"

namespace swarm::agent {

struct RuntimeOptions {
  std::string state_dir;  // "/var/lib/swarm/agent/containers": overlay upper dirs, logs
  std::string run_dir;    // "/run/swarm/containers": sockets, pids, exit status; a tmpfs will do
  std::string cgroup_parent;  // "swarm": below the root of each hierarchy, never our own unit's
  std::string shim_path;      // the swarm-shim binary
  std::string boot_id;        // of this boot; what another boot recorded is never adopted
  std::string owner;          // [A-Za-z0-9_.]{1,64}: ours, when several agents share one host
  // Soft limit of open files for containers that set none; our own is raised far above what
  // programs expect (select(2), loops over all descriptors). Unset: ours.
  std::optional<uint64_t> open_files = std::nullopt;
  // A killed container is gone at once; this is for one in uninterruptible sleep.
  absl::Duration end_timeout = absl::Seconds(30);
  // Whether init mounts the overlay with one string of options. Unset: as the kernel needs it.
  std::optional<bool> overlay_in_init = std::nullopt;
};

// A daemon that takes the container's lines as messages (agent/shim/log_message.h).
struct ContainerLogSocket {
  plan::LogFormat format = plan::LogFormat::kJournal;
  bool stream = false;  // else datagrams
  int facility = 3;     // of syslog
  bool non_blocking = false;
  int64_t buffer_bytes = 1 << 20;
  int64_t utc_offset_seconds = 0;
  std::string address;  // the bytes of a sockaddr
  std::string head;     // of every message, at most plan::kMaxLogHead
  std::string name;     // as the user calls it
};

// Logs rotate at `max_bytes` and keep `max_files` files; the container never blocks on them. With a
// socket, or nowhere, the files hold only what the shim has to say itself.
struct ContainerLogOptions {
  int64_t max_bytes = 10 << 20;
  int max_files = 3;
  bool nowhere = false;
  std::optional<ContainerLogSocket> socket = std::nullopt;
};

struct RuntimeContainerSpec {
  std::string id;                       // [a-z0-9_.-]{1,64}
  std::string config_json;              // an OCI runtime-spec 1.0 configuration; checked here
  std::vector<std::string> lower_dirs;  // image layers, topmost first; never written
  std::string image_digest;             // kept for the record
  ContainerLogOptions log;
  std::string note;  // of the caller's, kept with the container: RuntimeContainer::note
  // Borrowed for Prepare. The container's shim keeps them open, untouched, for as long as it lives:
  // KeptFd. At most four.
  std::vector<int> kept_fds;
};

struct RuntimeProcess {
  int64_t pid = 0;
  uint64_t start_ticks = 0;  // field 22 of /proc/PID/stat
};

struct RuntimeExit {
  int32_t exit_code = 0;  // 128 + signal
  bool oom_killed = false;
  bool supervisor_lost = false;  // the shim died without leaving a status
};

struct RuntimeContainer {
  // A container whose agent died before Start takes itself down and stays kCreated (its shim has
  // ended): only Remove or a new Prepare helps. One whose exec failed is kExited with 126 or 127.
  enum class Phase { kCreated, kRunning, kExited };
  std::string id;
  Phase phase;
  RuntimeProcess shim;
  RuntimeProcess init;
  RuntimeExit exit;          // when kExited
  std::string image_digest;  // as prepared; empty when its record is lost
  std::string note;          // likewise
};

// What a container's processes have used so far (processor) and use now (memory, without page cache
// that the kernel can drop at once).
struct RuntimeUsage {
  int64_t cpu_nanos = 0;
  int64_t memory_bytes = 0;
};

class Runtime {
 public:
  virtual ~Runtime() = default;

  // Everything but the process. InvalidArgument names the field of the configuration that is wrong.
  // Leaves nothing behind when it fails. What an agent that died before Start left under this id is
  // replaced; a container that runs or has exited is AlreadyExists.
  virtual absl::Status Prepare(const RuntimeContainerSpec& spec) = 0;
  // Returns after execve succeeded. Errors are in the user's words ("exec /app: no such file or
  // directory"): NotFound, PermissionDenied, or InvalidArgument for an exec format error.
  virtual absl::StatusOr<RuntimeContainer> Start(const std::string& id) = 0;
  // Readable when the shim has ended, after which State says how the container ended.
  virtual absl::StatusOr<UniqueFd> OpenExitFd(const std::string& id) = 0;
  // NotFound when there is no such container. One whose record or state is damaged (a power cut) is
  // killed and kExited with `supervisor_lost`. Any other error (no descriptor left) says nothing
  // about the container: ask again.
  virtual absl::StatusOr<RuntimeContainer> State(const std::string& id) = 0;
  // Runs one more program in a container that runs: its namespaces, cgroups, user, rights and
  // seccomp filter; nothing of the host's but its output. It and all that it left behind has ended
  // when this returns. May run beside all other calls; the container's end ends it. What was
  // started is in the result, however it went; FailedPrecondition when the container does not run.
  virtual absl::StatusOr<ExecResult> Exec(const std::string& /*id*/, const ExecSpec& /*spec*/) {
    return absl::UnimplementedError("this runtime cannot exec");
  }
  // The same, with input and output through `peer` as they come (output of the result stays empty).
  // A program without its caller is hung up (SIGHUP, end of its terminal) and killed with all that
  // it started 10 s later; else what it leaves behind when it ends goes on in the container.
  virtual absl::StatusOr<ExecResult> ExecWith(const std::string& /*id*/, const ExecSpec& /*spec*/,
                                              ExecPeer& /*peer*/) {
    return absl::UnimplementedError("this runtime cannot exec");
  }
  // Joins `peer` with the container's own standard streams, from now on, until the container has
  // ended (then the result says how) or the peer has gone, which the container does not notice. Its
  // input stays open. ResourceExhausted: the peer took too slowly (the container waits for nobody),
  // or kMostAttached are there already.
  virtual absl::StatusOr<ExecResult> AttachWith(const std::string& /*id*/,
                                                const AttachSpec& /*spec*/, ExecPeer& /*peer*/) {
    return absl::UnimplementedError("this runtime cannot attach");
  }
  // The root folder (O_PATH) as the container's processes see it, with all that is mounted there.
  // Resolve below it with RESOLVE_IN_ROOT alone. FailedPrecondition when the container does not
  // run.
  virtual absl::StatusOr<UniqueFd> OpenRoot(const std::string& /*id*/) {
    return absl::UnimplementedError("this runtime has no root folders");
  }
  // A socket of the container's network namespace (`domain` and `type` as socket(2));
  // close-on-exec, non-blocking. FailedPrecondition when the container does not run.
  virtual absl::StatusOr<UniqueFd> OpenSocket(const std::string& /*id*/, int /*domain*/,
                                              int /*type*/) {
    return absl::UnimplementedError("this runtime has no networks");
  }
  // A copy, close-on-exec, of what was kept_fds[index] at Prepare, however many agents ago.
  // NotFound when its shim has ended.
  virtual absl::StatusOr<UniqueFd> KeptFd(const std::string& /*id*/, int /*index*/) {
    return absl::UnimplementedError("this runtime keeps nothing");
  }
  // NotFound when it has no cgroups any more.
  virtual absl::StatusOr<RuntimeUsage> Usage(const std::string& /*id*/) {
    return absl::UnimplementedError("this runtime counts nothing");
  }
  // The same and more, for people. FailedPrecondition when the container does not run.
  virtual absl::StatusOr<ContainerStats> Stats(const std::string& /*id*/) {
    return absl::UnimplementedError("this runtime counts nothing");
  }
  // Its processes, by the host's numbers, sorted; some may have ended by now.
  virtual absl::StatusOr<std::vector<int64_t>> Processes(const std::string& /*id*/) {
    return absl::UnimplementedError("this runtime lists nothing");
  }
  // To init, by pidfd. OK when it has already ended.
  virtual absl::Status Signal(const std::string& id, int signal) = 0;
  // SIGKILL to every process in the container's cgroup. OK when there is none.
  virtual absl::Status Kill(const std::string& id) = 0;
  // Of an exited container: its cgroups, its upper and work folders and its zombie go; its record,
  // how it ended and its logs stay until Remove. Harmless to do twice. FailedPrecondition when it
  // has not exited; NotFound.
  virtual absl::Status Release(const std::string& id) = 0;
  // Kills if it must. No process, mount, cgroup, namespace or folder is left after OK. Unknown is
  // OK.
  virtual absl::Status Remove(const std::string& id) = 0;
  // Every container recorded or found in our cgroups and folders. One that cannot be read is told
  // as kExited with `supervisor_lost`, so that Remove takes it away; only when we lack the means to
  // look (ResourceExhausted, Unavailable) there is no list.
  virtual absl::StatusOr<std::vector<RuntimeContainer>> List() = 0;
  // The ids that List would tell of, by looking at names and marks only: the one call that may run
  // beside all others.
  virtual absl::StatusOr<std::vector<std::string>> ListIds() = 0;
  // Folder with the container's log files: "log" is the newest, then "log.1", …; JSON lines
  // {"t":unix_nanos,"s":"o"|"e","p":true when cut,"l":"text"}; bytes that are not UTF-8 as
  // "b":base64.
  virtual std::string LogDirectory(const std::string& id) const = 0;
  // "v2", "v1" or "hybrid".
  virtual std::string CgroupMode() const = 0;
};

// Makes its folders and cgroups. FailedPrecondition says what the machine lacks.
absl::StatusOr<std::unique_ptr<Runtime>> OpenRuntime(RuntimeOptions options);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_RUNTIME_RUNTIME_H_
