// Lexer: a template's text as tokens. Pure.
#ifndef SWARM_CLI_TEMPLATE_LEXER_H_
#define SWARM_CLI_TEMPLATE_LEXER_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace swarm::cli {

struct Token {
  enum class Kind {
    kText,      // outside of {{}}: trimmed and with its escapes replaced
    kOpen,      // {{
    kClose,     // }}
    kDot,       // . alone
    kField,     // .Name; `text` is Name
    kWord,      // a function or keyword
    kVariable,  // $ or $name
    kString,    // `text` without quotes and escapes
    kNumber,
    kCharacter,  // 'x'; `text` is its number
    kPipe,
    kLeft,
    kRight,
    kComma,
    kDeclare,  // :=
    kAssign,   // =
    kEnd,
  };
  Kind kind = Kind::kEnd;
  std::string text;
  size_t position = 0;  // from 1
  bool joined = false;  // nothing stands between it and the token before
};

// `offset` is what stood before `text`.
absl::StatusOr<std::vector<Token>> Tokenize(std::string_view text, size_t offset);

}  // namespace swarm::cli

#endif  // SWARM_CLI_TEMPLATE_LEXER_H_
