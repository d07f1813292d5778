#include "agent/shim/fail.h"
#include "agent/shim/init_process.h"
#include "agent/shim/sys.h"
#include "agent/shim/text.h"
#include "agent/shim/user_db.h"

namespace swarm::shim {
namespace {

// A user database is read to its end; nobody's is longer.
constexpr size_t kMaxFileBytes = 8u << 20;

// Calls `line` for each line of a file of the container until it returns true. A missing file has
// no lines; anything but a regular file (a FIFO would block) counts as missing.
template <typename Line>
bool ForEachLine(int root, const char* path, const Line& line, Failure* failure, Step step) {
  const int fd = sys::OpenInRoot(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (fd == -ENOENT || fd == -ENOTDIR) return true;
  if (fd < 0) return Fail(failure, step, fd, path);
  struct stat stat;
  static ColonFile file;
  static char data[4096];
  file = ColonFile();
  size_t total = 0;
  bool stop = sys::FStat(fd, &stat) < 0 || !S_ISREG(stat.st_mode);
  while (!stop && total < kMaxFileBytes) {
    const long n = sys::Read(fd, data, sizeof data);
    if (n < 0) {
      sys::Close(fd);
      return Fail(failure, step, n, path);
    }
    if (n == 0) {
      file.Finish(line);
      break;
    }
    total += static_cast<size_t>(n);
    stop = file.Feed(data, static_cast<size_t>(n), line);
  }
  sys::Close(fd);
  return true;
}

bool FindPasswd(int root, const char* name, uint32_t uid, PasswdEntry* entry, Failure* failure) {
  return ForEachLine(
      root, "/etc/passwd",
      [&](const char* const* fields, const size_t* lengths, int count) {
        return MatchPasswd(fields, lengths, count, name, uid, entry);
      },
      failure, Step::kUser);
}

// A number, or a name of /etc/group.
bool FindGroup(int root, const char* name, uint32_t* gid, Failure* failure) {
  if (ParseId(name, text::Length(name), gid)) return true;
  bool found = false;
  const bool read = ForEachLine(
      root, "/etc/group",
      [&](const char* const* fields, const size_t* lengths, int count) {
        found = MatchGroup(fields, lengths, count, name, gid);
        return found;
      },
      failure, Step::kGroup);
  if (!read) return false;
  return found ? true : Fail(failure, Step::kGroup, ENOENT, name);
}

void AddGroup(Identity* identity, uint32_t gid) {
  for (uint32_t i = 0; i < identity->group_count; ++i) {
    if (identity->groups[i] == gid) return;
  }
  if (identity->group_count < sizeof identity->groups / sizeof identity->groups[0]) {
    identity->groups[identity->group_count++] = gid;
  }
}

bool AddMemberships(int root, const char* user, Identity* identity, Failure* failure) {
  return ForEachLine(
      root, "/etc/group",
      [&](const char* const* fields, const size_t* lengths, int count) {
        uint32_t gid = 0;
        if (GroupHasMember(fields, lengths, count, user, &gid)) AddGroup(identity, gid);
        return false;
      },
      failure, Step::kGroup);
}

// "user[:group]": as Docker reads it. A number need not be in /etc/passwd, a name must be.
bool FindNamed(const char* spec, int root, Identity* identity, Failure* failure) {
  text::Buffer<256> user;
  const char* colon = text::Find(spec, ':');
  if (colon == nullptr) {
    user.Add(spec);
  } else {
    user.Add(spec, static_cast<size_t>(colon - spec));
  }
  if (!user.whole()) return Fail(failure, Step::kUser, ENOENT, spec);
  if (user.size() == 0) user.Add('0');
  uint32_t uid = 0;
  const bool number = ParseId(user.c_str(), user.size(), &uid);
  PasswdEntry entry;
  if (!FindPasswd(root, number ? nullptr : user.c_str(), uid, &entry, failure)) return false;
  if (!entry.found && !number) return Fail(failure, Step::kUser, ENOENT, user.c_str());
  identity->uid = entry.found ? entry.uid : uid;
  identity->gid = entry.gid;
  if (entry.home[0] != 0) {
    __builtin_memcpy(identity->home, entry.home, sizeof entry.home);
  }
  if (colon != nullptr && colon[1] != 0) {
    return FindGroup(root, colon + 1, &identity->gid, failure);
  }
  return entry.name[0] == 0 || AddMemberships(root, entry.name, identity, failure);
}

}  // namespace

bool FindIdentity(const plan::Plan& plan, int root, Identity* identity, Failure* failure) {
  plan::Cursor ids(plan, plan::Tag::kUserIds);
  if (ids.Next()) {
    plan::Fields fields = ids.fields();
    identity->uid = fields.U32();
    identity->gid = fields.U32();
    PasswdEntry entry;
    if (!FindPasswd(root, nullptr, identity->uid, &entry, failure)) return false;
    if (entry.home[0] != 0) __builtin_memcpy(identity->home, entry.home, sizeof entry.home);
  }
  if (const char* spec = plan.String(plan::Tag::kUserName); spec != nullptr) {
    if (!FindNamed(spec, root, identity, failure)) return false;
  }
  // Also as a supplementary group, or a file could shut out its own group's members
  // (CVE-2022-36109).
  AddGroup(identity, identity->gid);
  for (plan::Cursor c(plan, plan::Tag::kGroupId); c.Next();) AddGroup(identity, c.fields().U32());
  for (plan::Cursor c(plan, plan::Tag::kGroupName); c.Next();) {
    uint32_t gid = 0;
    if (!FindGroup(root, c.fields().String(), &gid, failure)) return false;
    AddGroup(identity, gid);
  }
  return true;
}

}  // namespace swarm::shim
