#include "tests/fuzz/fuzz.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "common/check.h"
#include "common/log.h"
#include "common/strings.h"
#include "google/protobuf/stubs/logging.h"

namespace swarm::fuzz {
namespace {

// What gRPC carries without a word is 8 KiB, with everything else of an answer's end.
constexpr size_t kLongestReason = 4'096;

}  // namespace

std::string_view TakeLine(std::string_view& text) {
  const size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == text.npos ? text.size() : end + 1);
  return line;
}

std::string_view Take(std::string_view& text, size_t size) {
  const std::string_view taken = text.substr(0, size);
  text.remove_prefix(taken.size());
  return taken;
}

uint64_t TakeNumber(std::string_view& text, size_t size) {
  uint64_t number = 0;
  for (const char c : Take(text, size)) number = number << 8 | static_cast<uint8_t>(c);
  return number;
}

int CheckRefusal(const absl::Status& status, std::initializer_list<absl::StatusCode> kinds) {
  const std::initializer_list<absl::StatusCode> usual = {absl::StatusCode::kInvalidArgument};
  const auto& allowed = kinds.size() == 0 ? usual : kinds;
  CHECK(std::find(allowed.begin(), allowed.end(), status.code()) != allowed.end()) << status;
  const std::string_view reason = ToStd(status.message());
  CHECK(!reason.empty()) << status;
  CHECK(reason.size() <= kLongestReason) << status;
  CHECK(std::none_of(reason.begin(), reason.end(), [](char c) { return absl::ascii_iscntrl(c); }))
      << "not one line for a terminal: " << status;
  return 0;
}

}  // namespace swarm::fuzz

// Who calls it: libFuzzer, and the driver. A log of what is wrong with every input helps nobody.
extern "C" int LLVMFuzzerInitialize(int*, char***) {
  swarm::InitLog("fuzz", swarm::LogLevel::kOff);
  google::protobuf::SetLogHandler(nullptr);
  return 0;
}
