// The shim's long life: waits for the agent's word, carries the container's output to its log,
// reaps it, and leaves its end on disk.
#ifndef SWARM_AGENT_SHIM_SUPERVISOR_H_
#define SWARM_AGENT_SHIM_SUPERVISOR_H_

#include "agent/shim/launch.h"
#include "agent/shim/leftovers.h"
#include "agent/shim/log_file.h"
#include "agent/shim/protocol.h"

namespace swarm::shim {

class Supervisor {
 public:
  // `state_fd`: the file "state"; `oom_fd`: counts OOM kills, -1 for none. All of them are taken.
  Supervisor(int control, int state_fd, int oom_fd, const Launched& launched, Log* log,
             Leftovers* leftovers)
      : control_(control),
        state_fd_(state_fd),
        oom_fd_(oom_fd),
        launched_(launched),
        log_(log),
        leftovers_(leftovers) {}

  // Until the container has ended and its status is on disk.
  void Run(StateRecord* state);

 private:
  void OnControl();
  void OnSync();
  void OnOutput(int* fd, LogStream* stream);
  void ReadLast(int* fd, LogStream* stream, uint64_t* until);
  void UseTerminal(int master);
  void KeepStdin();
  void OnExit();
  void FinishOpenStreams();
  void ExecSucceeded();
  void TakeDown(Step reason);
  void Tell(MessageKind kind);
  uint64_t CountOomKills() const;

  int control_;
  int state_fd_;
  int oom_fd_;
  Launched launched_;
  Log* log_;
  Leftovers* leftovers_;
  StateRecord* state_ = nullptr;
  int terminal_ = -1;  // the container's side of its terminal
  bool ended_ = false;
};

// One pwrite and, when `sync`, one fsync.
long WriteState(int fd, StateRecord* state, bool sync);

}  // namespace swarm::shim

#endif  // SWARM_AGENT_SHIM_SUPERVISOR_H_
