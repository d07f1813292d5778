// Plan: what a container needs done, as bytes. The agent compiles it from an OCI configuration
// (agent/runtime/plan_compiler.h); the shim and its init helper only execute it, so neither needs
// JSON, memory allocation or a C library.
//
//   Header | Record | Record | …          little-endian, every record on a multiple of 8
//   Record = RecordHeader | payload | zero padding
//
// A payload is a fixed sequence of fields for its tag (PayloadFormat): u = uint32, q = uint64,
// s = string (uint32 length, bytes, NUL), b = bytes (uint32 length, bytes); strings and bytes are
// padded to 4. Records of one tag keep their order; the order of different tags means nothing.
//
// Open() checks everything once: magic, version, sizes, known tags, payloads that match their
// format exactly, no NUL inside a string. After that, reading cannot fail on a plan that does not
// change; it travels in a sealed memfd for that reason. Hostile bytes give false, never a crash.
#ifndef SWARM_AGENT_SHIM_PLAN_H_
#define SWARM_AGENT_SHIM_PLAN_H_

#include <stddef.h>
#include <stdint.h>

namespace swarm::plan {

inline constexpr uint64_t kMagic = 0x004e414c50575300;  // "\0SWPLAN\0"
inline constexpr uint32_t kVersion = 1;
inline constexpr uint32_t kMaxBytes = 4u << 20;
inline constexpr uint32_t kMaxRecords = 70000;
// Mount sources travel as inherited descriptors, lower folders are open at the same time.
inline constexpr uint32_t kMaxBindMounts = 128;
inline constexpr uint32_t kMaxLowerDirs = 128;
inline constexpr uint32_t kMaxGroups = 64;

struct Header {
  uint64_t magic;
  uint32_t version;
  uint32_t bytes;  // of the whole plan
  uint32_t records;
  uint32_t reserved;
};

struct RecordHeader {
  uint16_t tag;
  uint16_t reserved;
  uint32_t bytes;  // of the payload, without the padding
};

enum class Tag : uint16_t {
  kNone = 0,
  kId,             // s
  kRunDir,         // s   folder with the file "state"
  kLogDir,         // s
  kLogLimits,      // qu  bytes per file, files
  kCloneFlags,     // q   CLONE_NEW…; CLONE_NEWCGROUP is unshared once inside the cgroup
  kLowerDir,       // s   topmost first
  kUpperDir,       // s
  kWorkDir,        // s
  kRootPath,       // s   instead of the three above: a folder that is bound recursively
  kOverlayInInit,  //     this kernel (< 6.5) has no "lowerdir+": init mounts the root
  kRootReadonly,   //
  kCgroupDir,      // s   of the v2 hierarchy: cloned into
  kCgroupTasks,    // s   "tasks" file of a v1 hierarchy: joined before anything else
  kOomFile,        // s   holds a line "oom_kill N"
  kOomScoreAdj,    // u   as int32
  kHostname,       // s
  kDomainname,     // s
  kLoopbackUp,     //
  kSysctl,         // ss  path below /proc/sys, value
  kMount,          // see Mount
  kDevice,         // suuuuu  path, S_IF… and permissions, major, minor, uid, gid
  kSymlink,        // ss  target, path
  kMaskedPath,     // s
  kReadonlyPath,   // s
  kCwd,            // s
  kArg,            // s
  kEnv,            // s
  kUserIds,        // uu  uid, gid
  kUserName,       // s   "name[:group]" or numbers: looked up in the container's own files
  kGroupId,        // u   supplementary
  kGroupName,      // s   supplementary, looked up
  kUmask,          // u
  kRlimit,         // uqq resource, soft, hard
  kCapabilities,   // qqqqq bounding, effective, permitted, inheritable, ambient
  kNoNewPrivs,     //
  kSeccomp,        // ub  flags of seccomp(2), struct sock_filter[]
  kNetworkPath,    // s   a network namespace that is joined instead of made
  kKeptFds,        // u   descriptors from kFirstKeptFd on that the shim keeps open for others
  kOpenStdin,      //     standard input is what we were started with, not the null device
  kTerminal,       // uu  rows, columns: a terminal of the container's own as all three
  kReaper,         //     init stays pid 1, passes signals on and reaps; the program is its child
  kLogNowhere,     //     output is read and dropped
  kLogSocket,      // see LogSocket: output goes there; the files get only what the shim has to say
  kEnd,            // one past the last
};

enum class MountKind : uint32_t {
  kFilesystem = 0,  // fsopen(type) in the container's namespaces
  kBind = 1,        // the shim opens the source
};

// Mount flags.
inline constexpr uint32_t kMountRecursive = 1;      // bind: with what is mounted below
inline constexpr uint32_t kMountTargetStrict = 2;   // no symlink anywhere in the target's path
inline constexpr uint32_t kMountAttrRecursive = 4;  // attributes for the whole tree ("rro")
inline constexpr uint32_t kMountReadonlyLater = 8;  // read-only once all is made that lies in it
inline constexpr uint32_t kMountSubpath = 16;       // bind: `options` is a path below the source

// Order of a kMount payload: uuquqssss.
struct Mount {
  MountKind kind;
  uint32_t flags;
  uint64_t attr_set;     // MOUNT_ATTR_…
  uint32_t propagation;  // MS_PRIVATE, …
  uint64_t attr_clear;
  const char* type;
  const char* source;
  const char* target;
  const char* options;  // "mode=755,size=65536k"
};

enum class LogFormat : uint32_t {
  kJournal = 0,  // the native protocol of systemd-journald
  kPlain = 1,    // "<30>Jan  2 13:04:05 tag: text", for a daemon on this host
  kRfc3164 = 2,  // with the host's name
  kRfc5424 = 3,
  kRfc5424Micro = 4,  // its time with six decimals
};
inline constexpr uint32_t kMaxLogHead = 8192;
inline constexpr uint32_t kMaxLogAddress = 128;

// Order of a kLogSocket payload: uuuuqqbbs.
struct LogSocket {
  LogFormat format;
  uint32_t type;      // SOCK_STREAM or SOCK_DGRAM
  uint32_t facility;  // of syslog, times eight
  uint32_t non_blocking;
  uint64_t buffer_bytes;
  int64_t utc_offset_seconds;  // of the times in kPlain and kRfc3164
  const uint8_t* address;      // as connect(2) takes it
  uint32_t address_bytes;
  const uint8_t* head;  // of each message: fields of the journal, or what stands between the time
  uint32_t head_bytes;  // and the text
  const char* name;     // "journald", as the user calls it
};

constexpr const char* PayloadFormat(Tag tag) {
  switch (tag) {
    case Tag::kLogNowhere:
    case Tag::kOverlayInInit:
    case Tag::kRootReadonly:
    case Tag::kLoopbackUp:
    case Tag::kNoNewPrivs:
    case Tag::kOpenStdin:
    case Tag::kReaper:
      return "";
    case Tag::kLogLimits:
      return "qu";
    case Tag::kCloneFlags:
      return "q";
    case Tag::kOomScoreAdj:
    case Tag::kKeptFds:
    case Tag::kGroupId:
    case Tag::kUmask:
      return "u";
    case Tag::kUserIds:
    case Tag::kTerminal:
      return "uu";
    case Tag::kSysctl:
    case Tag::kSymlink:
      return "ss";
    case Tag::kMount:
      return "uuquqssss";
    case Tag::kDevice:
      return "suuuuu";
    case Tag::kRlimit:
      return "uqq";
    case Tag::kCapabilities:
      return "qqqqq";
    case Tag::kSeccomp:
      return "ub";
    case Tag::kLogSocket:
      return "uuuuqqbbs";
    case Tag::kNone:
    case Tag::kEnd:
      return nullptr;
    default:
      return tag < Tag::kEnd ? "s" : nullptr;
  }
}

// Reads the fields of one payload in order. A read past the end gives zero, "" or nothing, and
// makes ok() false for good.
class Fields {
 public:
  Fields(const uint8_t* data, uint32_t size) : next_(data), left_(size) {}

  uint32_t U32() {
    uint32_t value = 0;
    Take(&value, sizeof value);
    return value;
  }
  uint64_t U64() {
    uint64_t value = 0;
    Take(&value, sizeof value);
    return value;
  }
  const uint8_t* Bytes(uint32_t* size) {
    *size = U32();
    const uint32_t padded = (*size + 3u) & ~3u;
    if (!ok_ || *size > kMaxBytes || padded > left_) {
      ok_ = false;
      *size = 0;
      return nullptr;
    }
    const uint8_t* data = next_;
    next_ += padded;
    left_ -= padded;
    return data;
  }
  // Points into the plan; never null.
  const char* String() {
    uint32_t size = 0;
    const uint8_t* data = Bytes(&size);
    if (data == nullptr || size == 0 || data[size - 1] != 0) {
      ok_ = false;
      return "";
    }
    for (uint32_t i = 0; i + 1 < size; ++i) {
      if (data[i] == 0) {
        ok_ = false;
        return "";
      }
    }
    return reinterpret_cast<const char*>(data);
  }
  bool ok() const { return ok_; }
  bool AtEnd() const { return ok_ && left_ == 0; }

 private:
  void Take(void* out, uint32_t size) {
    if (!ok_ || left_ < size) {
      ok_ = false;
      return;
    }
    __builtin_memcpy(out, next_, size);
    next_ += size;
    left_ -= size;
  }

  const uint8_t* next_;
  uint32_t left_;
  bool ok_ = true;
};

class Plan;

// Steps through the records of one tag:  for (Cursor c(plan, Tag::kArg); c.Next();) c.fields().…
class Cursor {
 public:
  Cursor(const Plan& plan, Tag tag);
  bool Next();
  Fields fields() const { return Fields(payload_, payload_bytes_); }

 private:
  const uint8_t* next_;
  const uint8_t* end_;
  Tag tag_;
  const uint8_t* payload_ = nullptr;
  uint32_t payload_bytes_ = 0;
};

// Borrows the bytes.
class Plan {
 public:
  // `data` on a multiple of 8. False: not a plan of this version, or damaged.
  bool Open(const void* data, size_t size) {
    begin_ = end_ = nullptr;
    if (size < sizeof(Header) || size > kMaxBytes) return false;
    Header header;
    __builtin_memcpy(&header, data, sizeof header);
    if (header.magic != kMagic || header.version != kVersion || header.bytes != size ||
        header.reserved != 0 || header.records > kMaxRecords) {
      return false;
    }
    const uint8_t* at = static_cast<const uint8_t*>(data) + sizeof header;
    const uint8_t* end = static_cast<const uint8_t*>(data) + size;
    uint32_t records = 0;
    uint32_t counts[static_cast<int>(Tag::kEnd)] = {};
    while (at != end) {
      uint32_t step = 0;
      RecordHeader record;
      if (!CheckRecord(at, static_cast<size_t>(end - at), &record, &step)) return false;
      ++counts[record.tag];
      ++records;
      at += step;
    }
    if (records != header.records || counts[static_cast<int>(Tag::kMount)] > kMaxBindMounts ||
        counts[static_cast<int>(Tag::kLowerDir)] > kMaxLowerDirs ||
        counts[static_cast<int>(Tag::kGroupId)] > kMaxGroups ||
        counts[static_cast<int>(Tag::kGroupName)] > kMaxGroups) {
      return false;
    }
    begin_ = static_cast<const uint8_t*>(data) + sizeof header;
    end_ = end;
    return true;
  }

  bool Has(Tag tag) const { return Cursor(*this, tag).Next(); }
  // The first record's string or number, or the default.
  const char* String(Tag tag, const char* absent = nullptr) const {
    Cursor cursor(*this, tag);
    return cursor.Next() ? cursor.fields().String() : absent;
  }
  uint64_t U64(Tag tag, uint64_t absent) const {
    Cursor cursor(*this, tag);
    return cursor.Next() ? cursor.fields().U64() : absent;
  }
  uint32_t U32(Tag tag, uint32_t absent) const {
    Cursor cursor(*this, tag);
    return cursor.Next() ? cursor.fields().U32() : absent;
  }
  uint32_t Count(Tag tag) const {
    uint32_t count = 0;
    for (Cursor cursor(*this, tag); cursor.Next();) ++count;
    return count;
  }

 private:
  friend class Cursor;

  static bool CheckRecord(const uint8_t* at, size_t left, RecordHeader* record, uint32_t* step) {
    if (left < sizeof *record) return false;
    __builtin_memcpy(record, at, sizeof *record);
    left -= sizeof *record;
    if (record->bytes > left || record->bytes > kMaxBytes || record->reserved != 0) return false;
    const uint32_t padded = (record->bytes + 7u) & ~7u;
    if (padded > left) return false;
    const char* format = PayloadFormat(static_cast<Tag>(record->tag));
    if (format == nullptr) return false;
    Fields fields(at + sizeof *record, record->bytes);
    for (; *format != 0; ++format) {
      uint32_t size;
      if (*format == 'u') fields.U32();
      if (*format == 'q') fields.U64();
      if (*format == 's') fields.String();
      if (*format == 'b') fields.Bytes(&size);
    }
    *step = static_cast<uint32_t>(sizeof *record) + padded;
    return fields.AtEnd();
  }

  const uint8_t* begin_ = nullptr;
  const uint8_t* end_ = nullptr;
};

inline Cursor::Cursor(const Plan& plan, Tag tag) : next_(plan.begin_), end_(plan.end_), tag_(tag) {}

inline bool Cursor::Next() {
  while (next_ != end_) {
    RecordHeader record;
    __builtin_memcpy(&record, next_, sizeof record);
    payload_ = next_ + sizeof record;
    payload_bytes_ = record.bytes;
    next_ = payload_ + ((record.bytes + 7u) & ~7u);
    if (static_cast<Tag>(record.tag) == tag_) return true;
  }
  return false;
}

inline Mount ReadMount(Fields fields) {
  Mount mount;
  mount.kind = static_cast<MountKind>(fields.U32());
  mount.flags = fields.U32();
  mount.attr_set = fields.U64();
  mount.propagation = fields.U32();
  mount.attr_clear = fields.U64();
  mount.type = fields.String();
  mount.source = fields.String();
  mount.target = fields.String();
  mount.options = fields.String();
  return mount;
}

inline LogSocket ReadLogSocket(Fields fields) {
  LogSocket socket;
  socket.format = static_cast<LogFormat>(fields.U32());
  socket.type = fields.U32();
  socket.facility = fields.U32();
  socket.non_blocking = fields.U32();
  socket.buffer_bytes = fields.U64();
  socket.utc_offset_seconds = static_cast<int64_t>(fields.U64());
  socket.address = fields.Bytes(&socket.address_bytes);
  socket.head = fields.Bytes(&socket.head_bytes);
  socket.name = fields.String();
  return socket;
}

}  // namespace swarm::plan

#endif  // SWARM_AGENT_SHIM_PLAN_H_
