// What a container without a pid namespace of its own leaves behind when its init has ended: there
// the kernel does not end the rest with it, and processes whose parent has ended become ours.
#ifndef SWARM_AGENT_SHIM_LEFTOVERS_H_
#define SWARM_AGENT_SHIM_LEFTOVERS_H_

#include "agent/shim/plan.h"
#include "agent/shim/protocol.h"

namespace swarm::shim {

class Leftovers {
 public:
  // Does nothing for a plan with a pid namespace; then nothing below does anything either.
  bool Open(const plan::Plan& plan, Failure* failure);

  // Can be read when a child of ours has ended; -1: there are none but init.
  int child_fd() const { return child_fd_; }
  // Those that have ended, but not `init`.
  void Reap(int init);
  // Kills all that is in the container's cgroup and waits until it has ended, but not for ever.
  // After init has been reaped. Programs of exec are in cgroups below; with v1 those end when the
  // agent releases the container.
  void End();

 private:
  // True when there was something to kill, and may be more.
  bool Kill();
  bool KillOneByOne();

  int child_fd_ = -1;
  int kill_ = -1;     // v2: cgroup.kill
  int folder_ = -1;   // v1: the one of these that can be frozen, else any
  int freezer_ = -1;  // its freezer.state
};

}  // namespace swarm::shim

#endif  // SWARM_AGENT_SHIM_LEFTOVERS_H_
