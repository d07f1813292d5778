// What agent, shim and init tell one another: fixed structs over SOCK_SEQPACKET, and the one record
// on disk by which a container is found again.
//
//   agent --kStart--> shim --kStart--> init          init --kReady|kFailed--> shim --…--> agent
//   exec in a running container (ExecMessage):  helper --kTerminal|kFailed|kExited--> agent,
//   agent --kSignal--> helper
//
// A socket's end of file is a message too: init's means that execve succeeded; the agent's before
// kStart means that nobody will ever start this container, so the shim takes it down.
#ifndef SWARM_AGENT_SHIM_PROTOCOL_H_
#define SWARM_AGENT_SHIM_PROTOCOL_H_

#include <stddef.h>
#include <stdint.h>

namespace swarm::shim {

// Descriptors that the shim is started with.
inline constexpr int kControlFd = 3;
inline constexpr int kPlanFd = 4;
// What the shim keeps open for as long as it lives, never looks at and gives to nobody in the
// container (Tag::kKeptFds): an agent takes copies by pidfd_getfd.
inline constexpr int kFirstKeptFd = 5;
inline constexpr int kMostKeptFds = 4;

// The shim's end of a socket for those who want the container's output, and the other end, of which
// an agent takes a copy by pidfd_getfd. A message there is one byte with two descriptors: pipes
// that never block, for standard output (or the terminal's) and standard error. One that is full
// when something comes is closed.
inline constexpr int kAttachFd = kFirstKeptFd + kMostKeptFds;
inline constexpr int kAttachPeerFd = kAttachFd + 1;
// What the container reads, to be copied likewise: the write end of its standard input, or its
// terminal's master. Means nothing for a container that has neither.
inline constexpr int kStdinFd = kAttachFd + 2;
inline constexpr int kMostAttached = 8;

// Descriptors that init is started with; 0-2 are the container's.
inline constexpr int kInitSyncFd = 3;
inline constexpr int kInitPlanFd = 4;
inline constexpr int kInitRootFd = 5;       // detached mount; absent when init has to mount it
inline constexpr int kInitFirstBindFd = 6;  // then one per bind mount, in the plan's order

// The shim's program under this name only runs the init helper's out of a sealed memfd, with
// kExecPidFd beside control socket and plan, to start one more program in a container.
inline constexpr char kExecName[] = "swarm-exec";
inline constexpr int kExecPidFd = 5;  // a pidfd of the container's init

// Where something failed. The agent has the words (agent/runtime/shim_errors.cc).
enum class Step : uint32_t {
  kNone,
  kPlan,
  kState,
  kLog,
  kRoot,
  kMountSource,
  kPipe,
  kInitImage,
  kNamespaces,
  kCgroup,
  kOomScore,
  kExecInit,
  kInitLost,
  kHostname,
  kLoopback,
  kPropagation,
  kProc,
  kSysctl,
  kMountTarget,
  kMount,
  kDevice,
  kSymlink,
  kNull,
  kMask,
  kReadonly,
  kPivot,
  kCwd,
  kUser,
  kGroup,
  kStdio,
  kRlimit,
  kCapabilities,
  kCredentials,
  kNoNewPrivs,
  kSeccomp,
  kEnvironment,
  kLookPath,     // no such name in $PATH
  kInterpreter,  // the file is there, what it names as its interpreter is not
  kExec,
  kAgentLost,
  kJoin,  // the namespaces of a running container
  kTerminal,
  kEnd,
};

// Bits of Message::warnings: done as far as the machine lets us.
inline constexpr uint32_t kWarnRlimit = 1;         // hard limit not raised: no CAP_SYS_RESOURCE
inline constexpr uint32_t kWarnOomScore = 2;       // oom_score_adj not lowered
inline constexpr uint32_t kWarnCapability = 4;     // capability that we do not have ourselves
inline constexpr uint32_t kWarnPivotFallback = 8;  // root is the initramfs: chroot, not pivot_root

enum class MessageKind : uint32_t {
  kReady = 1,
  kStart = 2,
  kStarted = 3,
  kFailed = 4,
  kExited = 5,
  kTerminal = 6,  // with the terminal's master as its one descriptor
  kSignal = 7     // to the program and its process group
};

struct Failure {
  Step step = Step::kNone;
  int32_t error = 0;      // errno
  char detail[240] = {};  // path or name, cut when longer
};

struct Message {
  MessageKind kind = MessageKind::kFailed;
  uint32_t warnings = 0;
  int64_t init_pid = 0;
  uint64_t init_ticks = 0;
  Failure failure;
};

struct ExecMessage {
  MessageKind kind = MessageKind::kFailed;
  int32_t exit_code = 0;  // of kExited: 128 + signal; of kSignal: the signal
  Failure failure;        // of kFailed: why its program did not run; kExited follows
};

// File "state" in the container's run folder, made by the agent at its full size, written by the
// shim in one pwrite and one fsync: no space is needed and no half of it is ever seen.
enum class Phase : uint32_t {
  kPreparing = 1,  // agent has made the folder
  kCreated = 2,    // init waits for kStart
  kStarting = 3,   // kStart was passed on
  kRunning = 4,    // execve succeeded
  kExited = 5,
  kFailed = 6,  // never got as far as execve
};

inline constexpr uint32_t kExitOomKilled = 1;
inline constexpr uint32_t kExitSupervisorLost = 2;

struct StateRecord {
  uint64_t magic = 0x31455441'54535753;  // "SWSTATE1"
  uint64_t sequence = 0;
  Phase phase = Phase::kPreparing;
  uint32_t exit_flags = 0;
  int32_t exit_code = 0;
  uint32_t reserved = 0;
  int64_t shim_pid = 0;
  uint64_t shim_ticks = 0;
  int64_t init_pid = 0;
  uint64_t init_ticks = 0;
  Failure failure;
  uint64_t checksum = 0;  // of everything before it
};
static_assert(sizeof(StateRecord) <= 512, "stays inside one disk sector");

inline uint64_t StateChecksum(const StateRecord& record) {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  const auto* bytes = reinterpret_cast<const unsigned char*>(&record);
  for (size_t i = 0; i < offsetof(StateRecord, checksum); ++i) {
    hash = (hash ^ bytes[i]) * 0x100000001b3;
  }
  return hash;
}

inline bool StateIsWhole(const StateRecord& record) {
  return record.magic == StateRecord().magic && record.checksum == StateChecksum(record);
}

}  // namespace swarm::shim

#endif  // SWARM_AGENT_SHIM_PROTOCOL_H_
