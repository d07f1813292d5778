// Between two string views: Debian 12 builds Abseil with its own absl::string_view, which neither
// converts to std::string_view nor from it. Ours is std::string_view; at Abseil's door say so:
//
//   StrCat("task ", name)                       takes std::string_view too (absl::StrCat does not)
//   absl::StartsWith(ToAbsl(text), "sha256:")   for the rest of Abseil
//   ToStd(status.message())                     for what Abseil returns
//
// And a stranger's words in a message of ours: OneLine.
#ifndef SWARM_COMMON_STRINGS_H_
#define SWARM_COMMON_STRINGS_H_

#include <string>
#include <string_view>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace swarm {

inline absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view ToStd(absl::string_view text) { return {text.data(), text.size()}; }

namespace internal {
template <typename T>
decltype(auto) CatArgument(const T& value) {
  if constexpr (std::is_same_v<T, std::string_view>) {
    return ToAbsl(value);
  } else {
    return (value);
  }
}
}  // namespace internal

// As absl::StrCat and absl::StrAppend.
template <typename... Args>
std::string StrCat(const Args&... args) {
  return absl::StrCat(internal::CatArgument(args)...);
}
template <typename... Args>
void StrAppend(std::string* out, const Args&... args) {
  absl::StrAppend(out, internal::CatArgument(args)...);
}

// `text` as a message may show it: control characters as \n or \x1b, and of more than 1,000 bytes
// the beginning and the end. For what repeats other people's words: a terminal obeys none of them,
// and gRPC carries a message of a few KiB at most.
std::string OneLine(std::string_view text);

}  // namespace swarm

#endif  // SWARM_COMMON_STRINGS_H_
