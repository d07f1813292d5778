// Template: a Go template as Docker's --format takes it, over JSON.
//
//   ASSIGN_OR_RETURN(Template t, Template::Parse("{{.ID}} {{range .Ports}}{{.Port}} {{end}}"));
//   ASSIGN_OR_RETURN(std::string line, t.Execute(json));
//
// A field that is not there counts as empty where Go would let a nil pass (if, with, range, and
// what functions take) and is an error that names its neighbours where it would be printed.
// Errors are InvalidArgument: "template position 9: …", counted from 1 in bytes. Bounds:
// kMostText to parse, kMostDepth of blocks and parentheses, kMostSteps and kMostOutput to execute.
// Pure; any thread.
#ifndef SWARM_CLI_TEMPLATE_TEMPLATE_H_
#define SWARM_CLI_TEMPLATE_TEMPLATE_H_

#include <cstddef>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace swarm::cli {

namespace tree {
struct List;
}

class Template {
 public:
  static constexpr size_t kMostText = 64 << 10;    // bytes
  static constexpr size_t kMostDepth = 64;         // of blocks and parentheses
  static constexpr size_t kMostSteps = 1'000'000;  // and one for every 64 bytes made
  static constexpr size_t kMostOutput = 16 << 20;  // bytes
  static constexpr size_t kMostInValue = 1 << 20;  // bytes of a text that a function makes

  // `\t` and `\n` outside of {{}} stand for themselves, as Docker has it. `offset` is what stands
  // before `text` in what the user wrote.
  static absl::StatusOr<Template> Parse(std::string_view text, size_t offset = 0);

  // `headings`: the values are headings of columns, which json, upper and the like leave alone.
  absl::StatusOr<std::string> Execute(const nlohmann::ordered_json& root,
                                      bool headings = false) const;

  // The fields of the root that it names, wherever; {} is the root itself.
  struct Field {
    std::vector<std::string> path;
    size_t position = 0;          // from 1
    bool takes_argument = false;  // {{.Label "key"}}
  };
  std::vector<Field> RootFields() const;

 private:
  explicit Template(std::shared_ptr<const tree::List> root) : root_(std::move(root)) {}

  std::shared_ptr<const tree::List> root_;
};

}  // namespace swarm::cli

#endif  // SWARM_CLI_TEMPLATE_TEMPLATE_H_
