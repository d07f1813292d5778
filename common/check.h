// CHECK(condition) << "values";   a broken invariant: prints file, line, condition, values; aborts.
// DCHECK: the same, only in builds without NDEBUG. (Abseil on Debian 12 has no log library.)
#ifndef SWARM_COMMON_CHECK_H_
#define SWARM_COMMON_CHECK_H_

#include <sstream>

namespace swarm::internal {

class CheckFailure {
 public:
  CheckFailure(const char* file, int line, const char* condition);
  [[noreturn]] ~CheckFailure();
  std::ostream& stream() { return stream_; }

 private:
  std::ostringstream stream_;
};

struct Voidify {
  void operator&(std::ostream&) {}
};

}  // namespace swarm::internal

#define CHECK(condition)                       \
  (condition) ? static_cast<void>(0)           \
              : ::swarm::internal::Voidify() & \
                    ::swarm::internal::CheckFailure(__FILE__, __LINE__, #condition).stream()

#ifdef NDEBUG
#define DCHECK(condition) CHECK(true || (condition))
#else
#define DCHECK(condition) CHECK(condition)
#endif

#endif  // SWARM_COMMON_CHECK_H_
