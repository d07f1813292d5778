#include "agent/calls/copy_call.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "common/archive/tar.h"
#include "common/archive/tree_packer.h"
#include "common/archive/tree_unpacker.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/unique_fd.h"

namespace swarm::agent {
namespace {

// Renames on the host make the kernel unsure about "..": it is asked again (agent/shim/sys.h).
UniqueFd OpenInRoot(int root, const std::string& path, uint64_t flags) {
  constexpr int kTries = 1000;
  open_how how = {};
  how.flags = flags | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  long fd = -1;
  for (int i = 0; i < kTries; ++i) {
    fd = ::syscall(SYS_openat2, root, path.c_str(), &how, sizeof how);
    if (fd >= 0 || errno != EAGAIN) break;
  }
  return UniqueFd(static_cast<int>(fd));
}

// "/a/b/" is {"/a", "b"}; the base is "" for the root, and stays "." or "..".
std::pair<std::string, std::string> Split(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const size_t slash = path.rfind('/');
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

bool IsFolder(int fd) {
  struct stat info = {};
  return ::fstat(fd, &info) == 0 && S_ISDIR(info.st_mode);
}

// Where an archive goes: a folder, and what its top is called there.
struct Destination {
  UniqueFd folder;
  std::optional<std::string> top;
};

absl::StatusOr<Destination> FindDestination(int root, const v1::CopyToStart& start) {
  Destination to;
  const std::string& path = start.path();
  UniqueFd there = OpenInRoot(root, path, O_PATH);
  if (!there.valid() && errno != ENOENT) return ErrnoStatus(errno, path);
  if (there.valid() && IsFolder(there.get())) {
    to.folder = std::move(there);
    if (!start.name().empty()) to.top = start.merge() ? "" : start.name();
    return to;
  }
  if (start.name().empty()) {
    return absl::FailedPreconditionError(
        StrCat(path, there.valid() ? ": is no folder" : ": there is no such folder"));
  }
  if (there.valid() && start.directory()) {
    return absl::FailedPreconditionError(StrCat(path, ": is a file, and a folder is copied"));
  }
  const auto [parent, base] = Split(path);
  if (!start.directory() && absl::EndsWith(path, "/")) {
    return absl::FailedPreconditionError(StrCat(path, ": there is no such folder"));
  }
  if (base.empty() || base == "." || base == "..") {
    return absl::FailedPreconditionError(StrCat(path, ": there is no such folder"));
  }
  to.folder = OpenInRoot(root, parent, O_PATH | O_DIRECTORY);
  if (!to.folder.valid()) return ErrnoStatus(errno, parent);
  to.top = base;
  return to;
}

}  // namespace

absl::Status CopyInto(int root, const v1::CopyToStart& start, CallPipe& pipe) {
  if (absl::StrContains(start.name(), '/') || start.name() == "." || start.name() == "..") {
    return absl::InvalidArgumentError("copy_to.name: is not a name");
  }
  ASSIGN_OR_RETURN(const Destination to, FindDestination(root, start));
  bool ended = false;
  TarSource tar([&]() -> absl::StatusOr<std::string> {
    while (!ended) {
      auto input = pipe.Await(absl::InfiniteDuration());
      if (!input.has_value()) return absl::CancelledError("the caller has gone");
      ended = input->has_end();
      if (input->has_data() && !input->data().empty()) return std::move(*input->mutable_data());
    }
    return std::string();
  });
  RETURN_IF_ERROR(
      UnpackTree(tar, to.folder.get(),
                 {.top = to.top, .keep_ownership = start.keep_ownership(), .keep_set_id = true}));
  // What a tar has behind its end.
  while (!ended) {
    const auto input = pipe.Await(absl::InfiniteDuration());
    if (!input.has_value()) return absl::CancelledError("the caller has gone");
    ended = input->has_end();
  }
  return absl::OkStatus();
}

absl::Status CopyFrom(int root, const v1::CopyFromStart& start, CallPipe& pipe) {
  const bool into_link = start.follow_link() || absl::EndsWith(start.path(), "/") ||
                         absl::EndsWith(start.path(), "/.");
  const UniqueFd item =
      OpenInRoot(root, start.path(), O_PATH | (into_link ? 0 : static_cast<uint64_t>(O_NOFOLLOW)));
  if (!item.valid()) return ErrnoStatus(errno, start.path());
  std::string path = start.path();
  while (absl::EndsWith(path, "/.")) path.resize(path.size() - 1);
  const std::string base = Split(path).second;
  const std::string name = base.empty() || base == "." || base == ".." ? "root" : base;
  return PackTree(item.get(), name, [&](std::string piece) -> absl::Status {
    v1::ContainerOutput output;
    output.set_data(std::move(piece));
    return pipe.Put(std::move(output)) ? absl::OkStatus()
                                       : absl::CancelledError("the caller has gone");
  });
}

}  // namespace swarm::agent
