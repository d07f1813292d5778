// What a stack file says of volumes: those of its own, and what a service mounts, with its tmpfs,
// devices and rights beyond the usual. One thread; what is given outlives it.
#ifndef SWARM_CLI_COMPOSE_VOLUME_READER_H_
#define SWARM_CLI_COMPOSE_VOLUME_READER_H_

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "cli/compose/fields.h"
#include "cli/compose/problems.h"
#include "cli/compose/stack.h"

namespace swarm::cli::compose {

// Reads services first, then Finish.
class VolumeReader {
 public:
  // `root` is the whole file, merged.
  VolumeReader(const Value& root, const std::vector<SourceFile>& files, const StackOptions& options,
               Problems& problems)
      : root_(root), files_(files), options_(options), problems_(problems) {}

  // `volumes` and `tmpfs` of a service.
  void ReadMounts(const Fields& service, v1::ContainerSpec& container);
  // Checks every volume of the file; those that a service mounts go to the stack.
  void Finish(Stack& stack);

 private:
  const Value* Declared(std::string_view key) const;
  std::string NameOf(const std::string& key) const;
  std::string FolderOf(const Value& value) const;
  absl::StatusOr<v1::Mount> ReadMount(const Fields& mount, const std::string& path);
  absl::StatusOr<v1::Mount> ReadLong(const Fields& mount);
  absl::Status Settle(const Value& at, v1::Mount& mount);
  void CheckExternal(const Entry& entry);
  v1::VolumeSpec ReadVolume(const Entry& entry);

  const Value& root_;
  const std::vector<SourceFile>& files_;
  const StackOptions& options_;
  Problems& problems_;
  std::set<std::string> mounted_;  // keys
};

// `devices`, `privileged`, `security_opt` and `shm_size`. `read_file` gives what the file holds
// that a path means where a value stands.
void ReadRights(
    const Fields& service,
    const std::function<absl::StatusOr<std::string>(const Value&, const std::string&)>& read_file,
    Problems& problems, v1::ContainerSpec& container);

}  // namespace swarm::cli::compose

#endif  // SWARM_CLI_COMPOSE_VOLUME_READER_H_
