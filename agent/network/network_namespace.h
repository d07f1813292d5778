// NetworkNamespace: one network namespace, held open; and the files that give namespaces a name.
//
// Blocking, any thread. A thread that enters a namespace is back in its own when the call returns;
// should the kernel refuse that, the process ends, because the thread is no good for anything else.
#ifndef SWARM_AGENT_NETWORK_NETWORK_NAMESPACE_H_
#define SWARM_AGENT_NETWORK_NETWORK_NAMESPACE_H_

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/unique_fd.h"

namespace swarm::agent {

class NetworkNamespace {
 public:
  // The calling thread's.
  static absl::StatusOr<NetworkNamespace> Current();
  // NotFound when nothing is there, or only a file that no namespace is bound to.
  static absl::StatusOr<NetworkNamespace> Open(const std::string& path);
  // A new one, bound to the file at `path` (made, with its folders): it outlives the process.
  // AlreadyExists when one is there. Leaves nothing when it fails.
  static absl::StatusOr<NetworkNamespace> Make(const std::string& path);
  static absl::StatusOr<NetworkNamespace> OpenOrMake(const std::string& path);
  // A new one without a name: ends with the last descriptor of it.
  static absl::StatusOr<NetworkNamespace> MakeUnnamed();
  // Gives this one a name (too).
  absl::Status Bind(const std::string& path) const;
  // Takes the name away; the namespace ends when nobody is in it or holds it. Missing is OK.
  static absl::Status Remove(const std::string& path);

  absl::StatusOr<NetworkNamespace> Duplicate() const;

  // Runs `inside` on the calling thread. Sockets that it opens belong to this namespace for good.
  absl::Status Run(absl::FunctionRef<absl::Status()> inside) const;
  // Writes /proc/sys/net/<key>, "ipv4/ip_forward". NotFound when the kernel has no such key.
  absl::Status SetSysctl(const std::string& key, const std::string& value) const;
  absl::StatusOr<std::string> GetSysctl(const std::string& key) const;

  int fd() const { return fd_.get(); }

 private:
  explicit NetworkNamespace(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

// As NetworkNamespace::Run, for who has a descriptor or a path only.
absl::Status RunInNamespace(int fd, absl::FunctionRef<absl::Status()> inside);
absl::Status EnterAndRun(const std::string& path, absl::FunctionRef<absl::Status()> inside);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NETWORK_NETWORK_NAMESPACE_H_
