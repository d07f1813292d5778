// What the command line asks of the world: terminal, time, environment, Ctrl-C and the daemons.
// Tests give their own; MakeRealEnv (real_env.h) gives this machine's.
#ifndef SWARM_CLI_ENV_H_
#define SWARM_CLI_ENV_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/client.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "common/random.h"

namespace swarm::cli {

// Standard output and error. One thread.
class Console {
 public:
  virtual ~Console() = default;
  virtual void Out(std::string_view text) = 0;
  virtual void Err(std::string_view text) = 0;
  // Something that Out was given is lost: the disk of the file that it goes to is full.
  virtual bool lost_output() const = 0;
  // Standard output is a terminal, so lines may be redrawn.
  virtual bool interactive() const = 0;
  virtual size_t columns() const = 0;
  virtual size_t rows() const { return 24; }
  // Standard output is a terminal, and its user minds no colors (NO_COLOR).
  virtual bool colors() const { return false; }
};

// Ctrl-C. Any thread.
class Interrupt {
 public:
  // Runs the actions, on this thread; true when there were any.
  bool Trigger();
  bool triggered() const;

  // While it lives, `action` runs at a Trigger. It may still be running, on the thread that called
  // Trigger, when Listener is destroyed: let it own what it touches.
  class Listener {
   public:
    Listener(Interrupt& interrupt, std::function<void()> action);
    ~Listener();
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

   private:
    Interrupt& interrupt_;
    uint64_t id_ = 0;
  };

 private:
  mutable Mutex mu_;
  bool triggered_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t last_id_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<uint64_t, std::function<void()>> actions_ ABSL_GUARDED_BY(mu_);
};

struct CliEnv {
  Console& console;
  const Clock& clock;
  Random& random;
  Interrupt& interrupt;
  Connector& connector;
  std::function<std::optional<std::string>(std::string_view name)> variable;
  int stdin_fd = 0;
};

// One command, start to end. `args` without the program's name. The exit code of errors.h; what
// went wrong is one line on standard error.
int RunCli(const std::vector<std::string>& args, CliEnv& env);

}  // namespace swarm::cli

#endif  // SWARM_CLI_ENV_H_
