// How shim and init say what went wrong: the first failure is kept, functions return false.
#ifndef SWARM_AGENT_SHIM_FAIL_H_
#define SWARM_AGENT_SHIM_FAIL_H_

#include <initializer_list>

#include "agent/shim/protocol.h"

namespace swarm::shim {

// `error` as an errno or as -errno. `detail` is a path or a name; `more` is put after it.
inline bool Fail(Failure* failure, Step step, long error, const char* detail = "",
                 const char* more = "") {
  failure->step = step;
  failure->error = static_cast<int32_t>(error < 0 ? -error : error);
  size_t n = 0;
  for (const char* part : {detail, more}) {
    for (; *part != 0 && n + 1 < sizeof failure->detail; ++part) failure->detail[n++] = *part;
  }
  failure->detail[n] = 0;
  return false;
}

}  // namespace swarm::shim

#endif  // SWARM_AGENT_SHIM_FAIL_H_
