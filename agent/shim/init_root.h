// The container's root file system as init sees it: paths that an image wrote, resolved by openat2
// so that no link leads out, made where they are missing, and used as descriptors only.
#ifndef SWARM_AGENT_SHIM_INIT_ROOT_H_
#define SWARM_AGENT_SHIM_INIT_ROOT_H_

#include <stdint.h>

#include "agent/shim/plan.h"
#include "agent/shim/protocol.h"

namespace swarm::shim {

// Makes every mount of this namespace private and attaches the root file system on top of "/",
// where only descriptors reach it until EnterRoot. `has_root`: kInitRootFd is its detached mount;
// without it the overlay is mounted here from the plan (kernels before 6.5).
bool AttachRoot(const plan::Plan& plan, bool has_root, int* root, Failure* failure);

// A target for a mount: a folder, or a file when `file`. Missing parts are made (0755, 0644), also
// behind a dangling link. `strict`: no link anywhere in the path.
bool OpenTarget(int root, const char* path, bool file, bool strict, int* target, Failure* failure,
                Step step);

// pivot_root, with the old root gone for good. "/" is the container's afterwards.
bool EnterRoot(int root, uint32_t* warnings, Failure* failure);

}  // namespace swarm::shim

#endif  // SWARM_AGENT_SHIM_INIT_ROOT_H_
