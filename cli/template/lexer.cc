#include "cli/template/lexer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "cli/template/tree.h"
#include "common/status_macros.h"

namespace swarm::cli {
namespace {

constexpr size_t kLongestName = 100;

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
bool IsNameStart(char c) { return absl::ascii_isalpha(c) || c == '_'; }
bool IsName(char c) { return absl::ascii_isalnum(c) || c == '_'; }

// "\t" and "\n" as people type them in a shell.
std::string Unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const char next = i + 1 < text.size() ? text[i + 1] : '\0';
    if (text[i] == '\\' && (next == 't' || next == 'n')) {
      out += next == 't' ? '\t' : '\n';
      ++i;
    } else {
      out += text[i];
    }
  }
  return out;
}

void AppendUtf8(uint32_t rune, std::string& out) {
  if (rune < 0x80) {
    out += static_cast<char>(rune);
  } else if (rune < 0x800) {
    out += static_cast<char>(0xC0 | (rune >> 6));
    out += static_cast<char>(0x80 | (rune & 0x3F));
  } else if (rune < 0x10000) {
    out += static_cast<char>(0xE0 | (rune >> 12));
    out += static_cast<char>(0x80 | ((rune >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (rune & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (rune >> 18));
    out += static_cast<char>(0x80 | ((rune >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((rune >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (rune & 0x3F));
  }
}

class Lexer {
 public:
  Lexer(std::string_view text, size_t offset) : text_(text), offset_(offset) {}

  absl::StatusOr<std::vector<Token>> Run() {
    while (at_ < text_.size()) {
      RETURN_IF_ERROR(TextAndAction());
    }
    Add(Token::Kind::kEnd, "", at_);
    return std::move(tokens_);
  }

 private:
  absl::Status Refuse(size_t at, std::string_view why) const {
    return tree::ErrorAt(offset_ + at + 1, why);
  }

  void Add(Token::Kind kind, std::string text, size_t begin) {
    tokens_.push_back({kind, std::move(text), offset_ + begin + 1, begin == last_end_});
    last_end_ = at_;
  }

  char Peek(size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }

  // "{{-" takes the space before it away, "-}}" the space behind it.
  absl::Status TextAndAction() {
    const size_t open = std::min(text_.find("{{", at_), text_.size());
    std::string_view plain = text_.substr(at_, open - at_);
    const bool trims_left =
        text_.substr(open).size() > 3 && text_[open + 2] == '-' && IsSpace(text_[open + 3]);
    if (trim_next_) {
      while (!plain.empty() && IsSpace(plain.front())) plain.remove_prefix(1);
    }
    if (trims_left) {
      while (!plain.empty() && IsSpace(plain.back())) plain.remove_suffix(1);
    }
    trim_next_ = false;
    if (!plain.empty()) Add(Token::Kind::kText, Unescape(plain), at_);
    at_ = open;
    if (open == text_.size()) return absl::OkStatus();
    at_ += trims_left ? 3 : 2;
    size_t comment = at_;
    while (comment < text_.size() && IsSpace(text_[comment])) ++comment;
    if (text_.substr(comment).starts_with("/*")) return Comment(open, comment);
    Add(Token::Kind::kOpen, "{{", open);
    return Action(open);
  }

  absl::Status Comment(size_t open, size_t comment) {
    const size_t end = text_.find("*/", comment + 2);
    if (end == std::string_view::npos) return Refuse(open, "the comment is never closed with */");
    at_ = end + 2;
    if (!Closes()) return Refuse(end, "a comment must be alone: {{/* … */}}");
    return absl::OkStatus();
  }

  // Goes past "}}" or " -}}", if that is what comes.
  bool Closes() {
    size_t at = at_;
    while (at < text_.size() && IsSpace(text_[at])) ++at;
    if (at > at_ && text_.substr(at).starts_with("-}}")) {
      at_ = at + 3;
      trim_next_ = true;
      return true;
    }
    if (!text_.substr(at).starts_with("}}")) return false;
    at_ = at + 2;
    return true;
  }

  absl::Status Action(size_t open) {
    while (true) {
      if (Closes()) {
        Add(Token::Kind::kClose, "}}", at_ - 2);
        return absl::OkStatus();
      }
      while (IsSpace(Peek())) ++at_;
      if (at_ >= text_.size()) return Refuse(open, "{{ is never closed with }}");
      RETURN_IF_ERROR(One());
    }
  }

  absl::Status One() {
    const size_t begin = at_;
    const char c = Peek();
    if (c == '"') return Quoted();
    if (c == '`') return Raw();
    if (c == '\'') return Character();
    if (c == '.' && IsNameStart(Peek(1))) {
      ++at_;
      return AddName(Token::Kind::kField, "", begin);
    }
    const bool signs = (c == '-' || c == '+') && (absl::ascii_isdigit(Peek(1)) || Peek(1) == '.');
    if (absl::ascii_isdigit(c) || signs || (c == '.' && absl::ascii_isdigit(Peek(1)))) {
      ++at_;
      while (absl::ascii_isalnum(Peek()) || Peek() == '.' || Peek() == '_') ++at_;
      Add(Token::Kind::kNumber, std::string(text_.substr(begin, at_ - begin)), begin);
      return absl::OkStatus();
    }
    if (IsNameStart(c)) {
      return AddName(Token::Kind::kWord, "", begin);
    }
    if (c == '$') {
      ++at_;
      return AddName(Token::Kind::kVariable, "$", begin);
    }
    return Sign();
  }

  absl::Status Sign() {
    const size_t begin = at_;
    const char c = Peek();
    ++at_;
    switch (c) {
      case '.':
        Add(Token::Kind::kDot, ".", begin);
        return absl::OkStatus();
      case '|':
        Add(Token::Kind::kPipe, "|", begin);
        return absl::OkStatus();
      case '(':
        Add(Token::Kind::kLeft, "(", begin);
        return absl::OkStatus();
      case ')':
        Add(Token::Kind::kRight, ")", begin);
        return absl::OkStatus();
      case ',':
        Add(Token::Kind::kComma, ",", begin);
        return absl::OkStatus();
      case '=':
        Add(Token::Kind::kAssign, "=", begin);
        return absl::OkStatus();
      default:
        break;
    }
    if (c == ':' && Peek() == '=') {
      ++at_;
      Add(Token::Kind::kDeclare, ":=", begin);
      return absl::OkStatus();
    }
    const bool printable = absl::ascii_isprint(c);
    return Refuse(begin, StrCat(printable ? StrCat("\"", std::string(1, c), "\"")
                                          : std::string("this character"),
                                " means nothing here; a text needs \"double quotes\""));
  }

  absl::Status AddName(Token::Kind kind, std::string_view head, size_t begin) {
    const size_t from = at_;
    while (IsName(Peek())) ++at_;
    if (at_ - from > kLongestName) {
      return Refuse(from, StrCat("a name longer than ", kLongestName, " characters is not known"));
    }
    Add(kind, StrCat(head, text_.substr(from, at_ - from)), begin);
    return absl::OkStatus();
  }

  absl::Status Raw() {
    const size_t begin = at_;
    const size_t end = text_.find('`', begin + 1);
    if (end == std::string_view::npos) return Refuse(begin, "the text is never closed with `");
    at_ = end + 1;
    Add(Token::Kind::kString, std::string(text_.substr(begin + 1, end - begin - 1)), begin);
    return absl::OkStatus();
  }

  absl::Status Quoted() {
    const size_t begin = at_++;
    std::string out;
    while (Peek() != '"') {
      if (at_ >= text_.size() || Peek() == '\n') {
        return Refuse(begin, "the text is never closed with \"");
      }
      RETURN_IF_ERROR(OneCharacter(out));
    }
    ++at_;
    Add(Token::Kind::kString, std::move(out), begin);
    return absl::OkStatus();
  }

  absl::Status Character() {
    const size_t begin = at_++;
    std::string out;
    if (Peek() != '\'' && at_ < text_.size()) RETURN_IF_ERROR(OneCharacter(out));
    while ((static_cast<unsigned char>(Peek()) & 0xC0) == 0x80) out += text_[at_++];
    if (out.empty() || Peek() != '\'') {
      return Refuse(begin, "single quotes hold one character; a text needs \"double quotes\"");
    }
    ++at_;
    Add(Token::Kind::kCharacter, StrCat(FirstRune(out)), begin);
    return absl::OkStatus();
  }

  static uint32_t FirstRune(std::string_view text) {
    const auto byte = [text](size_t i) {
      return i < text.size() ? static_cast<uint32_t>(static_cast<unsigned char>(text[i])) : 0u;
    };
    if (text.size() == 2) return ((byte(0) & 0x1F) << 6) | (byte(1) & 0x3F);
    if (text.size() == 3) {
      return ((byte(0) & 0x0F) << 12) | ((byte(1) & 0x3F) << 6) | (byte(2) & 0x3F);
    }
    if (text.size() == 4) {
      return ((byte(0) & 7) << 18) | ((byte(1) & 0x3F) << 12) | ((byte(2) & 0x3F) << 6) |
             (byte(3) & 0x3F);
    }
    return byte(0);
  }

  // One of a quoted text, escaped or not.
  absl::Status OneCharacter(std::string& out) {
    const size_t begin = at_;
    const char c = text_[at_++];
    if (c != '\\') {
      out += c;
      return absl::OkStatus();
    }
    const char escaped = Peek();
    ++at_;
    constexpr std::string_view kFrom = "abfnrtv\\'\"";
    constexpr std::string_view kTo = "\a\b\f\n\r\t\v\\'\"";
    if (const size_t i = kFrom.find(escaped); i != std::string_view::npos && escaped != '\0') {
      out += kTo[i];
      return absl::OkStatus();
    }
    const size_t digits = escaped == 'x' ? 2 : escaped == 'u' ? 4 : escaped == 'U' ? 8 : 0;
    uint32_t rune = 0;
    for (size_t i = 0; i < digits; ++i, ++at_) {
      if (!absl::ascii_isxdigit(Peek())) return BadEscape(begin);
      const char digit = absl::ascii_tolower(Peek());
      rune = rune * 16 + static_cast<uint32_t>(digit <= '9' ? digit - '0' : digit - 'a' + 10);
    }
    if (digits == 0 || rune > 0x10FFFF || (rune >= 0xD800 && rune < 0xE000)) {
      return BadEscape(begin);
    }
    if (escaped == 'x') {
      out += static_cast<char>(rune);
    } else {
      AppendUtf8(rune, out);
    }
    return absl::OkStatus();
  }

  absl::Status BadEscape(size_t at) const {
    return Refuse(at,
                  R"(not an escape that is known; \\ is a backslash, \" a quote, \n a new line)");
  }

  std::string_view text_;
  const size_t offset_;
  size_t at_ = 0;
  size_t last_end_ = 0;
  bool trim_next_ = false;
  std::vector<Token> tokens_;
};

}  // namespace

absl::StatusOr<std::vector<Token>> Tokenize(std::string_view text, size_t offset) {
  return Lexer(text, offset).Run();
}

}  // namespace swarm::cli
