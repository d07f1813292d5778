// A fuzzer is one file:
//
//   extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
//     const std::string_view text = fuzz::Text(data, size);
//     auto parsed = Thing::Parse(text);
//     if (!parsed.ok()) return fuzz::CheckRefusal(parsed.status());
//     CHECK(Thing::Parse(parsed->Print()) == *parsed) << text;
//     return 0;
//   }
//
// It holds no state between inputs and asks nobody for time or chance, so that an input that fails
// fails again.
#ifndef SWARM_TESTS_FUZZ_FUZZ_H_
#define SWARM_TESTS_FUZZ_FUZZ_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments);  // of this room: no log

namespace swarm::fuzz {

// Seeds that are no text, made rather than kept in the corpus. Each fuzzer defines it.
std::vector<std::string> MoreSeeds();

inline std::string_view Text(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Takes the first line off `text`; all of it when there is no other.
std::string_view TakeLine(std::string_view& text);

// Takes up to `size` bytes off `text`.
std::string_view Take(std::string_view& text, size_t size);
// An unsigned number, big-endian, of as many bytes as there are, at most `size`.
uint64_t TakeNumber(std::string_view& text, size_t size);

// A refusal as people get it: of one of these kinds (InvalidArgument when none is given), with a
// reason on one line. Always 0, for `return`.
int CheckRefusal(const absl::Status& status, std::initializer_list<absl::StatusCode> kinds = {});

}  // namespace swarm::fuzz

#endif  // SWARM_TESTS_FUZZ_FUZZ_H_
