// What lies in the root file system: /proc, /sys, /dev, binds, devices, masked and read-only paths.
#ifndef SWARM_AGENT_SHIM_INIT_MOUNTS_H_
#define SWARM_AGENT_SHIM_INIT_MOUNTS_H_

#include "agent/shim/plan.h"
#include "agent/shim/protocol.h"

namespace swarm::shim {

// A proc of the container's own pid namespace that nothing of the image can lie over: for sysctls
// now and for /proc after that.
bool OpenPrivateProc(int* proc, Failure* failure);
bool WriteSysctls(const plan::Plan& plan, int proc, Failure* failure);

// In the plan's order. Binds are the descriptors from kInitFirstBindFd on. Takes `proc`.
bool MountAll(const plan::Plan& plan, int root, int proc, Failure* failure);
// Device nodes and links, relative to their folders.
bool MakeDevices(const plan::Plan& plan, int root, Failure* failure);

// After everything was made that has to be made. `null`: the host's /dev/null, checked to be it.
bool OpenHostNull(int* null, Failure* failure);
bool MaskPaths(const plan::Plan& plan, int root, int null, Failure* failure);
bool MakePathsReadonly(const plan::Plan& plan, int root, Failure* failure);
bool FinishMounts(const plan::Plan& plan, int root, Failure* failure);
bool MakeRootReadonly(int root, Failure* failure);

}  // namespace swarm::shim

#endif  // SWARM_AGENT_SHIM_INIT_MOUNTS_H_
