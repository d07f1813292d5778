#include "agent/shim/user_db.h"

#include "agent/shim/text.h"

namespace swarm::shim {
namespace {

bool Same(const char* field, size_t length, const char* text) {
  size_t i = 0;
  for (; i < length && text[i] != 0; ++i) {
    if (field[i] != text[i]) return false;
  }
  return i == length && text[i] == 0;
}

template <size_t N>
void CopyIfItFits(const char* field, size_t length, char (&out)[N]) {
  if (length + 1 > N) return;
  for (size_t i = 0; i < length; ++i) out[i] = field[i];
  out[length] = 0;
}

}  // namespace

bool ParseId(const char* text, size_t size, uint32_t* id) {
  uint64_t value = 0;
  if (!text::ParseNumber(text, size, kMaxId, &value)) return false;
  *id = static_cast<uint32_t>(value);
  return true;
}

bool MatchPasswd(const char* const* fields, const size_t* lengths, int count, const char* name,
                 uint32_t uid, PasswdEntry* out) {
  if (count < 4) return false;
  PasswdEntry entry;
  if (!ParseId(fields[2], lengths[2], &entry.uid) || !ParseId(fields[3], lengths[3], &entry.gid)) {
    return false;
  }
  if (name != nullptr ? !Same(fields[0], lengths[0], name) : entry.uid != uid) return false;
  entry.found = true;
  CopyIfItFits(fields[0], lengths[0], entry.name);
  if (count > 5 && lengths[5] > 0 && fields[5][0] == '/') {
    CopyIfItFits(fields[5], lengths[5], entry.home);
  }
  *out = entry;
  return true;
}

bool MatchGroup(const char* const* fields, const size_t* lengths, int count, const char* name,
                uint32_t* gid) {
  return count >= 3 && Same(fields[0], lengths[0], name) && ParseId(fields[2], lengths[2], gid);
}

bool GroupHasMember(const char* const* fields, const size_t* lengths, int count, const char* user,
                    uint32_t* gid) {
  if (count < 4 || !ParseId(fields[2], lengths[2], gid)) return false;
  const char* members = fields[3];
  size_t begin = 0;
  for (size_t i = 0; i <= lengths[3]; ++i) {
    if (i < lengths[3] && members[i] != ',') continue;
    if (i > begin && Same(members + begin, i - begin, user)) return true;
    begin = i + 1;
  }
  return false;
}

}  // namespace swarm::shim
