#include "common/log_driver.h"

#include <algorithm>
#include <iterator>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/types/span.h"
#include "common/quantity.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm {
namespace {

using Options = std::map<std::string, std::string>;
using Names = absl::Span<const char* const>;

constexpr const char* kDrivers[] = {"json-file", "local", "journald", "syslog", "none"};
// Docker's, that are not here.
constexpr const char* kNotBuiltDrivers[] = {"awslogs", "etwlogs", "fluentd",   "gcplogs",
                                            "gelf",    "splunk",  "logentries"};

constexpr const char* kJsonFileOptions[] = {
    "compress", "env", "labels", "max-file", "max-size", "max-buffer-size", "mode", "tag"};
constexpr const char* kLocalOptions[] = {"compress", "max-buffer-size", "max-file", "max-size",
                                         "mode"};
constexpr const char* kJournaldOptions[] = {"env", "labels", "max-buffer-size", "mode", "tag"};
constexpr const char* kSyslogOptions[] = {
    "env",           "labels", "max-buffer-size", "mode", "syslog-address", "syslog-facility",
    "syslog-format", "tag"};
constexpr const char* kNotBuiltOptions[] = {
    "env-regex",      "labels-regex",           "syslog-tls-ca-cert", "syslog-tls-cert",
    "syslog-tls-key", "syslog-tls-skip-verify", "cache-disabled",     "cache-max-size",
    "cache-max-file", "cache-compress"};

constexpr const char* kFacilities[] = {
    "kern",   "user",   "mail",     "daemon", "auth",   "syslog", "lpr",    "news",
    "uucp",   "cron",   "authpriv", "ftp",    "ntp",    "audit",  "alert",  "clock",
    "local0", "local1", "local2",   "local3", "local4", "local5", "local6", "local7"};

bool Has(Names names, std::string_view name) {
  return std::any_of(names.begin(), names.end(), [&](const char* n) { return name == n; });
}

absl::Status OptionError(std::string_view option, std::string_view value, std::string_view why) {
  return absl::InvalidArgumentError(StrCat("options.", option, ": \"", OneLine(value), "\" ", why));
}

absl::StatusOr<Names> OptionsOf(std::string_view driver) {
  if (driver == "json-file") return Names(kJsonFileOptions);
  if (driver == "local") return Names(kLocalOptions);
  if (driver == "journald") return Names(kJournaldOptions);
  if (driver == "syslog") return Names(kSyslogOptions);
  if (driver == "none") return Names();
  return absl::InvalidArgumentError(
      StrCat("name: log driver \"", OneLine(driver), "\" is ",
             Has(kNotBuiltDrivers, driver) ? "not built yet" : "unknown", "; there are ",
             absl::StrJoin(kDrivers, ", ")));
}

absl::Status CheckNames(std::string_view driver, Names known, const Options& options) {
  for (const auto& [name, value] : options) {
    if (Has(known, name)) continue;
    const std::string has =
        known.empty() ? "it has no options" : StrCat("it has ", absl::StrJoin(known, ", "));
    return absl::InvalidArgumentError(StrCat(
        "options.", OneLine(name), ": \"", OneLine(value), "\" is for an option that ", driver,
        Has(kNotBuiltOptions, name) ? " does not support yet; " : " does not know; ", has));
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> Size(std::string_view option, const std::string& value, int64_t least,
                             int64_t most) {
  const absl::StatusOr<int64_t> bytes = ParseBytes(value);
  if (!bytes.ok()) return OptionError(option, value, "is not a size such as 10m");
  if (*bytes < least || *bytes > most) {
    return OptionError(option, value, StrCat("is not between ", least, " and ", most, " bytes"));
  }
  return *bytes;
}

std::vector<std::string> List(const std::string& value) {
  return absl::StrSplit(value, ',', absl::SkipWhitespace());
}

absl::StatusOr<int> Facility(const std::string& value) {
  const auto at = std::find(std::begin(kFacilities), std::end(kFacilities), value);
  if (at != std::end(kFacilities)) return static_cast<int>(at - std::begin(kFacilities));
  int number = -1;
  if (absl::SimpleAtoi(value, &number) && number >= 0 && number < 24) return number;
  return OptionError("syslog-facility", value, "is neither 0 to 23 nor a name such as daemon");
}

absl::Status Address(const std::string& value, SyslogTarget& target) {
  const auto wrong = [&](std::string_view why) {
    return OptionError("syslog-address", value, why);
  };
  const size_t colon = value.find("://");
  if (colon == std::string::npos) return wrong("is not such as udp://host:514 or unix:///dev/log");
  const std::string scheme = value.substr(0, colon);
  std::string rest = value.substr(colon + 3);
  if (scheme == "unix" || scheme == "unixgram") {
    if (rest.empty() || rest[0] != '/' || rest.size() > 107) {
      return wrong("needs an absolute path of at most 107 bytes");
    }
    target.path = rest;
    return absl::OkStatus();
  }
  if (scheme == "tcp+tls") return wrong("needs TLS, which is not built yet; udp, tcp or unix");
  if (scheme != "udp" && scheme != "tcp") return wrong("is neither udp, tcp nor unix");
  target.transport =
      scheme == "udp" ? SyslogTarget::Transport::kUdp : SyslogTarget::Transport::kTcp;
  size_t end = rest.rfind(':');
  if (!rest.empty() && rest[0] == '[') {
    const size_t close = rest.find(']');
    if (close == std::string::npos) return wrong("has no ] after its address");
    target.host = rest.substr(1, close - 1);
    end = close + 1 < rest.size() && rest[close + 1] == ':' ? close + 1 : std::string::npos;
    if (end == std::string::npos && close + 1 != rest.size()) return wrong("has a wrong port");
  } else {
    target.host = rest.substr(0, end);
  }
  if (target.host.empty() || target.host.size() > 253) return wrong("names no host");
  if (end == std::string::npos) return absl::OkStatus();
  uint32_t port = 0;
  if (!absl::SimpleAtoi(rest.substr(end + 1), &port) || port == 0 || port > 65535) {
    return wrong("has a wrong port");
  }
  target.port = static_cast<uint16_t>(port);
  return absl::OkStatus();
}

absl::StatusOr<SyslogTarget::Format> Format(const std::string& value) {
  using F = SyslogTarget::Format;
  if (value.empty()) return F::kPlain;
  if (value == "rfc3164") return F::kRfc3164;
  if (value == "rfc5424") return F::kRfc5424;
  if (value == "rfc5424micro") return F::kRfc5424Micro;
  return OptionError("syslog-format", value, "is neither rfc3164, rfc5424 nor rfc5424micro");
}

// Options that a driver has; which, was checked before.
absl::Status Apply(const std::string& name, const std::string& value, LogDriverConfig& config) {
  if (name == "max-size") {
    ASSIGN_OR_RETURN(config.max_bytes, Size(name, value, kMinLogFileBytes, kMaxLogFileBytes));
  } else if (name == "max-buffer-size") {
    ASSIGN_OR_RETURN(config.buffer_bytes,
                     Size(name, value, kMinLogBufferBytes, kMaxLogBufferBytes));
  } else if (name == "max-file") {
    if (!absl::SimpleAtoi(value, &config.max_files) || config.max_files < 1 ||
        config.max_files > kMaxLogFiles) {
      return OptionError(name, value, StrCat("is not a number from 1 to ", kMaxLogFiles));
    }
  } else if (name == "compress") {
    if (value != "true" && value != "false")
      return OptionError(name, value, "is neither true nor false");
    config.compress = value == "true";
  } else if (name == "mode") {
    if (value != "blocking" && value != "non-blocking") {
      return OptionError(name, value, "is neither blocking nor non-blocking");
    }
    config.non_blocking = value == "non-blocking";
  } else if (name == "labels") {
    config.labels = List(value);
  } else if (name == "env") {
    config.env = List(value);
  } else if (name == "tag") {
    config.tag = value;
    const absl::Status known = ExpandLogTag(value, {}).status();
    if (!known.ok()) return OptionError(name, value, ToStd(known.message()));
  } else if (name == "syslog-facility") {
    ASSIGN_OR_RETURN(config.syslog.facility, Facility(value));
  } else if (name == "syslog-format") {
    ASSIGN_OR_RETURN(config.syslog.format, Format(value));
  } else if (name == "syslog-address") {
    return Address(value, config.syslog);
  }
  return absl::OkStatus();
}

LogDriverConfig DefaultsOf(std::string_view driver) {
  LogDriverConfig config;
  if (driver == "local") {
    config.max_bytes = int64_t{20} << 20;
    config.max_files = 5;
    config.compress = true;
  } else if (driver == "journald") {
    config.kind = LogDriverConfig::Kind::kJournald;
  } else if (driver == "syslog") {
    config.kind = LogDriverConfig::Kind::kSyslog;
  } else if (driver == "none") {
    config.kind = LogDriverConfig::Kind::kNone;
  }
  return config;
}

std::string ShortOf(std::string_view id) {
  if (id.starts_with("sha256:")) id.remove_prefix(7);
  return std::string(id.substr(0, 12));
}

std::optional<std::string> TagValue(std::string_view name, const LogTagValues& values) {
  if (name == ".ID") return ShortOf(values.full_id);
  if (name == ".FullID") return values.full_id;
  if (name == ".Name") return values.name;
  if (name == ".ImageName") return values.image_name;
  if (name == ".ImageID") return ShortOf(values.image_id);
  if (name == ".ImageFullID") return values.image_id;
  if (name == ".DaemonName") return "swarm";
  return std::nullopt;
}

}  // namespace

absl::StatusOr<LogDriverConfig> ParseLogDriver(std::string_view name, const Options& options) {
  const std::string_view driver = name.empty() ? kDrivers[0] : name;
  ASSIGN_OR_RETURN(const Names known, OptionsOf(driver));
  RETURN_IF_ERROR(CheckNames(driver, known, options));
  LogDriverConfig config = DefaultsOf(driver);
  for (const auto& [option, value] : options) RETURN_IF_ERROR(Apply(option, value, config));
  // Only what has rotated is compressed, and one file at a time in memory.
  const bool can_compress = config.max_files > 1 && config.max_bytes <= kMaxLogCompressBytes;
  if (config.compress && !can_compress) {
    if (options.contains("compress")) {
      return OptionError("compress", "true",
                         "needs a max-file of at least 2 and a max-size of at most 64m");
    }
    config.compress = false;
  }
  return config;
}

absl::StatusOr<std::string> ExpandLogTag(std::string_view tag, const LogTagValues& values) {
  if (tag.empty()) tag = "{{.ID}}";
  std::string out;
  while (true) {
    const size_t begin = tag.find("{{");
    if (begin == std::string_view::npos) return out.append(tag);
    const size_t end = tag.find("}}", begin);
    if (end == std::string_view::npos) return absl::InvalidArgumentError("has {{ without }}");
    std::string_view name = tag.substr(begin + 2, end - begin - 2);
    while (name.starts_with(' ')) name.remove_prefix(1);
    while (name.ends_with(' ')) name.remove_suffix(1);
    const std::optional<std::string> value = TagValue(name, values);
    if (!value.has_value()) {
      return absl::InvalidArgumentError(
          StrCat("has {{", OneLine(name),
                 "}}, which is none of .ID, .FullID, .Name, .ImageName, .ImageID, "
                 ".ImageFullID, .DaemonName"));
    }
    StrAppend(&out, tag.substr(0, begin), *value);
    tag.remove_prefix(end + 2);
  }
}

}  // namespace swarm
