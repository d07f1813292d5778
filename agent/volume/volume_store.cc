#include "agent/volume/volume_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "agent/volume/local_mount.h"
#include "agent/volume/project_quota.h"
#include "common/file_system.h"
#include "common/local_volume.h"
#include "common/log.h"
#include "common/proto_time.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "google/protobuf/util/json_util.h"

namespace swarm::agent {
namespace {

constexpr char kComponent[] = "volumes";
constexpr char kNew[] = ".new-";
constexpr char kOld[] = ".old-";
constexpr char kView[] = ".view-";
constexpr char kCopy[] = "/copy";  // in a volume's folder: what is to be its data

using Options = std::map<std::string, std::string>;

bool IsAnonymousName(std::string_view name) { return name.substr(0, 1) == "_"; }

Options OptionsOf(const v1::NodeVolume& volume) {
  return Options(volume.options().begin(), volume.options().end());
}

absl::Status CheckWish(const v1::NodeVolume& wish) {
  if (!wish.anonymous()) RETURN_IF_ERROR(CheckVolumeName(wish.name()));
  if (!wish.driver().empty() && wish.driver() != kLocalDriver) {
    return absl::FailedPreconditionError(
        StrCat("volume driver \"", wish.driver(), "\" is not on this node"));
  }
  return absl::OkStatus();
}

absl::Status MakeFolder(const std::string& path, mode_t mode) {
  if (mkdir(path.c_str(), mode) != 0) return ErrnoStatus(errno, StrCat("make ", path));
  return chmod(path.c_str(), mode) == 0 ? absl::OkStatus() : ErrnoStatus(errno, path);
}

absl::Status Rename(const std::string& from, const std::string& to) {
  return rename(from.c_str(), to.c_str()) == 0 ? absl::OkStatus()
                                               : ErrnoStatus(errno, StrCat("make ", to));
}

absl::StatusOr<UniqueFd> OpenFolder(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, path);
  return fd;
}

absl::Status WriteInfo(const std::string& folder, const v1::NodeVolume& info) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(info, &text, options).ok()) {
    return absl::InvalidArgumentError("a label or option is not UTF-8");
  }
  return WriteFileDurably(StrCat(folder, "/volume.json"), text, 0600);
}

absl::StatusOr<v1::NodeVolume> ReadInfo(const std::string& folder) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(StrCat(folder, "/volume.json"), 1 << 20));
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  v1::NodeVolume info;
  if (!google::protobuf::util::JsonStringToMessage(text, &info, options).ok()) {
    return absl::DataLossError(StrCat(folder, "/volume.json is damaged"));
  }
  return info;
}

}  // namespace

std::string AnonymousVolume(const std::string& task_id, int index) {
  return StrCat("_", task_id, ".", index);
}

// One call at a time is at work on a volume.
class VolumeStore::Claim {
 public:
  Claim(VolumeStore& store, std::string name) : store_(store), name_(std::move(name)) {
    MutexLock lock(store_.mu_);
    while (!store_.claimed_.insert(name_).second) store_.unclaimed_.Wait(store_.mu_);
  }
  ~Claim() {
    MutexLock lock(store_.mu_);
    store_.claimed_.erase(name_);
    store_.unclaimed_.NotifyAll();
  }
  Claim(const Claim&) = delete;
  Claim& operator=(const Claim&) = delete;

 private:
  VolumeStore& store_;
  const std::string name_;
};

absl::StatusOr<std::unique_ptr<VolumeStore>> VolumeStore::Open(std::string dir,
                                                               const Clock& clock) {
  RETURN_IF_ERROR(MakeDirectories(dir, 0700));
  if (chmod(dir.c_str(), 0700) != 0) return ErrnoStatus(errno, dir);
  auto store = std::unique_ptr<VolumeStore>(new VolumeStore(std::move(dir), clock));
  RETURN_IF_ERROR(store->Load());
  return store;
}

absl::Status VolumeStore::Load() {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(dir_));
  MutexLock lock(mu_);
  for (const std::string& name : names) {
    const std::string folder = Folder(name);
    if (absl::StartsWith(name, kNew) || absl::StartsWith(name, kOld) ||
        absl::StartsWith(name, kView)) {
      Clean(folder);
      continue;
    }
    if (!CheckVolumeName(name).ok() && !IsAnonymousName(name)) continue;  // not ours
    Entry entry;
    absl::StatusOr<v1::NodeVolume> info = ReadInfo(folder);
    if (info.ok()) {
      entry.info = *std::move(info);
    } else {
      // The data are what matters: a plain volume as far as we know.
      LogWarning(kComponent, StrCat("volume ", name, ": ", info.status().message()));
      entry.info.set_anonymous(IsAnonymousName(name));
    }
    entry.info.set_name(name);
    entry.info.set_driver(std::string(kLocalDriver));
    Clean(StrCat(folder, kCopy));
    if (auto tasks = ListDirectory(StrCat(folder, "/tasks")); tasks.ok()) {
      entry.tasks.insert(tasks->begin(), tasks->end());
    }
    volumes_.emplace(name, std::move(entry));
  }
  return absl::OkStatus();
}

// What cannot go now (a file that may not be changed, say) stays; the node is of use all the same.
void VolumeStore::Clean(const std::string& folder) const {
  absl::Status cleaned = UnmountLocal(folder);
  if (cleaned.ok()) cleaned = RemoveTree(folder);
  if (!cleaned.ok()) {
    LogWarning(kComponent, StrCat("take away ", folder, ": ", cleaned.message()));
  }
}

std::set<uint32_t> VolumeStore::Projects() const {
  std::set<uint32_t> projects;
  for (const v1::NodeVolume& volume : List()) {
    if (volume.options().contains("size")) projects.insert(ProjectOf(Data(volume.name())));
  }
  return projects;
}

absl::Status VolumeStore::Make(const v1::NodeVolume& wish) {
  ASSIGN_OR_RETURN(const LocalVolume local, ParseLocalVolume(OptionsOf(wish)));
  v1::NodeVolume info = wish;
  info.set_driver(std::string(kLocalDriver));
  *info.mutable_created_at() = ToProto(clock_.WallNow());
  const std::string half = StrCat(dir_, "/", kNew, wish.name());
  std::optional<MutexLock> choosing;
  if (local.size_bytes > 0) choosing.emplace(limits_mu_);
  RETURN_IF_ERROR(RemoveTree(half));
  const absl::Status made = [&]() -> absl::Status {
    RETURN_IF_ERROR(MakeFolder(half, 0700));
    RETURN_IF_ERROR(MakeFolder(StrCat(half, "/tasks"), 0700));
    RETURN_IF_ERROR(MakeFolder(StrCat(half, "/_data"), 0755));
    if (local.size_bytes > 0) {
      RETURN_IF_ERROR(LimitFolder(StrCat(half, "/_data"), local.size_bytes, Projects()));
    }
    RETURN_IF_ERROR(WriteInfo(half, info));
    return Rename(half, Folder(wish.name()));
  }();
  if (!made.ok()) {
    RemoveTree(half).IgnoreError();
    return made;
  }
  MutexLock lock(mu_);
  volumes_[wish.name()].info = std::move(info);
  return absl::OkStatus();
}

absl::Status VolumeStore::NoteUser(const std::string& name, const std::string& task_id) {
  const std::string path = StrCat(Folder(name), "/tasks/", task_id);
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoStatus(errno, path);
  MutexLock lock(mu_);
  volumes_[name].tasks.insert(task_id);
  return absl::OkStatus();
}

absl::StatusOr<std::string> VolumeStore::Use(const v1::NodeVolume& wish, const std::string& task_id,
                                             const ImageFolder* image) {
  RETURN_IF_ERROR(CheckWish(wish));
  const std::string& name = wish.name();
  const Claim claim(*this, name);
  const auto find = [&]() -> std::unique_ptr<Entry> {
    MutexLock lock(mu_);
    const auto it = volumes_.find(name);
    return it == volumes_.end() ? nullptr : std::make_unique<Entry>(it->second);
  };
  std::unique_ptr<Entry> entry = find();
  if (entry == nullptr) {
    RETURN_IF_ERROR(Make(wish));
    entry = find();
  }
  if (!wish.options().empty() && OptionsOf(entry->info) != OptionsOf(wish)) {
    return absl::FailedPreconditionError(
        "it is on this node with other options: remove it first, or use another name");
  }
  RETURN_IF_ERROR(NoteUser(name, task_id));
  ASSIGN_OR_RETURN(const LocalVolume local, ParseLocalVolume(OptionsOf(entry->info)));
  if (local.is_mounted()) RETURN_IF_ERROR(MountLocal(local, Data(name)));
  entry->tasks.erase(task_id);
  // Where others are at work, or something is mounted, the folder has to stay itself.
  const bool may_replace = entry->tasks.empty() && !local.is_mounted();
  if (image != nullptr) RETURN_IF_ERROR(Fill(name, *image, may_replace));
  return Data(name);
}

// All or nothing where it can be: a folder that takes the empty one's place.
absl::Status VolumeStore::Fill(const std::string& name, const ImageFolder& image,
                               bool may_replace) {
  ASSIGN_OR_RETURN(const std::vector<std::string> there, ListDirectory(Data(name)));
  if (!there.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const UniqueFd from, OpenImageFolder(image, dir_));
  if (!from.valid()) return absl::OkStatus();
  const std::string copy = may_replace ? StrCat(Folder(name), kCopy) : Data(name);
  if (may_replace) {
    RETURN_IF_ERROR(RemoveTree(copy));
    RETURN_IF_ERROR(MakeFolder(copy, 0755));
    if (const uint32_t project = ProjectOf(Data(name)); project != 0) {
      RETURN_IF_ERROR(JoinProject(copy, project));
    }
  }
  ASSIGN_OR_RETURN(const UniqueFd to, OpenFolder(copy));
  const absl::Status copied = [&] {
    const WithinLimits within;
    return CopyFolder(from.get(), to.get());
  }();
  if (!copied.ok()) {
    if (may_replace) RemoveTree(copy).IgnoreError();
    return Annotate(copied, "copy what the image has");
  }
  if (!may_replace) return absl::OkStatus();
  // A volume that is not empty is never filled again: what is there must be there after a power
  // cut.
  if (syncfs(to.get()) != 0) return ErrnoStatus(errno, copy);
  return Rename(copy, Data(name));
}

std::set<std::string> VolumeStore::NamesUsedBy(const std::string& task_id) const {
  std::set<std::string> names;
  MutexLock lock(mu_);
  for (const auto& [name, entry] : volumes_) {
    if (entry.tasks.contains(task_id)) names.insert(name);
  }
  return names;
}

absl::Status VolumeStore::Release(const std::string& task_id) {
  absl::Status first;
  for (const std::string& name : NamesUsedBy(task_id)) {
    const absl::Status released = Annotate(ReleaseOne(name, task_id), StrCat("volume ", name));
    if (first.ok()) first = released;
  }
  return first;
}

absl::Status VolumeStore::ReleaseOne(const std::string& name, const std::string& task_id) {
  const Claim claim(*this, name);
  bool last = false;
  bool anonymous = false;
  {
    MutexLock lock(mu_);
    const auto it = volumes_.find(name);
    if (it == volumes_.end() || !it->second.tasks.contains(task_id)) return absl::OkStatus();
    last = it->second.tasks.size() == 1;
    anonymous = it->second.info.anonymous();
  }
  if (last) RETURN_IF_ERROR(UnmountLocal(Data(name)));
  if (last && anonymous) return Delete(name);
  const std::string path = StrCat(Folder(name), "/tasks/", task_id);
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoStatus(errno, path);
  MutexLock lock(mu_);
  volumes_[name].tasks.erase(task_id);
  return absl::OkStatus();
}

absl::Status VolumeStore::ReleaseAllBut(const std::set<std::string>& task_ids) {
  std::set<std::string> gone;
  {
    MutexLock lock(mu_);
    for (const auto& [name, entry] : volumes_) {
      for (const std::string& task : entry.tasks) {
        if (!task_ids.contains(task)) gone.insert(task);
      }
    }
  }
  absl::Status first;
  for (const std::string& task : gone) {
    const absl::Status released = Release(task);
    if (first.ok()) first = released;
  }
  return first;
}

std::vector<v1::NodeVolume> VolumeStore::List() const {
  std::vector<v1::NodeVolume> out;
  MutexLock lock(mu_);
  for (const auto& [name, entry] : volumes_) out.push_back(entry.info);
  return out;
}

absl::Status VolumeStore::Delete(const std::string& name) {
  const std::string old = StrCat(dir_, "/", kOld, name);
  RETURN_IF_ERROR(RemoveTree(old));
  if (rename(Folder(name).c_str(), old.c_str()) != 0 && errno != ENOENT) {
    return ErrnoStatus(errno, Folder(name));
  }
  {
    MutexLock lock(mu_);
    volumes_.erase(name);
  }
  return RemoveTree(old);
}

absl::Status VolumeStore::Remove(const std::string& name) {
  const Claim claim(*this, name);
  {
    MutexLock lock(mu_);
    const auto it = volumes_.find(name);
    if (it == volumes_.end()) return absl::OkStatus();
    if (!it->second.tasks.empty()) {
      return absl::FailedPreconditionError(StrCat(it->second.tasks.size() == 1 ? "task " : "tasks ",
                                                  absl::StrJoin(it->second.tasks, ", "),
                                                  " still use it"));
    }
  }
  RETURN_IF_ERROR(UnmountLocal(Data(name)));
  return Delete(name);
}

}  // namespace swarm::agent
