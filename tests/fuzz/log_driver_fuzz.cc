// "driver\noption=value\n…", as a spec has them.
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "common/check.h"
#include "common/log_driver.h"
#include "common/strings.h"
#include "tests/fuzz/fuzz.h"

namespace swarm {

std::vector<std::string> fuzz::MoreSeeds() { return {}; }

}  // namespace swarm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace swarm;  // NOLINT(google-build-using-namespace)
  const std::vector<std::string> lines =
      absl::StrSplit(ToAbsl(fuzz::Text(data, size)), '\n', absl::SkipEmpty());
  std::map<std::string, std::string> options;
  for (size_t i = 1; i < lines.size(); ++i) {
    const size_t equals = std::min(lines[i].find('='), lines[i].size());
    options[lines[i].substr(0, equals)] = lines[i].substr(std::min(equals + 1, lines[i].size()));
  }
  const auto config = ParseLogDriver(lines.empty() ? "" : lines[0], options);
  if (!config.ok()) return fuzz::CheckRefusal(config.status());
  // Whatever was asked for is bounded, and can be done.
  CHECK(config->max_bytes >= kMinLogFileBytes && config->max_bytes <= kMaxLogFileBytes);
  CHECK(config->max_files >= 1 && config->max_files <= kMaxLogFiles);
  CHECK(config->buffer_bytes >= kMinLogBufferBytes && config->buffer_bytes <= kMaxLogBufferBytes);
  CHECK(!config->compress || (config->max_files > 1 && config->max_bytes <= kMaxLogCompressBytes));
  CHECK(config->syslog.facility >= 0 && config->syslog.facility < 24);
  CHECK(config->syslog.port > 0);
  CHECK(config->syslog.path.size() <= 107);
  CHECK(config->syslog.transport == SyslogTarget::Transport::kUnix || !config->syslog.host.empty());
  CHECK(ExpandLogTag(config->tag, {"id", "name", "image", "sha256:1"}).ok()) << config->tag;
  return 0;
}
