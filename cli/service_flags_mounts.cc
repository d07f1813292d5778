// What a service's containers mount, and what they may do beyond the usual.
#include <algorithm>
#include <functional>
#include <iterator>
#include <utility>

#include "cli/compose/mount_words.h"
#include "cli/compose/namespace_words.h"
#include "cli/compose/security_words.h"
#include "cli/service_flag_themes.h"
#include "common/security_options.h"
#include "common/status_macros.h"

namespace swarm::cli {
namespace {

constexpr FlagKind kText = FlagKind::kText;
constexpr FlagKind kList = FlagKind::kList;
constexpr FlagKind kSwitch = FlagKind::kSwitch;

constexpr FlagRule kBoth[] = {
    {"privileged", 0, kSwitch, "", "all capabilities and devices, no seccomp filter"},
    {"shm-size", 0, kText, "BYTES", "of /dev/shm (default 64m)"},
    {"pid", 0, kText, "MODE", "host: sees the node's processes; private (the default)"},
    {"ipc", 0, kText, "MODE", "host: the node's shared memory and queues; private (the default)"},
    {"uts", 0, kText, "MODE", "host: the node's host name; private (the default)"},
};
constexpr FlagRule kCreate[] = {
    {"mount", 0, kList, "MOUNT",
     "type=volume,source=db,target=/data; type=bind,source=/srv,target=/srv,readonly; "
     "type=tmpfs,target=/run,tmpfs-size=64m"},
    {"device", 0, kList, "DEVICE", "of the node: /dev/fuse[:/dev/fuse[:rwm]]"},
    {"security-opt", 0, kList, "OPTION",
     "no-new-privileges:false, seccomp=FILE, seccomp=unconfined"},
};
constexpr FlagRule kUpdate[] = {
    {"mount-add", 0, kList, "MOUNT", "add a mount, or replace the one with its target"},
    {"mount-rm", 0, kList, "TARGET", "remove the mount at that path"},
    {"device-add", 0, kList, "DEVICE", "add a device of the node"},
    {"device-rm", 0, kList, "PATH", "remove the device that is there in the container"},
    {"security-opt-add", 0, kList, "OPTION", "add a security option"},
    {"security-opt-rm", 0, kList, "OPTION",
     "remove a security option: what it says, or its kind alone, such as seccomp"},
    {"mount", 0, kList, "", "changes nothing here: use --mount-add and --mount-rm",
     FlagState::kNotBuilt},
    {"device", 0, kList, "", "changes nothing here: use --device-add and --device-rm",
     FlagState::kNotBuilt},
};

template <typename List, typename Fits>
void RemoveWhere(List& list, Fits fits) {
  list.erase(std::remove_if(list.begin(), list.end(), fits), list.end());
}

using FileReader = std::function<absl::StatusOr<std::string>(const std::string&)>;

class MountsWriter {
 public:
  MountsWriter(const Flags& flags, ServiceVerb verb, const FileReader& read_file,
               v1::ServiceSpec& spec)
      : flags_(flags),
        read_file_(read_file),
        add_(verb == ServiceVerb::kCreate ? "" : "-add"),
        container_(*spec.mutable_task()->mutable_container()) {}

  absl::Status Write() {
    RETURN_IF_ERROR(Mounts());
    RETURN_IF_ERROR(Devices());
    RETURN_IF_ERROR(Security());
    RETURN_IF_ERROR(Namespaces());
    if (flags_.Has("privileged")) container_.set_privileged(flags_.On("privileged"));
    ASSIGN_OR_RETURN(const auto shm, flags_.BytesOf("shm-size"));
    if (shm) container_.set_shm_size_bytes(*shm);
    return absl::OkStatus();
  }

 private:
  std::string Adding(std::string_view flag) const { return StrCat(flag, add_); }

  void Unmount(const std::string& target) {
    RemoveWhere(*container_.mutable_mounts(),
                [&](const v1::Mount& mount) { return mount.target() == target; });
  }

  absl::Status Mounts() {
    for (const std::string& target : flags_.List("mount-rm")) {
      Unmount(compose::CleanTarget(target));
    }
    const std::string flag = Adding("mount");
    for (const std::string& text : flags_.List(flag)) {
      ASSIGN_OR_RETURN(v1::Mount mount, OfFlag(flag, text, compose::ParseMount(text)));
      if (!add_.empty()) Unmount(mount.target());
      *container_.add_mounts() = std::move(mount);
    }
    return absl::OkStatus();
  }

  void TakeAway(const std::string& path) {
    RemoveWhere(*container_.mutable_devices(), [&](const v1::Device& device) {
      return (device.container_path().empty() ? device.host_path() : device.container_path()) ==
             path;
    });
  }

  absl::Status Devices() {
    for (const std::string& path : flags_.List("device-rm")) TakeAway(path);
    const std::string flag = Adding("device");
    for (const std::string& text : flags_.List(flag)) {
      ASSIGN_OR_RETURN(v1::Device device, OfFlag(flag, text, compose::ParseDevice(text)));
      TakeAway(device.container_path().empty() ? device.host_path() : device.container_path());
      *container_.add_devices() = std::move(device);
    }
    return absl::OkStatus();
  }

  absl::Status Security() {
    auto& options = *container_.mutable_security_opt();
    for (const std::string& text : flags_.List("security-opt-rm")) {
      if (!SeccompFile(text).empty()) {
        return UsageError(StrCat("--security-opt-rm: ", text, ": what is kept is the profile and ",
                                 "not its file; remove it with --security-opt-rm seccomp"));
      }
      RemoveWhere(options, [&](const std::string& old) {
        return IsSameSecurityOption(old, text) || SecurityOptionKey(old) == text;
      });
    }
    const std::string flag = Adding("security-opt");
    for (const std::string& text : flags_.List(flag)) {
      absl::StatusOr<std::string> option = compose::ReadSecurityOption(text, read_file_);
      if (!option.ok()) return UsageError(StrCat("--", flag, ": ", option.status().message()));
      // The last of a kind counts.
      RemoveWhere(options, [&](const std::string& old) {
        return SecurityOptionKey(old) == SecurityOptionKey(*option);
      });
      *options.Add() = *std::move(option);
    }
    return absl::OkStatus();
  }

  absl::Status Namespaces() {
    for (const auto& [flag, set] : {std::pair("pid", &v1::ContainerSpec::set_host_pid),
                                    std::pair("ipc", &v1::ContainerSpec::set_host_ipc),
                                    std::pair("uts", &v1::ContainerSpec::set_host_uts)}) {
      if (!flags_.Has(flag)) continue;
      const std::string word = flags_.Text(flag);
      ASSIGN_OR_RETURN(const bool host, OfFlag(flag, word, compose::ParseSharesHost(word)));
      (container_.*set)(host);
    }
    return absl::OkStatus();
  }

  const Flags& flags_;
  const FileReader& read_file_;
  const std::string_view add_;
  v1::ContainerSpec& container_;
};

}  // namespace

std::vector<FlagRule> MountFlags(ServiceVerb verb) {
  return FlagsOf(verb, kBoth, kCreate, kUpdate);
}

absl::Status ApplyMounts(const Flags& flags, ServiceVerb verb, const FileReader& read_file,
                         v1::ServiceSpec& spec) {
  return MountsWriter(flags, verb, read_file, spec).Write();
}

}  // namespace swarm::cli
