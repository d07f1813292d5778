#include "agent/runtime/container_folder.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "agent/runtime/json_reader.h"
#include "agent/runtime/plan_compiler.h"
#include "agent/runtime/shim_process.h"
#include "common/file_system.h"
#include "common/status_macros.h"
#include "common/unique_fd.h"
#include "nlohmann/json.hpp"

namespace swarm::agent {
namespace {

absl::Status MakeDirectory(const std::string& path, mode_t mode) {
  if (mkdir(path.c_str(), mode) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("make ", path));
}

absl::Status WriteNewFile(const std::string& path, absl::string_view content, mode_t mode) {
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
  if (!fd.valid()) return ErrnoStatus(errno, path);
  if (fchmod(fd.get(), mode) != 0 ||
      write(fd.get(), content.data(), content.size()) != static_cast<ssize_t>(content.size())) {
    return ErrnoStatus(errno == 0 ? ENOSPC : errno, path);
  }
  return absl::OkStatus();
}

std::string HostFile(const char* path) {
  auto content = ReadFile(path, 1 << 20);
  return content.ok() ? *std::move(content) : "";
}

std::string OwnName(const OciSpec& oci) {
  utsname node;
  const bool shares_it = (oci.clone_flags & CLONE_NEWUTS) == 0;
  return shares_it && uname(&node) == 0 ? node.nodename : oci.hostname;
}

std::string HostsFile(const OciSpec& oci) {
  if (oci.host_network) {
    const std::string host = HostFile("/etc/hosts");
    if (!host.empty()) return host;
  }
  std::string out =
      "127.0.0.1\tlocalhost\n"
      "::1\tlocalhost ip6-localhost ip6-loopback\n"
      "fe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-"
      "allrouters\n";
  // In a network of its own the name stands for the address there, which is among these lines.
  const std::string name = OwnName(oci);
  if (!name.empty() && oci.network_path.empty()) {
    absl::StrAppend(&out, "127.0.0.1\t", name, "\n");
  }
  return absl::StrCat(out, oci.extra_hosts);
}

absl::Status WriteOwnFile(const std::string& dir, absl::string_view name, const OciSpec& oci) {
  std::string content;
  if (name == "hosts") {
    content = HostsFile(oci);
  } else if (name == "hostname") {
    content = absl::StrCat(OwnName(oci), "\n");
  } else if (name == "resolv.conf") {
    // A container with only a loopback has nobody to ask.
    content = oci.host_network           ? HostFile("/etc/resolv.conf")
              : !oci.resolv_conf.empty() ? oci.resolv_conf
                                         : "# no network, no name servers\n";
  } else {
    return absl::InvalidArgumentError(absl::StrCat("no generated file is called \"", name, "\""));
  }
  return WriteNewFile(absl::StrCat(dir, "/", name), content, 0644);
}

}  // namespace

absl::Status CheckContainerId(absl::string_view id) {
  const bool good =
      !id.empty() && id.size() <= 64 && id[0] != '.' &&
      id.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_.-") == absl::string_view::npos;
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("container id \"", id.substr(0, 80),
                                                 "\" is not of a-z, 0-9, _, . and -, 1 to 64"));
}

absl::Status CheckOwnerName(absl::string_view owner) {
  const bool good = !owner.empty() && owner.size() <= 64 &&
                    owner.find_first_not_of(
                        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "0123456789_.") == absl::string_view::npos;
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("owner \"", owner.substr(0, 80),
                                                 "\" is not of letters, digits, _ and ., 1 to 64"));
}

absl::Status MakePrivateDirectory(const std::string& path) {
  RETURN_IF_ERROR(MakeDirectories(path, 0700));
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, path);
  if (fchmod(fd.get(), 0700) != 0) return ErrnoStatus(errno, path);
  return absl::OkStatus();
}

absl::Status ContainerFolders::Make(const RuntimeContainerSpec& spec, const OciSpec& oci) const {
  const std::string dir = absl::StrCat(state_root_, "/", NewName(spec.id));
  if (mkdir(dir.c_str(), 0700) != 0) {
    if (errno != EEXIST) return ErrnoStatus(errno, absl::StrCat("make ", dir));
    RETURN_IF_ERROR(RemoveTree(dir));
    RETURN_IF_ERROR(MakeDirectory(dir, 0700));
  }
  const nlohmann::json record = {{"version", 1},
                                 {"id", spec.id},
                                 {"owner", owner_},
                                 {"boot_id", boot_id_},
                                 {"image_digest", spec.image_digest},
                                 {"note", absl::Base64Escape(spec.note)}};
  RETURN_IF_ERROR(WriteNewFile(absl::StrCat(dir, "/record"),
                               record.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace),
                               0600));
  // For Exec, also by the agents after this one.
  RETURN_IF_ERROR(WriteNewFile(absl::StrCat(dir, "/config.json"), spec.config_json, 0600));
  RETURN_IF_ERROR(MakeDirectory(absl::StrCat(dir, "/log"), 0700));
  if (!spec.lower_dirs.empty()) {
    // The upper folder's mode is the mode of the container's "/".
    RETURN_IF_ERROR(MakeDirectory(absl::StrCat(dir, "/upper"), 0755));
    RETURN_IF_ERROR(MakeDirectory(absl::StrCat(dir, "/work"), 0700));
  }
  for (const OciMount& mount : oci.mounts) {
    absl::string_view name = mount.source;
    if (mount.bind && absl::ConsumePrefix(&name, kOwnFilePrefix)) {
      RETURN_IF_ERROR(WriteOwnFile(dir, name, oci));
    }
  }
  if (rename(dir.c_str(), StateDir(spec.id).c_str()) != 0) {
    return ErrnoStatus(errno, absl::StrCat("make ", StateDir(spec.id)));
  }
  const std::string run_dir = RunDir(spec.id);
  if (mkdir(run_dir.c_str(), 0700) != 0) {
    if (errno != EEXIST) return ErrnoStatus(errno, absl::StrCat("make ", run_dir));
    RETURN_IF_ERROR(RemoveTree(run_dir));  // of a container whose state folder is gone
    RETURN_IF_ERROR(MakeDirectory(run_dir, 0700));
  }
  return WriteState(run_dir, shim::StateRecord(), /*create=*/true);
}

bool ContainerFolders::Exists(const std::string& id) const { return PathExists(StateDir(id)); }

absl::StatusOr<ContainerRecord> ContainerFolders::ReadRecord(const std::string& id) const {
  const std::string path = absl::StrCat(StateDir(id), "/record");
  const auto text = ReadFile(path, 1 << 20);
  if (absl::IsNotFound(text.status())) {
    return absl::NotFoundError(absl::StrCat("no container ", id));
  }
  RETURN_IF_ERROR(text.status());
  const auto document = JsonDocument::Parse(*text);
  if (!document.ok()) return absl::DataLossError(absl::StrCat(path, " is damaged"));
  const JsonReader reader = document->root();
  ContainerRecord record;
  record.id = reader.String("id");
  record.owner = reader.String("owner");
  record.boot_id = reader.String("boot_id");
  record.image_digest = reader.String("image_digest");
  const bool noted = absl::Base64Unescape(reader.String("note"), &record.note);
  if (!reader.status().ok() || !noted || record.id != id) {
    return absl::DataLossError(absl::StrCat(path, " is damaged"));
  }
  if (record.owner != owner_) return absl::NotFoundError(absl::StrCat("no container ", id));
  return record;
}

absl::StatusOr<std::string> ContainerFolders::ReadConfig(const std::string& id) const {
  return ReadFile(absl::StrCat(StateDir(id), "/config.json"));
}

absl::Status ContainerFolders::CheckOwner(const std::string& id) const {
  const auto record = ReadRecord(id);
  if (absl::IsNotFound(record.status()) && PathExists(absl::StrCat(StateDir(id), "/record"))) {
    return absl::FailedPreconditionError(absl::StrCat("container ", id, " is another agent's"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> ContainerFolders::List() const {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(state_root_));
  std::vector<std::string> out;
  for (const std::string& name : names) {
    if (CheckContainerId(name).ok() && !absl::IsNotFound(ReadRecord(name).status())) {
      out.push_back(name);
    }
  }
  return out;
}

absl::Status ContainerFolders::RemoveRootFs(const std::string& id) const {
  RETURN_IF_ERROR(RemoveTree(UpperDir(id)));
  return RemoveTree(WorkDir(id));
}

absl::Status ContainerFolders::Remove(const std::string& id) const {
  RETURN_IF_ERROR(RemoveTree(RunDir(id)));
  const std::string old = absl::StrCat(state_root_, "/", OldName(id));
  RETURN_IF_ERROR(RemoveTree(absl::StrCat(state_root_, "/", NewName(id))));
  RETURN_IF_ERROR(RemoveTree(old));
  if (rename(StateDir(id).c_str(), old.c_str()) != 0) {
    return errno == ENOENT ? absl::OkStatus() : ErrnoStatus(errno, StateDir(id));
  }
  return RemoveTree(old);
}

absl::Status ContainerFolders::SweepHalfMade() const {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(state_root_));
  for (const std::string& name : names) {
    if (absl::StartsWith(name, NewName("")) || absl::StartsWith(name, OldName(""))) {
      RETURN_IF_ERROR(RemoveTree(absl::StrCat(state_root_, "/", name)));
    }
  }
  return absl::OkStatus();
}

}  // namespace swarm::agent
