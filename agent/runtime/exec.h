// What Runtime::Exec and ExecWith run in a container that runs already, and how it ended.
//
// After Exec, children that outlive the program are killed with it, but only the container's init
// can reap them: under an init that reaps nobody they stay as zombies, as with every other runtime.
#ifndef SWARM_AGENT_RUNTIME_EXEC_H_
#define SWARM_AGENT_RUNTIME_EXEC_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace swarm::agent {

struct TerminalSize {
  uint32_t rows = 0;
  uint32_t columns = 0;
};

struct ExecSpec {
  std::vector<std::string> args;  // as execvp(3) takes them, in the container's PATH
  std::vector<std::string> env;   // "NAME=value", over the container's own
  std::string user;               // "name[:group]" or numbers; empty: the container's
  std::string cwd;                // inside the container; empty: the container's
  absl::Duration timeout = absl::InfiniteDuration();
  size_t max_output = 64 << 10;  // bytes kept; the rest is read and thrown away
  // Ends it when it becomes readable (an eventfd); borrowed. -1: nothing does.
  int interrupt = -1;
  // ExecWith alone.
  bool open_stdin = false;               // else its standard input is empty
  std::optional<TerminalSize> terminal;  // of its own, as standard input, output and error
};

struct ExecResult {
  int32_t exit_code = 0;  // 128 + signal; 126 or 127 when there was nothing to run, see `error`
  std::string output;     // stdout and stderr, as they came
  bool truncated = false;
  bool timed_out = false;
  bool interrupted = false;
  std::string error;  // why the program did not run, in the user's words
};

// Of AttachWith.
struct AttachSpec {
  bool input = false;  // what the peer says is written to the container's standard input
  std::optional<TerminalSize> size;
};

// What whoever asked for it says to a program that runs.
struct ExecInput {
  enum class Kind {
    kData,    // for standard input
    kEnd,     // of standard input
    kResize,  // the terminal
    kSignal,  // to the program and its process group
  };
  Kind kind = Kind::kEnd;
  std::string data;
  TerminalSize size;
  int signal = 0;
};

// Who asked, seen from the thread that serves the program: it never waits for anything but
// wake_fd. Not taking what it says, and not giving while there is no room, is how both sides hold
// one another up.
class ExecPeer {
 public:
  virtual ~ExecPeer() = default;
  // Readable once there may be news below; ClearWake before they are asked.
  virtual int wake_fd() const = 0;
  virtual void ClearWake() = 0;
  // Nothing: not yet.
  virtual std::optional<ExecInput> Next() = 0;
  enum class Presence {
    kThere,
    kGone,      // who asked; the program is hung up and has some time left
    kStopping,  // the agent ends: the program does so at once
  };
  virtual Presence presence() const = 0;
  virtual bool HasRoom() const = 0;
  static constexpr size_t kMostGiven = 64 << 10;
  // At most so many bytes, and only while there is room.
  virtual void Give(bool from_stderr, std::string data) = 0;
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_RUNTIME_EXEC_H_
