#include "common/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <string>

namespace swarm {
namespace {

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
    case LogLevel::kOff:
      return spdlog::level::off;
  }
  return spdlog::level::info;
}

// Never destroyed: threads may log until the process ends.
std::shared_ptr<spdlog::logger>& Logger() {
  static auto* logger = [] {
    // `automatic` colours only a terminal.
    auto sink =
        std::make_shared<spdlog::sinks::stderr_color_sink_mt>(spdlog::color_mode::automatic);
    auto made = std::make_shared<spdlog::logger>("swarm", std::move(sink));
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %^%l%$ %v");
    made->flush_on(spdlog::level::trace);
    return new std::shared_ptr<spdlog::logger>(std::move(made));
  }();
  return *logger;
}

// One event is one line, and what others wrote into a message cannot drive a terminal.
std::string OneLine(std::string_view message) {
  std::string line(message);
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return line;
}

void Write(spdlog::level::level_enum level, std::string_view component, std::string_view message) {
  spdlog::logger& logger = *Logger();
  if (!logger.should_log(level)) return;
  logger.log(level, "{}: {}", component, OneLine(message));
}

}  // namespace

void InitLog(std::string_view program, LogLevel level) {
  std::string name = OneLine(program);
  // A percent sign would be a pattern flag.
  for (size_t at = name.find('%'); at != std::string::npos; at = name.find('%', at + 2)) {
    name.insert(at, 1, '%');
  }
  Logger()->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %^%l%$ " + name + " %v");
  Logger()->set_level(ToSpdlog(level));
}

LogLevel ParseLogLevel(std::string_view text) {
  if (text == "debug") return LogLevel::kDebug;
  if (text == "warning") return LogLevel::kWarning;
  if (text == "error") return LogLevel::kError;
  if (text == "off") return LogLevel::kOff;
  return LogLevel::kInfo;
}

void LogDebug(std::string_view component, std::string_view message) {
  Write(spdlog::level::debug, component, message);
}
void LogInfo(std::string_view component, std::string_view message) {
  Write(spdlog::level::info, component, message);
}
void LogWarning(std::string_view component, std::string_view message) {
  Write(spdlog::level::warn, component, message);
}
void LogError(std::string_view component, std::string_view message) {
  Write(spdlog::level::err, component, message);
}

}  // namespace swarm
