#include "cli/template/parser.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "cli/template/functions.h"
#include "cli/template/lexer.h"
#include "cli/template/template.h"
#include "common/status_macros.h"

namespace swarm::cli {
namespace {

using tree::ErrorAt;
using Kind = Token::Kind;

constexpr std::string_view kRefused[] = {"define", "template", "block"};

std::string Shown(const Token& token) {
  switch (token.kind) {
    case Kind::kEnd:
      return "the end";
    case Kind::kClose:
      return "}}";
    case Kind::kField:
      return StrCat(".", token.text);
    default:
      return token.text;
  }
}

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  absl::StatusOr<tree::List> Run() {
    tree::List root;
    while (Now().kind != Kind::kEnd) RETURN_IF_ERROR(TextOrAction(root));
    return root;
  }

 private:
  // One more level of blocks or parentheses, while it lives.
  class Deeper {
   public:
    explicit Deeper(size_t& depth) : depth_(depth) { ++depth_; }
    ~Deeper() { --depth_; }
    Deeper(const Deeper&) = delete;
    Deeper& operator=(const Deeper&) = delete;

   private:
    size_t& depth_;
  };

  const Token& Now() const { return tokens_[at_]; }
  Token Next() { return tokens_[at_].kind == Kind::kEnd ? tokens_[at_] : tokens_[at_++]; }
  bool IsWord(std::string_view word) const {
    return Now().kind == Kind::kWord && Now().text == word;
  }
  absl::Status CheckDepth() const {
    if (depth_ < Template::kMostDepth) return absl::OkStatus();
    return ErrorAt(Now().position, StrCat("nested more than ", Template::kMostDepth,
                                          " deep; split it into several"));
  }
  absl::Status Close() {
    if (Now().kind == Kind::kClose) {
      ++at_;
      return absl::OkStatus();
    }
    return ErrorAt(Now().position,
                   StrCat("\"", Shown(Now()), "\" means nothing here; expected }}"));
  }

  // Whether "{{ word" comes.
  bool Opens(std::string_view word) const {
    return Now().kind == Kind::kOpen && tokens_[at_ + 1].kind == Kind::kWord &&
           tokens_[at_ + 1].text == word;
  }

  absl::Status TextOrAction(tree::List& list) {
    const Token first = Next();
    tree::Node node;
    if (first.kind == Kind::kText) {
      node.text = first.text;
      list.nodes.push_back(std::move(node));
      return absl::OkStatus();
    }
    if (Now().kind == Kind::kWord) {
      const Token word = Now();
      for (std::string_view refused : kRefused) {
        if (word.text == refused) {
          return ErrorAt(word.position, StrCat("{{", refused, "}} is not supported: write it out"));
        }
      }
      if (word.text == "if" || word.text == "with" || word.text == "range") {
        ++at_;
        ASSIGN_OR_RETURN(node, Block(word));
        list.nodes.push_back(std::move(node));
        return absl::OkStatus();
      }
      if (word.text == "else" || word.text == "end") {
        return ErrorAt(word.position,
                       StrCat("{{", word.text, "}} without {{if}}, {{with}} or {{range}}"));
      }
      if (word.text == "break" || word.text == "continue") {
        if (loops_ == 0) {
          return ErrorAt(word.position, StrCat("{{", word.text, "}} outside of {{range}}"));
        }
        ++at_;
        node.kind = word.text == "break" ? tree::Node::Kind::kBreak : tree::Node::Kind::kContinue;
        list.nodes.push_back(std::move(node));
        return Close();
      }
    }
    node.kind = tree::Node::Kind::kAction;
    ASSIGN_OR_RETURN(node.pipeline, ParsePipeline("a value", /*variables=*/1));
    list.nodes.push_back(std::move(node));
    return Close();
  }

  absl::StatusOr<tree::Node> Block(const Token& word) {
    RETURN_IF_ERROR(CheckDepth());
    const Deeper deeper(depth_);
    const size_t scope = variables_.size();
    tree::Node node;
    const bool is_range = word.text == "range";
    node.kind = is_range              ? tree::Node::Kind::kRange
                : word.text == "with" ? tree::Node::Kind::kWith
                                      : tree::Node::Kind::kIf;
    ASSIGN_OR_RETURN(node.pipeline,
                     ParsePipeline(StrCat("a value after ", word.text), is_range ? 2 : 1));
    RETURN_IF_ERROR(Close());
    // The {{else}} of a range runs when there was nothing to set its variables to.
    const size_t of_else = is_range ? scope : variables_.size();
    if (is_range) ++loops_;
    absl::Status body = Body(word, node.body);
    if (is_range) --loops_;
    RETURN_IF_ERROR(body);
    variables_.resize(of_else);
    // At {{else}} or {{end}}.
    ++at_;
    const Token ends = Next();
    if (ends.text == "else") {
      if (IsWord("if") || IsWord("with")) {
        const Token inner = Next();
        if (is_range || inner.text != word.text) {
          return ErrorAt(inner.position,
                         StrCat("{{else ", inner.text, "}} does not fit {{", word.text,
                                "}}; use {{else}}{{", inner.text, " …}} … {{end}}"));
        }
        // Shares the {{end}}.
        ASSIGN_OR_RETURN(tree::Node other, Block(inner));
        node.otherwise.nodes.push_back(std::move(other));
        variables_.resize(scope);
        return node;
      }
      RETURN_IF_ERROR(Close());
      RETURN_IF_ERROR(Body(word, node.otherwise));
      if (!Opens("end")) {
        return ErrorAt(Now().position, StrCat("{{", word.text, "}} has two {{else}}"));
      }
      ++at_;
      Next();
    }
    RETURN_IF_ERROR(Close());
    variables_.resize(scope);
    return node;
  }

  // Up to {{else}} or {{end}}.
  absl::Status Body(const Token& word, tree::List& list) {
    while (!Opens("else") && !Opens("end")) {
      if (Now().kind == Kind::kEnd) {
        return ErrorAt(word.position, StrCat("{{", word.text, "}} is never ended with {{end}}"));
      }
      RETURN_IF_ERROR(TextOrAction(list));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<tree::Pipeline> ParsePipeline(std::string_view wanted, size_t variables) {
    tree::Pipeline pipeline;
    pipeline.position = Now().position;
    RETURN_IF_ERROR(Declaration(pipeline, variables));
    while (true) {
      ASSIGN_OR_RETURN(tree::Command command, ParseCommand(wanted));
      pipeline.commands.push_back(std::move(command));
      if (Now().kind != Kind::kPipe) break;
      ++at_;
      wanted = "a function after |";
    }
    for (size_t i = 1; i < pipeline.commands.size(); ++i) {
      const tree::Operand& first = pipeline.commands[i].operands[0];
      if (first.kind != tree::Operand::Kind::kFunction) {
        return ErrorAt(first.position, "what stands after | must be a function");
      }
    }
    if (pipeline.declares) {
      for (const std::string& name : pipeline.variables) variables_.push_back(name);
    }
    return pipeline;
  }

  // "$x :=", "$x =", "$i, $x :="
  absl::Status Declaration(tree::Pipeline& pipeline, size_t most) {
    const auto kind = [this](size_t ahead) {
      return at_ + ahead < tokens_.size() ? tokens_[at_ + ahead].kind : Kind::kEnd;
    };
    const auto is_set = [](Kind k) { return k == Kind::kDeclare || k == Kind::kAssign; };
    if (kind(0) != Kind::kVariable) return absl::OkStatus();
    size_t count = 0;
    if (is_set(kind(1))) {
      count = 1;
    } else if (kind(1) == Kind::kComma && kind(2) == Kind::kVariable && is_set(kind(3))) {
      count = 2;
    }
    if (count == 0) return absl::OkStatus();
    if (count > most) return ErrorAt(Now().position, "only {{range}} has two variables");
    for (size_t i = 0; i < count; ++i) {
      const Token& variable = tokens_[at_ + 2 * i];
      if (variable.text == "$")
        return ErrorAt(variable.position, "$ is the whole: it cannot be set");
      pipeline.variables.push_back(variable.text);
    }
    at_ += 2 * count - 1;
    pipeline.declares = Next().kind == Kind::kDeclare;
    if (pipeline.declares) return absl::OkStatus();
    for (const std::string& name : pipeline.variables) RETURN_IF_ERROR(CheckKnown(name));
    return absl::OkStatus();
  }

  absl::Status CheckKnown(const std::string& name) const {
    if (name == "$" || std::find(variables_.begin(), variables_.end(), name) != variables_.end()) {
      return absl::OkStatus();
    }
    return ErrorAt(Now().position, StrCat("variable ", name, " is not known; set it first with {{",
                                          name, " := …}}"));
  }

  absl::StatusOr<tree::Command> ParseCommand(std::string_view wanted) {
    tree::Command command;
    while (true) {
      ASSIGN_OR_RETURN(std::optional<tree::Operand> operand, ParseOperand());
      if (!operand) break;
      command.operands.push_back(*std::move(operand));
    }
    if (command.operands.empty()) {
      return ErrorAt(Now().position,
                     StrCat("expected ", wanted, ", such as {{.Name}}, not ", Shown(Now())));
    }
    const tree::Operand& first = command.operands[0];
    const bool takes = first.kind == tree::Operand::Kind::kFunction ||
                       (first.kind == tree::Operand::Kind::kField && first.path.back() == "Label");
    if (command.operands.size() > 1 && !takes) {
      return ErrorAt(
          command.operands[1].position,
          "what stands before it is no function and takes nothing; use | or parentheses");
    }
    return command;
  }

  // Nothing when none begins here.
  absl::StatusOr<std::optional<tree::Operand>> ParseOperand() {
    tree::Operand operand;
    const Token token = Now();
    operand.position = token.position;
    switch (token.kind) {
      case Kind::kDot:
        break;
      case Kind::kField:
        operand.kind = tree::Operand::Kind::kField;
        operand.path.push_back(token.text);
        break;
      case Kind::kVariable:
        RETURN_IF_ERROR(CheckKnown(token.text));
        operand.kind = tree::Operand::Kind::kVariable;
        operand.name = token.text;
        break;
      case Kind::kWord:
        RETURN_IF_ERROR(Word(token, operand));
        break;
      case Kind::kString:
        operand.kind = tree::Operand::Kind::kLiteral;
        operand.literal = Value::Of(token.text);
        break;
      case Kind::kNumber:
      case Kind::kCharacter:
        RETURN_IF_ERROR(Number(token, operand));
        break;
      case Kind::kLeft:
        RETURN_IF_ERROR(Paren(operand));
        break;
      default:
        return std::optional<tree::Operand>();
    }
    ++at_;
    const bool chains = operand.kind == tree::Operand::Kind::kField ||
                        operand.kind == tree::Operand::Kind::kVariable ||
                        operand.kind == tree::Operand::Kind::kParen;
    while (Now().kind == Kind::kField && Now().joined) {
      if (!chains) return ErrorAt(Now().position, StrCat(Shown(Now()), " needs a space before it"));
      operand.path.push_back(Next().text);
    }
    return std::optional(std::move(operand));
  }

  static absl::Status Word(const Token& token, tree::Operand& operand) {
    operand.kind = tree::Operand::Kind::kLiteral;
    if (token.text == "true" || token.text == "false") {
      operand.literal = Value(TemplateJson(token.text == "true"));
      return absl::OkStatus();
    }
    if (token.text == "nil") return absl::OkStatus();
    operand.kind = tree::Operand::Kind::kFunction;
    operand.name = token.text;
    if (KnowsFunction(token.text)) return absl::OkStatus();
    std::string field = token.text;
    field[0] = absl::ascii_toupper(field[0]);
    return ErrorAt(token.position, StrCat("function \"", token.text, "\" is not known; there are ",
                                          FunctionNames(), "; a field has a dot: .", field));
  }

  static absl::Status Number(const Token& token, tree::Operand& operand) {
    operand.kind = tree::Operand::Kind::kLiteral;
    std::string digits = token.text;
    digits.erase(std::remove(digits.begin(), digits.end(), '_'), digits.end());
    int64_t whole = 0;
    double fraction = 0;
    if (absl::SimpleAtoi(digits, &whole)) {
      operand.literal = Value(TemplateJson(whole));
    } else if (digits.starts_with("0x") && absl::SimpleHexAtoi(digits, &whole)) {
      operand.literal = Value(TemplateJson(whole));
    } else if (absl::SimpleAtod(digits, &fraction)) {
      operand.literal = Value(TemplateJson(fraction));
    } else {
      return ErrorAt(token.position, StrCat("\"", token.text, "\" is no number"));
    }
    return absl::OkStatus();
  }

  // Leaves the closing one to be gone past.
  absl::Status Paren(tree::Operand& operand) {
    RETURN_IF_ERROR(CheckDepth());
    const Deeper deeper(depth_);
    const size_t open = Next().position;
    operand.kind = tree::Operand::Kind::kParen;
    ASSIGN_OR_RETURN(tree::Pipeline inner, ParsePipeline("a value in ( )", 0));
    operand.inner = std::make_unique<tree::Pipeline>(std::move(inner));
    if (Now().kind == Kind::kRight) return absl::OkStatus();
    return ErrorAt(open, "( is never closed with )");
  }

  const std::vector<Token> tokens_;
  size_t at_ = 0;
  size_t depth_ = 0;
  size_t loops_ = 0;
  std::vector<std::string> variables_;  // in scope
};

}  // namespace

absl::StatusOr<tree::List> ParseTemplate(std::string_view text, size_t offset) {
  if (text.size() > Template::kMostText) {
    return absl::InvalidArgumentError(StrCat("template: longer than ", Template::kMostText,
                                             " bytes; print json and use a program"));
  }
  ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokenize(text, offset));
  return Parser(std::move(tokens)).Run();
}

}  // namespace swarm::cli
