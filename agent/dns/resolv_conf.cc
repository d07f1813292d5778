#include "agent/dns/resolv_conf.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace swarm::agent {

ResolvConf ParseResolvConf(absl::string_view text) {
  ResolvConf conf;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = line.substr(0, line.find_first_of("#;"));
    const std::vector<std::string> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
    if (words.size() < 2) continue;
    if (words[0] == "nameserver") {
      const auto address = IpAddress::Parse(words[1]);
      if (address.ok()) conf.servers.push_back(*address);
    } else if (words[0] == "search" || words[0] == "domain") {
      conf.search.assign(words.begin() + 1, words.end());
    } else if (words[0] == "options") {
      conf.options.insert(conf.options.end(), words.begin() + 1, words.end());
    }
  }
  return conf;
}

std::string ContainerResolvConf(const ResolvConf& host, const std::vector<std::string>& search,
                                const std::vector<std::string>& options) {
  const std::vector<std::string>& domains = search.empty() ? host.search : search;
  std::vector<std::string> lines = options.empty() ? host.options : options;
  const auto is_ndots = [](const std::string& option) {
    return absl::StartsWith(option, "ndots:");
  };
  if (options.empty())
    lines.erase(std::remove_if(lines.begin(), lines.end(), is_ndots), lines.end());
  if (std::none_of(lines.begin(), lines.end(), is_ndots)) lines.push_back("ndots:0");

  std::string text = "nameserver 127.0.0.11\n";
  if (!domains.empty() && domains != std::vector<std::string>{"."}) {
    absl::StrAppend(&text, "search ", absl::StrJoin(domains, " "), "\n");
  }
  absl::StrAppend(&text, "options ", absl::StrJoin(lines, " "), "\n");
  return text;
}

}  // namespace swarm::agent
