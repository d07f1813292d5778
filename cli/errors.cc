#include "cli/errors.h"

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

constexpr char kExitPayload[] = "swarm.cli/exit";

}  // namespace

absl::Status WithExit(absl::Status status, int exit_code) {
  status.SetPayload(kExitPayload, absl::Cord(StrCat(exit_code)));
  return status;
}

absl::Status UsageError(std::string_view message) {
  return WithExit(absl::InvalidArgumentError(ToAbsl(message)), kExitUsage);
}

absl::Status NotBuiltError(std::string_view what) {
  return WithExit(absl::UnimplementedError(StrCat(what, " is not built yet")), kExitUsage);
}

absl::Status InterruptedError() { return WithExit(absl::CancelledError(""), kExitInterrupted); }

absl::Status ProgramExit(int exit_code) {
  if (exit_code == 0) return absl::OkStatus();
  return WithExit(absl::UnknownError(""), exit_code);
}

int ExitCodeOf(const absl::Status& status) {
  if (status.ok()) return kExitOk;
  int code = kExitFailed;
  if (const auto payload = status.GetPayload(kExitPayload)) {
    if (!absl::SimpleAtoi(std::string(*payload), &code)) code = kExitFailed;
  }
  return code;
}

std::string ErrorLine(const absl::Status& status) {
  std::string message(status.message());
  if (message.empty()) message = absl::StatusCodeToString(status.code());
  std::string line = "error: ";
  for (char c : message) {
    const bool control = static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    if (control && line.back() == ' ') continue;
    line += control ? ' ' : c;
  }
  while (line.back() == ' ') line.pop_back();
  return line + "\n";
}

}  // namespace swarm::cli
