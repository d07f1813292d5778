// Which devices a container may open, as the kernel wants it: lines for devices.allow and
// devices.deny on v1, a hand-assembled BPF_CGROUP_DEVICE program on v2.
#ifndef SWARM_AGENT_RUNTIME_DEVICE_FILTER_H_
#define SWARM_AGENT_RUNTIME_DEVICE_FILTER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/runtime/oci_spec.h"

namespace swarm::agent {

// "c 1:3 rwm"; "a" for everything.
std::string DeviceRuleLine(const OciDeviceRule& rule);

// The rules of `resources` (a later one overrides an earlier one; nothing is allowed at first) and
// after them what every container needs: null, zero, full, random, urandom, tty, ptmx, pseudo
// terminals, and mknod of anything.
std::vector<OciDeviceRule> WithDefaultDevices(const std::vector<OciDeviceRule>& rules);

// struct bpf_insn[] as uint64_t.
std::vector<uint64_t> AssembleDeviceProgram(const std::vector<OciDeviceRule>& rules);

// Loads it and attaches it to an open v2 cgroup folder.
absl::Status AttachDeviceProgram(int cgroup_fd, const std::vector<OciDeviceRule>& rules);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_RUNTIME_DEVICE_FILTER_H_
