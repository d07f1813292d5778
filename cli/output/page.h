// The page that `inspect --pretty` prints: "Name:          web", values in one column, as docker's.
#ifndef SWARM_CLI_OUTPUT_PAGE_H_
#define SWARM_CLI_OUTPUT_PAGE_H_

#include <google/protobuf/map.h>

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "common/strings.h"

namespace swarm::cli {

class Page {
 public:
  void Line(std::string_view key, std::string_view value, int level = 0) {
    std::string head = StrCat(std::string(static_cast<size_t>(level), ' '), key, ":");
    if (!value.empty()) head.resize(std::max<size_t>(head.size() + 1, 20), ' ');
    StrAppend(&text_, head, value, "\n");
  }
  // " - text"
  void Item(std::string_view text) { StrAppend(&text_, " - ", text, "\n"); }
  void Map(std::string_view key, const google::protobuf::Map<std::string, std::string>& map) {
    if (map.empty()) return;
    Line(key, "");
    for (const auto& [name, value] : std::map<std::string, std::string>(map.begin(), map.end())) {
      Item(StrCat(name, "=", value));
    }
  }
  std::string Take() { return std::move(text_); }

 private:
  std::string text_;
};

}  // namespace swarm::cli

#endif  // SWARM_CLI_OUTPUT_PAGE_H_
