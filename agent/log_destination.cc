#include "agent/log_destination.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <ctime>

#include "absl/strings/ascii.h"
#include "agent/host_lookup.h"
#include "common/log_driver.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

constexpr char kJournalSocket[] = "/run/systemd/journal/socket";
// What the shim has to say of lines that were lost.
constexpr int64_t kNoticeBytes = 64 << 10;

absl::StatusOr<LogDriverConfig> ConfigOf(const TaskSpecOnNode& task) {
  if (task.revision == nullptr) return LogDriverConfig();
  const v1::LogDriver& driver = task.revision->task().log_driver();
  auto config = ParseLogDriver(driver.name(), {driver.options().begin(), driver.options().end()});
  if (config.ok()) return config;
  return absl::InvalidArgumentError(StrCat("log driver: ", config.status().message()));
}

std::string UnixAddress(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof address.sun_path - 1));
  return {reinterpret_cast<const char*>(&address), sizeof address};
}

bool HasHost(const LogDriverConfig& config) {
  return config.kind == LogDriverConfig::Kind::kSyslog &&
         config.syslog.transport != SyslogTarget::Transport::kUnix;
}

// `address` is that of a host that is a name.
absl::StatusOr<std::string> HostAddress(const SyslogTarget& target, const std::string& address) {
  std::string full = NumericAddress(target.host);
  if (full.empty()) full = address;
  if (full.empty()) {
    return absl::UnavailableError(
        StrCat("syslog-address ", target.host, ": its address is not known yet"));
  }
  // At the same place in both.
  static_assert(offsetof(sockaddr_in, sin_port) == offsetof(sockaddr_in6, sin6_port));
  const uint16_t port = htons(target.port);
  std::memcpy(full.data() + offsetof(sockaddr_in, sin_port), &port, sizeof port);
  return full;
}

// Printable, without spaces, at most so long: what the header of a syslog message takes.
std::string HeaderWord(std::string word, size_t most) {
  if (word.size() > most) word.resize(most);
  for (char& c : word) {
    if (!absl::ascii_isgraph(static_cast<unsigned char>(c))) c = '_';
  }
  return word.empty() ? "-" : word;
}

// As docker names them: upper case, no other characters, not beginning with _ or a digit.
std::string FieldName(const std::string& name) {
  std::string out;
  for (const char c : name) {
    const bool fine = absl::ascii_isalnum(static_cast<unsigned char>(c));
    if (out.empty() && !absl::ascii_isalpha(static_cast<unsigned char>(c))) continue;
    out.push_back(fine ? absl::ascii_toupper(static_cast<unsigned char>(c)) : '_');
  }
  return out.substr(0, 64);
}

void AddField(const std::string& name, const std::string& value, std::string& head) {
  if (name.empty()) return;
  if (value.find('\n') == std::string::npos) {
    StrAppend(&head, name, "=", value, "\n");
    return;
  }
  StrAppend(&head, name, "\n");
  for (int shift = 0; shift < 64; shift += 8) {
    head.push_back(static_cast<char>(static_cast<uint64_t>(value.size()) >> shift & 0xff));
  }
  StrAppend(&head, value, "\n");
}

std::string JournalHead(const LogTagValues& values, const std::string& tag,
                        const LogDriverConfig& config, const v1::ContainerSpec& container) {
  std::string head;
  AddField("CONTAINER_ID", values.full_id.substr(0, 12), head);
  AddField("CONTAINER_ID_FULL", values.full_id, head);
  AddField("CONTAINER_NAME", values.name, head);
  AddField("CONTAINER_TAG", tag, head);
  AddField("IMAGE_NAME", values.image_name, head);
  AddField("SYSLOG_IDENTIFIER", tag, head);
  for (const std::string& name : config.labels) {
    const auto label = container.labels().find(name);
    if (label != container.labels().end()) AddField(FieldName(name), label->second, head);
  }
  for (const std::string& name : config.env) {
    for (const std::string& line : container.env()) {
      if (line.starts_with(name + "=")) {
        AddField(FieldName(name), line.substr(name.size() + 1), head);
      }
    }
  }
  return head;
}

int64_t UtcOffset() {
  const std::time_t now = std::time(nullptr);
  std::tm local = {};
  ::localtime_r(&now, &local);
  return local.tm_gmtoff;
}

absl::Status PutSyslog(const SyslogTarget& target, const std::string& tag,
                       const std::string& hostname, const std::string& address,
                       ContainerLogSocket& socket) {
  using Format = SyslogTarget::Format;
  const bool new_format =
      target.format == Format::kRfc5424 || target.format == Format::kRfc5424Micro;
  // A daemon on this host knows its name, and expects messages without it.
  const bool plain =
      target.format == Format::kPlain && target.transport == SyslogTarget::Transport::kUnix;
  const std::string host = HeaderWord(hostname, 255);
  if (new_format) {
    socket.format = target.format == Format::kRfc5424 ? plan::LogFormat::kRfc5424
                                                      : plan::LogFormat::kRfc5424Micro;
    socket.head = StrCat(host, " ", HeaderWord(tag, 48), " - ", HeaderWord(tag, 32), " - ");
  } else {
    socket.format = plain ? plan::LogFormat::kPlain : plan::LogFormat::kRfc3164;
    socket.head = StrCat(plain ? "" : host + " ", HeaderWord(tag, 256), ": ");
  }
  socket.facility = target.facility;
  socket.utc_offset_seconds = UtcOffset();
  socket.stream = target.transport == SyslogTarget::Transport::kTcp;
  if (target.transport == SyslogTarget::Transport::kUnix) {
    socket.address = UnixAddress(target.path);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(socket.address, HostAddress(target, address));
  return absl::OkStatus();
}

absl::StatusOr<ContainerLogSocket> SocketOf(const TaskSpecOnNode& task,
                                            const LogDriverConfig& config,
                                            const std::string& hostname,
                                            const std::string& address) {
  const v1::Revision& revision = *task.revision;
  LogTagValues values;
  values.full_id = task.task_id;
  values.name = StrCat(revision.service_name(), ".", task.slot, ".", task.task_id);
  values.image_name = revision.image_reference();
  values.image_id = revision.image_digest();
  ASSIGN_OR_RETURN(const std::string tag, ExpandLogTag(config.tag, values));
  ContainerLogSocket socket;
  socket.non_blocking = config.non_blocking;
  socket.buffer_bytes = config.buffer_bytes;
  if (config.kind == LogDriverConfig::Kind::kJournald) {
    socket.name = "journald";
    socket.address = UnixAddress(kJournalSocket);
    socket.head = JournalHead(values, tag, config, revision.task().container());
  } else {
    socket.name = "syslog";
    RETURN_IF_ERROR(PutSyslog(config.syslog, tag, hostname, address, socket));
  }
  if (socket.head.size() > plan::kMaxLogHead) {
    return absl::InvalidArgumentError(
        StrCat("log driver: tag, labels and variables add ", socket.head.size(),
               " bytes to every message, more than ", plan::kMaxLogHead));
  }
  return socket;
}

}  // namespace

absl::StatusOr<ContainerLogOptions> LogDestinationOf(const TaskSpecOnNode& task,
                                                     const std::string& node_hostname,
                                                     const std::string& host_address) {
  ASSIGN_OR_RETURN(const LogDriverConfig config, ConfigOf(task));
  ContainerLogOptions options;
  options.max_bytes = config.max_bytes;
  options.max_files = config.max_files;
  if (config.readable()) return options;
  options.max_bytes = kNoticeBytes;
  options.max_files = 1;
  options.nowhere = config.kind == LogDriverConfig::Kind::kNone;
  if (options.nowhere) return options;
  ASSIGN_OR_RETURN(options.socket, SocketOf(task, config, node_hostname, host_address));
  return options;
}

std::string LogHostToLookUp(const TaskSpecOnNode& task) {
  const absl::StatusOr<LogDriverConfig> config = ConfigOf(task);
  if (!config.ok() || !HasHost(*config)) return "";
  return NumericAddress(config->syslog.host).empty() ? config->syslog.host : "";
}

bool CompressesLogs(const TaskSpecOnNode& task) {
  const absl::StatusOr<LogDriverConfig> config = ConfigOf(task);
  return config.ok() && config->readable() && config->compress;
}

}  // namespace swarm::agent
