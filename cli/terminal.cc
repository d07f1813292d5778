#include "cli/terminal.h"

#include <unistd.h>

#include <cerrno>

#include "cli/raw_terminal.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

// A reader that went away (`swarmctl … | head`) ends us by SIGPIPE; other errors have nowhere to
// go.
bool Write(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    text.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

std::string Painted(std::string_view text) {
  for (const auto& [word, color] :
       {std::pair<std::string_view, std::string_view>{"error:", "\x1b[31m"},
        {"warning:", "\x1b[33m"}}) {
    if (text.starts_with(word)) return StrCat(color, word, "\x1b[0m", text.substr(word.size()));
  }
  return std::string(text);
}

}  // namespace

void Terminal::Out(std::string_view text) {
  if (!Write(out_, text)) lost_output_ = true;
}

void Terminal::Err(std::string_view text) {
  Write(err_, HasColors(err_) ? Painted(text) : std::string(text));
}

bool Terminal::IsTerminal(int fd) const {
  const std::optional<std::string> term = variable_("TERM");
  return ::isatty(fd) != 0 && term && *term != "dumb";
}

bool Terminal::HasColors(int fd) const {
  return IsTerminal(fd) && variable_("NO_COLOR").value_or("").empty();
}

size_t Terminal::columns() const {
  const uint32_t columns = SizeOfTerminal(out_).columns;
  return columns > 0 ? columns : 80;
}

size_t Terminal::rows() const {
  const uint32_t rows = SizeOfTerminal(out_).rows;
  return rows > 0 ? rows : 24;
}

}  // namespace swarm::cli
