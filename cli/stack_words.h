// What is said alike of the networks, volumes, secrets and configs of a stack, and of its services.
// `kind` is "network", "volume", "secret" or "config". One thread.
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
  std::string where;  // in the file, "shop.yml:12:3"; empty: it does not say it
  std::string path;   // "networks.front"
  std::string why;
  std::string remedy;  // empty: `why` says it

  // "shop.yml:12:3: networks.front: why", as what is found when the file is read.
  std::string Words() const;
};

// The first of them with its remedy; OK without any.
absl::Status FirstOf(const std::vector<Refusal>& refusals);

// Whether the manager takes it from nobody; else it could not be asked, or not by this user.
bool IsAboutTheSpec(const absl::Status& status);

// An object of the file.
struct Subject {
  std::string_view kind;
  std::string_view key;        // in the file
  std::string_view full_name;  // in the cluster; told where it is another
  std::string_view where;      // of the key; may be empty
};

Refusal Refuse(const Subject& subject, absl::StatusCode code, std::string_view why,
               std::string_view remedy = "");
// The remedy is the command that makes one; `more` are its arguments behind the name.
Refusal NoneOutside(const Subject& subject, std::string_view more = "");
// `with` is what goes with it when it is removed, and the command.
Refusal CannotChange(const Subject& subject, std::string_view difference, std::string_view with);

// "its driver is bridge, and the file says overlay"; "" when they are the same.
std::string Differs(std::string_view what, std::string_view old, std::string_view wanted);

// `why` says who uses it.
void WarnThatItStays(Invocation& in, std::string_view kind, std::string_view name,
                     const absl::Status& why);

}  // namespace swarm::cli

#endif  // SWARM_CLI_STACK_WORDS_H_
