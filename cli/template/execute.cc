#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_join.h"
#include "cli/template/functions.h"
#include "cli/template/parser.h"
#include "cli/template/template.h"
#include "cli/template/tree.h"
#include "cli/template/value.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

using tree::ErrorAt;
using tree::Operand;

// The template once. What it borrows of the root and of the tree outlives it.
class Execution {
 public:
  Execution(const TemplateJson& root, bool headings) : headings_(headings) {
    variables_.emplace_back("$", Value::Borrowed(root));
  }

  absl::StatusOr<std::string> Run(const tree::List& list) {
    const Value root = variables_[0].second;  // the variables move as they grow
    RETURN_IF_ERROR(Walk(list, root).status());
    return std::move(out_);
  }

 private:
  enum class Flow { kOn, kBreak, kContinue };

  absl::Status Spend(size_t position, size_t steps) {
    steps_ += steps;
    if (steps_ <= Template::kMostSteps) return absl::OkStatus();
    return ErrorAt(position, StrCat("more than ", Template::kMostSteps,
                                    " steps; print json and use a program"));
  }

  absl::Status Write(std::string_view text) {
    out_ += text;
    if (out_.size() <= Template::kMostOutput) return absl::OkStatus();
    return absl::InvalidArgumentError(StrCat("template: prints more than ", Template::kMostOutput,
                                             " bytes; print json and use a program"));
  }

  absl::StatusOr<Flow> Walk(const tree::List& list, const Value& dot) {
    const size_t scope = variables_.size();
    Flow flow = Flow::kOn;
    for (const tree::Node& node : list.nodes) {
      ASSIGN_OR_RETURN(flow, One(node, dot));
      if (flow != Flow::kOn) break;
    }
    Forget(scope);
    return flow;
  }

  void Forget(size_t scope) {
    variables_.erase(variables_.begin() + static_cast<ptrdiff_t>(scope), variables_.end());
  }

  absl::StatusOr<Flow> One(const tree::Node& node, const Value& dot) {
    switch (node.kind) {
      case tree::Node::Kind::kText:
        RETURN_IF_ERROR(Write(node.text));
        return Flow::kOn;
      case tree::Node::Kind::kBreak:
        return Flow::kBreak;
      case tree::Node::Kind::kContinue:
        return Flow::kContinue;
      case tree::Node::Kind::kAction:
        RETURN_IF_ERROR(Action(node.pipeline, dot));
        return Flow::kOn;
      default:
        break;
    }
    const size_t scope = variables_.size();
    absl::StatusOr<Flow> flow = Block(node, dot);
    Forget(scope);
    return flow;
  }

  absl::Status Action(const tree::Pipeline& pipeline, const Value& dot) {
    ASSIGN_OR_RETURN(const Value value, Evaluate(pipeline, dot));
    if (!pipeline.variables.empty()) {
      Set(pipeline, 0, value);
      return absl::OkStatus();
    }
    if (value.is_missing()) return ErrorAt(pipeline.position, value.why_missing());
    const std::string text = Printed(value.json());
    RETURN_IF_ERROR(Spend(pipeline.position, text.size() / 64));
    return Write(text);
  }

  absl::StatusOr<Flow> Block(const tree::Node& node, const Value& dot) {
    ASSIGN_OR_RETURN(const Value value, Evaluate(node.pipeline, dot));
    if (node.kind == tree::Node::Kind::kRange) return Range(node, value, dot);
    if (!node.pipeline.variables.empty()) Set(node.pipeline, 0, value);
    if (!IsTrue(value.json())) return Walk(node.otherwise, dot);
    return Walk(node.body, node.kind == tree::Node::Kind::kWith ? value : dot);
  }

  absl::StatusOr<Flow> Range(const tree::Node& node, const Value& value, const Value& dot) {
    const TemplateJson& json = value.json();
    if (!json.is_structured() && !json.is_null()) {
      return ErrorAt(node.pipeline.position,
                     StrCat("range takes a list or an object, not ", KindWord(json),
                            json.is_string() ? "; (split … \",\") makes a list of it" : ""));
    }
    if (json.empty()) return Walk(node.otherwise, dot);
    // Of an object by key, as Go.
    std::vector<std::pair<TemplateJson, const TemplateJson*>> items;
    if (json.is_array()) {
      for (const TemplateJson& one : json) items.emplace_back(items.size(), &one);
    } else {
      for (const auto& item : json.items()) items.emplace_back(item.key(), &item.value());
      std::sort(items.begin(), items.end(), [](const auto& a, const auto& b) {
        return a.first.template get_ref<const std::string&>() <
               b.first.template get_ref<const std::string&>();
      });
    }
    for (auto& [key, one] : items) {
      RETURN_IF_ERROR(Spend(node.pipeline.position, 1));
      const size_t scope = variables_.size();
      const Value part = value.Part(*one);
      if (node.pipeline.variables.size() == 2) {
        Set(node.pipeline, 0, Value(std::move(key)));
        Set(node.pipeline, 1, part);
      } else if (node.pipeline.variables.size() == 1) {
        Set(node.pipeline, 0, part);
      }
      absl::StatusOr<Flow> flow = Walk(node.body, part);
      Forget(scope);
      RETURN_IF_ERROR(flow.status());
      if (*flow == Flow::kBreak) break;
    }
    return Flow::kOn;
  }

  void Set(const tree::Pipeline& pipeline, size_t which, const Value& value) {
    const std::string& name = pipeline.variables[which];
    if (pipeline.declares) {
      variables_.emplace_back(name, value);
    } else if (Value* known = Find(name)) {
      *known = value;
    }
  }

  // The innermost of the name; the parser has seen that there is one.
  Value* Find(const std::string& name) {
    for (auto it = variables_.rbegin(); it != variables_.rend(); ++it) {
      if (it->first == name) return &it->second;
    }
    return nullptr;
  }

  absl::StatusOr<Value> Evaluate(const tree::Pipeline& pipeline, const Value& dot) {
    ASSIGN_OR_RETURN(Value value, Evaluate(pipeline.commands[0], dot, nullptr));
    for (size_t i = 1; i < pipeline.commands.size(); ++i) {
      ASSIGN_OR_RETURN(value, Evaluate(pipeline.commands[i], dot, &value));
    }
    return value;
  }

  // `piped` is the last argument; may be null.
  absl::StatusOr<Value> Evaluate(const tree::Command& command, const Value& dot,
                                 const Value* piped) {
    const Operand& first = command.operands[0];
    RETURN_IF_ERROR(Spend(first.position, 1));
    if (first.kind == Operand::Kind::kField && first.path.back() == "Label") {
      return Label(command, dot);
    }
    if (first.kind != Operand::Kind::kFunction) return Evaluate(first, dot);
    const bool is_and = first.name == "and";
    FunctionCall call{first.name, {}, first.position, headings_};
    for (size_t i = 1; i < command.operands.size(); ++i) {
      ASSIGN_OR_RETURN(Value argument, Evaluate(command.operands[i], dot));
      // The first that decides.
      const bool decides = (is_and || first.name == "or") && IsTrue(argument.json()) != is_and;
      if (decides) return argument;
      call.arguments.push_back(std::move(argument));
    }
    if (piped != nullptr) call.arguments.push_back(*piped);
    ASSIGN_OR_RETURN(Value value, CallFunction(call));
    const TemplateJson& json = value.json();
    const size_t made =
        json.is_string() ? json.get_ref<const std::string&>().size() / 64 : json.size();
    RETURN_IF_ERROR(Spend(first.position, made));
    return value;
  }

  absl::StatusOr<Value> Evaluate(const Operand& operand, const Value& dot) {
    switch (operand.kind) {
      case Operand::Kind::kDot:
        return dot;
      case Operand::Kind::kLiteral:
        return operand.literal;
      case Operand::Kind::kField:
        return Below(dot, operand, operand.path.size(), "");
      case Operand::Kind::kVariable: {
        const Value* known = Find(operand.name);
        if (known == nullptr) {
          return ErrorAt(operand.position, StrCat("variable ", operand.name, " has no value here"));
        }
        return Below(*known, operand, operand.path.size(), operand.name == "$" ? "" : operand.name);
      }
      case Operand::Kind::kParen: {
        ASSIGN_OR_RETURN(const Value inner, Evaluate(*operand.inner, dot));
        return Below(inner, operand, operand.path.size(), "(…)");
      }
      case Operand::Kind::kFunction: {
        // An argument of its own, without any.
        ASSIGN_OR_RETURN(Value value,
                         CallFunction({operand.name, {}, operand.position, headings_}));
        return value;
      }
    }
    return Value();
  }

  // The first `count` names of the operand's path.
  static absl::StatusOr<Value> Below(Value value, const Operand& operand, size_t count,
                                     std::string path) {
    for (size_t i = 0; i < count; ++i) {
      ASSIGN_OR_RETURN(value, FieldOf(value, operand.path[i], path, operand.position));
      StrAppend(&path, ".", operand.path[i]);
    }
    return value;
  }

  // {{.Label "key"}}, as Docker's lists have it. A field of that name comes first.
  absl::StatusOr<Value> Label(const tree::Command& command, const Value& dot) {
    const Operand& field = command.operands[0];
    ASSIGN_OR_RETURN(const Value above, Below(dot, field, field.path.size() - 1, ""));
    if (command.operands.size() == 1) return Evaluate(field, dot);
    if (command.operands.size() > 2) return ErrorAt(field.position, "Label takes one text");
    ASSIGN_OR_RETURN(const Value key, Evaluate(command.operands[1], dot));
    if (!key.json().is_string()) {
      return ErrorAt(command.operands[1].position, "Label takes a text: {{.Label \"key\"}}");
    }
    const auto& name = key.json().get_ref<const std::string&>();
    if (headings_) return Value::Of(LabelHeading(name));
    ASSIGN_OR_RETURN(const Value labels, FieldOf(above, "Labels", "", field.position));
    if (labels.is_missing()) return labels;
    return Value::Of(LabelOf(labels.json(), name));
  }

  // "com.example.first-name" is "FIRST NAME".
  static std::string LabelHeading(const std::string& name) {
    std::string heading = name.substr(name.rfind('.') + 1);
    for (char& c : heading) {
      c = c == '-' || c == '_' ? ' ' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    }
    return heading;
  }

  const bool headings_;
  size_t steps_ = 0;
  std::string out_;
  std::vector<std::pair<std::string, Value>> variables_;
};

// Goes through the tree for the fields of the root.
class FieldCollector {
 public:
  std::vector<Template::Field> Take(const tree::List& list) {
    Walk(list, /*dot_is_root=*/true);
    return std::move(fields_);
  }

 private:
  void Walk(const tree::List& list, bool dot_is_root) {
    for (const tree::Node& node : list.nodes) {
      Walk(node.pipeline, dot_is_root);
      const bool keeps_dot =
          node.kind != tree::Node::Kind::kWith && node.kind != tree::Node::Kind::kRange;
      Walk(node.body, dot_is_root && keeps_dot);
      Walk(node.otherwise, dot_is_root);
    }
  }
  void Walk(const tree::Pipeline& pipeline, bool dot_is_root) {
    for (const tree::Command& command : pipeline.commands) {
      for (const Operand& operand : command.operands) {
        const bool of_dot =
            operand.kind == Operand::Kind::kDot || operand.kind == Operand::Kind::kField;
        const bool of_root = operand.kind == Operand::Kind::kVariable && operand.name == "$";
        if ((of_dot && dot_is_root) || of_root) {
          const bool takes = &operand == &command.operands[0] && command.operands.size() > 1;
          fields_.push_back({operand.path, operand.position, takes});
        }
        if (operand.inner != nullptr) Walk(*operand.inner, dot_is_root);
      }
    }
  }

  std::vector<Template::Field> fields_;
};

}  // namespace

absl::StatusOr<Template> Template::Parse(std::string_view text, size_t offset) {
  ASSIGN_OR_RETURN(tree::List root, ParseTemplate(text, offset));
  return Template(std::make_shared<const tree::List>(std::move(root)));
}

absl::StatusOr<std::string> Template::Execute(const nlohmann::ordered_json& root,
                                              bool headings) const {
  return Execution(root, headings).Run(*root_);
}

std::vector<Template::Field> Template::RootFields() const { return FieldCollector().Take(*root_); }

}  // namespace swarm::cli
