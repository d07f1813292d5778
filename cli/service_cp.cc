#include "cli/service_cp.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "cli/errors.h"
#include "common/archive/tar.h"
#include "common/archive/tree_packer.h"
#include "common/archive/tree_unpacker.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/unique_fd.h"

namespace swarm::cli {
namespace {

constexpr size_t kPiece = 64 << 10;

// One side of a copy: "web.1:/etc/hosts", or a path of this machine.
struct Side {
  std::string ref;  // empty: here
  std::string path;
};

// As docker: what begins like a path is one.
Side SideOf(const std::string& text) {
  const size_t colon = text.find(':');
  const bool local = text.empty() || text[0] == '/' || text[0] == '.' || colon == text.npos ||
                     text.find('/') < colon;
  if (local) return {"", text};
  return {text.substr(0, colon), text.substr(colon + 1)};
}

// The last name of a path, and whether it asks for a folder's contents: "a/b/" and "a/b" are "b";
// "a/b/." is all that is in b.
struct LastName {
  std::string name;
  bool contents = false;
};
LastName LastNameOf(std::string path) {
  LastName last;
  last.contents = path == "." || absl::EndsWith(path, "/.");
  if (last.contents) path.resize(path.size() - 1);
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  last.name = path.substr(path.rfind('/') + 1);
  if (last.name.empty() || last.name == "." || last.name == "..") {  // a folder without a name
    last.name = "root";
    last.contents = true;
  }
  return last;
}

bool IsFolder(const std::string& path) {
  struct stat info = {};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

// A packer pushes, a call pulls: a thread packs, a few pieces ahead.
class PackedTree {
 public:
  PackedTree(int item, std::string name)
      : thread_([this, item, name = std::move(name)] {
          absl::Status packed =
              PackTree(item, name, [this](std::string piece) { return Push(std::move(piece)); });
          const std::lock_guard<std::mutex> lock(mutex_);
          result_ = std::move(packed);
          changed_.notify_all();
        }) {}
  ~PackedTree() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      abandoned_ = true;
      changed_.notify_all();
    }
    thread_.join();
  }

  // Empty at the end.
  absl::StatusOr<std::string> Next() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return !pieces_.empty() || result_.has_value(); });
    if (pieces_.empty()) {
      if (!result_->ok()) return *result_;
      return std::string();
    }
    std::string piece = std::move(pieces_.front());
    pieces_.pop_front();
    changed_.notify_all();
    return piece;
  }

 private:
  static constexpr size_t kAhead = 4;

  absl::Status Push(std::string piece) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return abandoned_ || pieces_.size() < kAhead; });
    if (abandoned_) return absl::CancelledError("nobody reads it");
    pieces_.push_back(std::move(piece));
    changed_.notify_all();
    return absl::OkStatus();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> pieces_;
  bool abandoned_ = false;
  std::optional<absl::Status> result_;
  std::thread thread_;  // last: it uses the others
};

absl::Status CheckContainerPath(const Side& side) {
  if (!side.path.empty() && side.path[0] == '/') return absl::OkStatus();
  return UsageError(
      StrCat(side.ref, ":", side.path, ": the path in the container must begin with /"));
}

absl::StatusOr<uint64_t> SlotOf(const Flags& flags) {
  ASSIGN_OR_RETURN(const auto index, flags.NumberOf("index"));
  if (index == 0u) return UsageError("--index=0: slots count from 1");
  return index.value_or(0);
}

absl::Status CopyIn(Invocation& in, const std::string& from, const Side& to) {
  v1::CopyToStart start;
  start.mutable_task()->set_ref(to.ref);
  ASSIGN_OR_RETURN(const uint64_t slot, SlotOf(in.flags));
  start.mutable_task()->set_slot(slot);
  start.set_path(to.path);
  start.set_keep_ownership(in.flags.On("archive"));
  if (from == "-") {
    ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
    return manager->CopyTo(start, [&]() -> absl::StatusOr<std::string> {
      std::string piece(kPiece, '\0');
      ssize_t n = 0;
      do n = ::read(in.env.stdin_fd, piece.data(), piece.size());
      while (n < 0 && errno == EINTR);
      if (n < 0) return ErrnoStatus(errno, "read standard input");
      piece.resize(static_cast<size_t>(n));
      return piece;
    });
  }
  const bool follow =
      in.flags.On("follow-link") || absl::EndsWith(from, "/") || LastNameOf(from).contents;
  const UniqueFd item(::open(from.c_str(), O_PATH | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW)));
  struct stat info = {};
  if (!item.valid() || ::fstat(item.get(), &info) != 0) return ErrnoStatus(errno, from);
  const LastName last = LastNameOf(from);
  start.set_directory(S_ISDIR(info.st_mode));
  if (last.contents && !start.directory()) {
    return absl::InvalidArgumentError(StrCat(from, ": is no folder"));
  }
  // The contents of a folder go into one that is there, or become one that is not: the agent takes
  // the archive's top as the folder of that path either way.
  if (last.contents) {
    while (start.path().size() > 1 && start.path().back() == '/') start.mutable_path()->pop_back();
    start.set_merge(true);
  }
  start.set_name(last.name);
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  PackedTree tree(item.get(), last.name);
  return manager->CopyTo(start, [&tree] { return tree.Next(); });
}

// Where on this machine a copy goes: a folder, and what its top is called there.
struct Destination {
  UniqueFd folder;
  std::string top;
};
absl::StatusOr<Destination> FindDestination(const std::string& to, const LastName& from) {
  Destination out;
  std::string folder = to;
  out.top = from.contents ? "" : from.name;
  if (!IsFolder(to)) {
    if (from.contents) {
      if (::mkdir(to.c_str(), 0755) != 0) return ErrnoStatus(errno, to);
    } else {
      if (absl::EndsWith(to, "/"))
        return absl::NotFoundError(StrCat(to, ": there is no such folder"));
      const size_t slash = to.rfind('/');
      folder = slash == to.npos ? "." : slash == 0 ? "/" : to.substr(0, slash);
      out.top = to.substr(slash == to.npos ? 0 : slash + 1);
    }
  }
  out.folder.Reset(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!out.folder.valid()) return ErrnoStatus(errno, folder);
  return out;
}

absl::Status CopyOut(Invocation& in, const Side& from, const std::string& to) {
  v1::CopyFromStart start;
  start.mutable_task()->set_ref(from.ref);
  ASSIGN_OR_RETURN(const uint64_t slot, SlotOf(in.flags));
  start.mutable_task()->set_slot(slot);
  start.set_path(from.path);
  start.set_follow_link(in.flags.On("follow-link"));
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  const auto stream = manager->CopyFrom(start);
  const auto read = [&]() -> absl::StatusOr<std::string> {
    absl::StatusOr<std::optional<v1::CopyFromResponse>> next =
        stream->Next(absl::InfiniteDuration());
    if (absl::IsOutOfRange(next.status())) return std::string();
    if (!next.ok()) return next.status();
    if (!next->has_value() || (*next)->data().empty()) {
      return absl::DataLossError("an empty piece of an archive");
    }
    return std::move(*(*next)->mutable_data());
  };
  if (to == "-") {
    while (true) {
      ASSIGN_OR_RETURN(const std::string piece, read());
      if (piece.empty()) return absl::OkStatus();
      in.Out(piece);
    }
  }
  // Nothing here is touched before the container has answered.
  ASSIGN_OR_RETURN(std::string first, read());
  ASSIGN_OR_RETURN(const Destination destination, FindDestination(to, LastNameOf(from.path)));
  TarSource tar([&]() -> absl::StatusOr<std::string> {
    if (!first.empty()) return std::exchange(first, {});
    return read();
  });
  const bool archive = in.flags.On("archive");
  RETURN_IF_ERROR(
      UnpackTree(tar, destination.folder.get(),
                 {.top = destination.top, .keep_ownership = archive, .keep_set_id = archive}));
  // The end of the archive is not yet the end of the call.
  while (true) {
    ASSIGN_OR_RETURN(const std::string piece, read());
    if (piece.empty()) return absl::OkStatus();
  }
}

}  // namespace

std::vector<FlagRule> ServiceCpFlags() {
  return {
      {"archive", 'a', FlagKind::kSwitch, "", "keep owners and set-id bits"},
      {"follow-link", 'L', FlagKind::kSwitch, "",
       "of a source that is a link, copy what it leads to"},
      {"index", 0, FlagKind::kText, "SLOT", "of a service: the task of this slot (any)"},
      {"quiet", 'q', FlagKind::kSwitch, "", "kept for those who ask: nothing is printed anyway"},
  };
}

absl::Status ServiceCp(Invocation& in) {
  const Side from = SideOf(in.arguments()[0]);
  const Side to = SideOf(in.arguments()[1]);
  if (from.ref.empty() == to.ref.empty()) {
    return UsageError(
        "service cp: one side is SERVICE:PATH or TASK:PATH, the other a path here or -");
  }
  RETURN_IF_ERROR(CheckContainerPath(from.ref.empty() ? to : from));
  return from.ref.empty() ? CopyIn(in, from.path, to) : CopyOut(in, from, to.path);
}

}  // namespace swarm::cli
