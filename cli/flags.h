// Command-line flags with the habits of Go's flag libraries, which Docker's users have.
//
//   static const FlagRule kRules[] = {{"detach", 'd', FlagKind::kSwitch, "", "return at once"}, …};
//   ASSIGN_OR_RETURN(Flags flags, ParseFlags(kRules, args, /*stop_at_first_argument=*/true));
//   if (flags.On("detach")) …
//
// `--x=y`, `--x y`, `--x=` (empty), `-x y`, `-xy`, `-x=y`, joined switches `-qf`, `--switch=false`,
// `--no-switch`, `--` ends the flags, `-` alone is an argument. A value is taken as it stands, even
// when it begins with a dash. CLI11 differs in ways that change what a command does (`--name= web`
// takes "web" as the name, `-d=false` switches on), hence this. Pure; any thread.
#ifndef SWARM_CLI_FLAGS_H_
#define SWARM_CLI_FLAGS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

namespace swarm::cli {

enum class FlagKind { kSwitch, kText, kList };
enum class FlagState {
  kBuilt,
  kHidden,    // works, but help does not list it
  kNotBuilt,  // known and refused by name
};

struct FlagRule {
  std::string_view name;  // without dashes
  char letter = 0;
  FlagKind kind = FlagKind::kText;
  std::string_view value;  // in help: "DURATION"
  std::string_view help;   // for kNotBuilt what to do instead, or empty
  FlagState state = FlagState::kBuilt;
};

class Flags {
 public:
  bool Has(std::string_view name) const { return values_.contains(name); }
  // The last value of a switch; false when it was not given.
  bool On(std::string_view name) const;
  // The last value.
  std::string Text(std::string_view name, std::string_view fallback = "") const;
  // All values in order.
  const std::vector<std::string>& List(std::string_view name) const;
  // A switch or value as if it had been given.
  void Set(std::string_view name, std::string_view value);

  // Nothing when not given; a usage error that names the flag when malformed.
  absl::StatusOr<std::optional<absl::Duration>> DurationOf(std::string_view name) const;
  absl::StatusOr<std::optional<uint64_t>> NumberOf(std::string_view name) const;
  absl::StatusOr<std::optional<int64_t>> SignedOf(std::string_view name) const;
  absl::StatusOr<std::optional<int64_t>> BytesOf(std::string_view name) const;
  absl::StatusOr<std::optional<int64_t>> NanoCpusOf(std::string_view name) const;

  const std::vector<std::string>& arguments() const { return arguments_; }

 private:
  friend class FlagParser;
  std::map<std::string, std::vector<std::string>, std::less<>> values_;
  std::vector<std::string> arguments_;
};

// Usage errors (exit 2): an unknown flag (with the nearest known one), a missing value, a value for
// a switch that is no boolean, a flag that is known but not built.
absl::StatusOr<Flags> ParseFlags(absl::Span<const FlagRule> rules,
                                 absl::Span<const std::string> args, bool stop_at_first_argument);

}  // namespace swarm::cli

#endif  // SWARM_CLI_FLAGS_H_
