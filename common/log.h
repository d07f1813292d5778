// One line per event on standard error: time, level, component, message. Secrets never.
//
//   LogInfo("dispatcher", absl::StrCat("node ", id, " is down"));
#ifndef SWARM_COMMON_LOG_H_
#define SWARM_COMMON_LOG_H_

#include <string_view>

namespace swarm {

enum class LogLevel { kDebug, kInfo, kWarning, kError, kOff };

// Once, early in main. `program` goes in front of every line.
void InitLog(std::string_view program, LogLevel level);
// "debug", "info", "warning", "error", "off"; anything else is kInfo.
LogLevel ParseLogLevel(std::string_view text);

// Any thread.
void LogDebug(std::string_view component, std::string_view message);
void LogInfo(std::string_view component, std::string_view message);
void LogWarning(std::string_view component, std::string_view message);
void LogError(std::string_view component, std::string_view message);

}  // namespace swarm

#endif  // SWARM_COMMON_LOG_H_
