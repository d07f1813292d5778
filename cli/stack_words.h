// What is said alike of the networks, volumes, secrets and configs of a stack. `kind` is
// "network", "volume", "secret" or "config". One thread.
#ifndef SWARM_CLI_STACK_WORDS_H_
#define SWARM_CLI_STACK_WORDS_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "cli/app.h"

namespace swarm::cli {

// Why a deploy is refused: something external that is not there, or something that is otherwise
// than the file says and cannot be changed.
struct Refusal {
  absl::StatusCode code;
  std::string kind;
  std::string name;
  std::string why;
  std::string remedy;  // empty: `why` says it
};

// The first of them, "network front: why; remedy"; OK without any.
absl::Status FirstOf(const std::vector<Refusal>& refusals);

// The remedy is the command that makes one; `more` are its arguments behind the name.
Refusal NoneOutside(std::string_view kind, std::string_view name, std::string_view more = "");

// "its driver is bridge, and the file says overlay"; "" when they are the same.
std::string Differs(std::string_view what, std::string_view old, std::string_view wanted);

// `why` says who uses it.
void WarnThatItStays(Invocation& in, std::string_view kind, std::string_view name,
                     const absl::Status& why);

}  // namespace swarm::cli

#endif  // SWARM_CLI_STACK_WORDS_H_
