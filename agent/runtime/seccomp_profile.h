// System call filters: Docker's default profile in meaning, or a profile out of an OCI
// configuration, compiled to the BPF that the kernel takes.
#ifndef SWARM_AGENT_RUNTIME_SECCOMP_PROFILE_H_
#define SWARM_AGENT_RUNTIME_SECCOMP_PROFILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "agent/runtime/capabilities.h"
#include "agent/runtime/oci_spec.h"

namespace swarm::agent {

class JsonReader;

// The default profile for a container that can have `bounding`: an allow-list; everything else is
// EPERM, calls that are newer than the list ENOSYS so that libraries fall back.
OciSeccomp DefaultSeccomp(CapabilitySet bounding);

// An OCI "linux.seccomp" object. Errors go to the reader.
OciSeccomp ReadSeccomp(const JsonReader& object);

// struct sock_filter[], compiled once per content and kept. Thread-safe. Names that this kernel's
// architecture or libseccomp does not know are left out, as Docker does.
absl::StatusOr<std::string> CompileSeccomp(const OciSeccomp& profile);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_RUNTIME_SECCOMP_PROFILE_H_
