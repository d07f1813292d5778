// The container's own /etc/passwd and /etc/group, which its image wrote: hostile. Fed in pieces, a
// line at a time; lines that are too long or malformed are skipped. Numbers are decimal and at most
// 2^31-1, nothing wraps around (a uid of 4294967296 is no root).
#ifndef SWARM_AGENT_SHIM_USER_DB_H_
#define SWARM_AGENT_SHIM_USER_DB_H_

#include <stddef.h>
#include <stdint.h>

namespace swarm::shim {

inline constexpr uint32_t kMaxId = 0x7fffffff;

// Digits of a number in range. "1000x", "-1", "+1", " 1" and 2147483648 are not.
bool ParseId(const char* text, size_t size, uint32_t* id);

// Cuts a file into lines and each line at its colons.
class ColonFile {
 public:
  static constexpr size_t kMaxLine = 32768;
  static constexpr int kMaxFields = 8;

  // Calls `line(fields, lengths, count)` for every whole line; it returns true to stop.
  template <typename Line>
  bool Feed(const char* data, size_t size, const Line& line) {
    for (size_t i = 0; i < size; ++i) {
      if (data[i] == '\n') {
        if (EndLine(line)) return true;
      } else if (used_ < kMaxLine) {
        line_[used_++] = data[i];
      } else {
        too_long_ = true;
      }
    }
    return false;
  }
  template <typename Line>
  bool Finish(const Line& line) {
    return EndLine(line);
  }

 private:
  template <typename Line>
  bool EndLine(const Line& line) {
    const size_t used = used_;
    const bool skip = too_long_ || used == 0 || line_[0] == '#';
    used_ = 0;
    too_long_ = false;
    if (skip) return false;
    const char* fields[kMaxFields];
    size_t lengths[kMaxFields];
    int count = 0;
    size_t begin = 0;
    for (size_t i = 0; i <= used && count < kMaxFields; ++i) {
      if (i < used && line_[i] != ':') continue;
      fields[count] = line_ + begin;
      lengths[count++] = i - begin;
      begin = i + 1;
    }
    return line(fields, lengths, count);
  }

  char line_[kMaxLine];
  size_t used_ = 0;
  bool too_long_ = false;
};

struct PasswdEntry {
  bool found = false;
  uint32_t uid = 0;
  uint32_t gid = 0;
  char name[64] = {};   // empty when the file's is longer
  char home[256] = {};  // empty when the file's is longer or not absolute
};

// By name, or by uid when `name` is null. The first match counts. True to stop.
bool MatchPasswd(const char* const* fields, const size_t* lengths, int count, const char* name,
                 uint32_t uid, PasswdEntry* out);

// "name:password:gid:members".
bool MatchGroup(const char* const* fields, const size_t* lengths, int count, const char* name,
                uint32_t* gid);
bool GroupHasMember(const char* const* fields, const size_t* lengths, int count, const char* user,
                    uint32_t* gid);

}  // namespace swarm::shim

#endif  // SWARM_AGENT_SHIM_USER_DB_H_
