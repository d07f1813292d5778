#include "agent/runtime/mount_options.h"

#include <linux/mount.h>

#include "absl/strings/string_view.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace swarm::agent {
namespace {

struct Attribute {
  absl::string_view name;
  uint64_t set;
  uint64_t clear;
};

// MOUNT_ATTR__ATIME is a field of several bits: it is cleared before one of its values is set.
constexpr Attribute kAttributes[] = {
    {"ro", MOUNT_ATTR_RDONLY, 0},
    {"rw", 0, MOUNT_ATTR_RDONLY},
    {"nosuid", MOUNT_ATTR_NOSUID, 0},
    {"suid", 0, MOUNT_ATTR_NOSUID},
    {"nodev", MOUNT_ATTR_NODEV, 0},
    {"dev", 0, MOUNT_ATTR_NODEV},
    {"noexec", MOUNT_ATTR_NOEXEC, 0},
    {"exec", 0, MOUNT_ATTR_NOEXEC},
    {"relatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"noatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME},
    {"strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"nodiratime", MOUNT_ATTR_NODIRATIME, 0},
    {"diratime", 0, MOUNT_ATTR_NODIRATIME},
    {"nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0},
    {"symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW},
};

struct Propagation {
  absl::string_view name;
  uint32_t flag;
};

constexpr Propagation kPropagations[] = {
    {"private", MS_PRIVATE}, {"rprivate", MS_PRIVATE}, {"slave", MS_SLAVE},
    {"rslave", MS_SLAVE},    {"shared", MS_SHARED},    {"rshared", MS_SHARED},
};

void Apply(const Attribute& attribute, OciMount* mount) {
  mount->attr_set = (mount->attr_set & ~attribute.clear) | attribute.set;
  mount->attr_clear |= attribute.clear;
}

bool ApplyAttribute(absl::string_view option, OciMount* mount) {
  for (const Attribute& attribute : kAttributes) {
    if (option == attribute.name) {
      Apply(attribute, mount);
      return true;
    }
    // "rro", "rnosuid", …: for the whole tree.
    if (option.size() == attribute.name.size() + 1 && option[0] == 'r' &&
        option.substr(1) == attribute.name) {
      Apply(attribute, mount);
      mount->attributes_recursive = true;
      return true;
    }
  }
  return false;
}

bool ApplyPropagation(absl::string_view option, OciMount* mount) {
  for (const Propagation& propagation : kPropagations) {
    if (option != propagation.name) continue;
    mount->propagation = propagation.flag;
    return true;
  }
  return false;
}

}  // namespace

absl::Status ApplyMountOptions(const std::vector<std::string>& options, OciMount* mount) {
  for (const std::string& option : options) {
    if (option == "bind" || option == "rbind") {
      mount->bind = true;
      mount->recursive = option == "rbind";
      continue;
    }
    if (absl::string_view subpath = option;
        mount->bind && absl::ConsumePrefix(&subpath, kSubpathOption)) {
      mount->subpath = std::string(subpath);
      continue;
    }
    if (option.empty() || option == "defaults" || option == "async") continue;
    if (ApplyAttribute(option, mount) || ApplyPropagation(option, mount)) continue;
    if (option == "idmap" || option == "ridmap" || option == "tmpcopyup" || option == "remount" ||
        option == "sync" || option == "mand") {
      return absl::InvalidArgumentError(absl::StrCat("option \"", option, "\" is not built"));
    }
    if (option.find_first_of(",\n") != std::string::npos) {
      return absl::InvalidArgumentError("an option contains a comma");
    }
    if (mount->bind) {
      return absl::InvalidArgumentError(
          absl::StrCat("option \"", option, "\" means nothing for a bind mount"));
    }
    absl::StrAppend(&mount->options, mount->options.empty() ? "" : ",", option);
  }
  return absl::OkStatus();
}

}  // namespace swarm::agent
