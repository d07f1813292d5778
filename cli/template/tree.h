// What a template is made of, after parsing. Positions count from 1 in what the user wrote.
#ifndef SWARM_CLI_TEMPLATE_TREE_H_
#define SWARM_CLI_TEMPLATE_TREE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cli/template/value.h"
#include "common/strings.h"

namespace swarm::cli::tree {

struct Pipeline;

struct Operand {
  enum class Kind { kDot, kField, kVariable, kFunction, kLiteral, kParen };
  Kind kind = Kind::kDot;
  size_t position = 0;
  std::string name;                 // kVariable ("$" is the root), kFunction
  std::vector<std::string> path;    // what follows: .A.B of `.A.B`, `$x.A.B` and `(…).A.B`
  Value literal;                    // kLiteral
  std::unique_ptr<Pipeline> inner;  // kParen
};

struct Command {
  std::vector<Operand> operands;  // never empty
};

struct Pipeline {
  size_t position = 0;
  std::vector<std::string> variables;  // declared or assigned; two only in range
  bool declares = false;
  std::vector<Command> commands;  // never empty
};

struct Node;
struct List {
  std::vector<Node> nodes;
};

struct Node {
  enum class Kind { kText, kAction, kIf, kWith, kRange, kBreak, kContinue };
  Kind kind = Kind::kText;
  std::string text;
  Pipeline pipeline;
  List body;
  List otherwise;  // after {{else}}
};

// What it quotes of the user's is cut and made one line.
inline absl::Status ErrorAt(size_t position, std::string_view message) {
  return absl::InvalidArgumentError(OneLine(StrCat("template position ", position, ": ", message)));
}

}  // namespace swarm::cli::tree

#endif  // SWARM_CLI_TEMPLATE_TREE_H_
