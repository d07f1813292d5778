// Terminal: standard output and error of this process, or any two descriptors. One thread.
#ifndef SWARM_CLI_TERMINAL_H_
#define SWARM_CLI_TERMINAL_H_

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "cli/env.h"

namespace swarm::cli {

class Terminal : public Console {
 public:
  using Variable = std::function<std::optional<std::string>(std::string_view name)>;
  // The descriptors stay the caller's. `variable` tells TERM and NO_COLOR.
  Terminal(int out, int err, Variable variable)
      : out_(out), err_(err), variable_(std::move(variable)) {}

  void Out(std::string_view text) override;
  // "error:" is red and "warning:" yellow, where it is a terminal with colors.
  void Err(std::string_view text) override;
  bool lost_output() const override { return lost_output_; }
  // TERM=dumb cannot redraw.
  bool interactive() const override { return IsTerminal(out_); }
  // https://no-color.org
  bool colors() const override { return HasColors(out_); }
  size_t columns() const override;  // 80 where there is no terminal
  size_t rows() const override;     // 24

 private:
  bool IsTerminal(int fd) const;
  bool HasColors(int fd) const;

  const int out_;
  const int err_;
  const Variable variable_;
  bool lost_output_ = false;
};

}  // namespace swarm::cli

#endif  // SWARM_CLI_TERMINAL_H_
