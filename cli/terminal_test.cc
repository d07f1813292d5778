// Progress and colors on a pseudo-terminal, seen as a person sees them.
#include "cli/terminal.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "absl/strings/numbers.h"
#include "cli/board.h"
#include "cli/fake_daemons.h"
#include "common/unique_fd.h"

namespace swarm::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// A screen as a terminal would show it: what Board and the kernel's line discipline write.
class Screen {
 public:
  Screen(size_t columns, size_t rows) : columns_(columns), lines_(rows) {}

  void Feed(std::string_view text) {
    for (size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      if (c == '\x1b' && i + 1 < text.size() && text[i + 1] == '[') {
        const size_t end = text.find_first_of("ABCDHJKm", i);
        ASSERT_NE(end, text.npos) << "an escape sequence without its end";
        Escape(std::string(text.substr(i + 2, end - i - 2)), text[end]);
        i = end;
      } else if (c == '\n') {
        NewLine();
      } else if (c == '\r') {
        column_ = 0;
      } else {
        Put(c);
      }
    }
  }

  // Without empty lines at the end.
  std::string Text() const {
    std::string out;
    for (const std::string& line : lines_) out += line + "\n";
    while (out.ends_with("\n\n")) out.pop_back();
    return out;
  }
  bool wrapped() const { return wrapped_; }
  bool went_above() const { return went_above_; }
  size_t scrolled() const { return scrolled_; }

 private:
  void Escape(const std::string& parameter, char what) {
    size_t count = 1;
    const bool is_number = parameter.empty() || absl::SimpleAtoi(parameter, &count);
    EXPECT_TRUE(is_number || what == 'm') << parameter;
    if (what == 'A') {
      went_above_ = went_above_ || count > row_;
      row_ -= std::min(count, row_);
    } else if (what == 'K') {
      lines_[row_].clear();
    }  // 'm' is paint
  }
  void NewLine() {
    if (row_ + 1 < lines_.size()) {
      ++row_;
      return;
    }
    ++scrolled_;
    lines_.erase(lines_.begin());
    lines_.emplace_back();
  }
  void Put(char c) {
    const bool continues = (static_cast<unsigned char>(c) & 0xC0) == 0x80;
    if (!continues && column_ == columns_) {
      wrapped_ = true;
      NewLine();
      column_ = 0;
    }
    lines_[row_] += c;
    if (!continues) ++column_;
  }

  const size_t columns_;
  std::vector<std::string> lines_;
  size_t row_ = 0;
  size_t column_ = 0;
  size_t scrolled_ = 0;
  bool wrapped_ = false;
  bool went_above_ = false;
};

class TerminalTest : public ::testing::Test {
 protected:
  // Runs it on a terminal of that size; all that came out of it.
  std::string RunOnTerminal(const std::vector<std::string>& args, uint16_t columns, uint16_t rows) {
    int master = -1;
    int slave = -1;
    winsize size{.ws_row = rows, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
    EXPECT_EQ(::openpty(&master, &slave, nullptr, nullptr, &size), 0);
    const UniqueFd reader(master);
    UniqueFd writer(slave);
    std::string out;
    std::thread reading([&out, master] {
      char piece[4096];
      while (true) {
        const ssize_t n = ::read(master, piece, sizeof piece);
        if (n <= 0) return;  // EIO once the other side is closed
        out.append(piece, static_cast<size_t>(n));
      }
    });
    Terminal terminal(slave, slave, [this](std::string_view name) {
      const auto it = world_.variables.find(std::string(name));
      return it == world_.variables.end() ? std::nullopt : std::optional(it->second);
    });
    exit_code_ = world_.RunOn(terminal, args);
    writer.Reset();
    reading.join();
    return out;
  }
  // Tasks 1 to `count` of the service in that state, and some time passes.
  void PutTasks(const std::string& service, uint64_t from, uint64_t to,
                v1::TaskStatus::State state) {
    for (uint64_t slot = from; slot <= to; ++slot) {
      cluster_.PutTask(StrCat(service, "-", slot), cluster_.services[StrCat(service, "-id")], slot,
                       state);
    }
    world_.clock.Advance(absl::Milliseconds(150));
  }
  void ScaleTo(uint64_t count) {
    cluster_.AddService("web", 1);
    cluster_.script.push_back(
        [=, this] { PutTasks("web", 1, count, v1::TaskStatus::STATE_PREPARING); });
    for (uint64_t done = 0; done < count; done += std::max<uint64_t>(1, count / 10)) {
      cluster_.script.push_back([=, this] {
        PutTasks("web", done + 1, std::min(count, done + std::max<uint64_t>(1, count / 10)),
                 v1::TaskStatus::STATE_RUNNING);
      });
    }
  }

  FakeWorld world_;
  FakeCluster& cluster_ = world_.cluster;
  int exit_code_ = -1;

  void SetUp() override { world_.variables["TERM"] = "xterm"; }
};

TEST_F(TerminalTest, ProgressOfOneReplicaIsDrawnInPlace) {
  ScaleTo(1);
  const std::string out = RunOnTerminal({"service", "scale", "web=1"}, 80, 24);
  EXPECT_EQ(exit_code_, 0) << out;
  Screen screen(80, 24);
  screen.Feed(out);
  EXPECT_EQ(screen.Text(),
            "web scaled to 1\n"
            "overall progress: 1 out of 1 tasks\n"
            "1/1: running   [==================================================>]\n"
            "verify: Service web converged\n");
  EXPECT_FALSE(screen.wrapped());
  EXPECT_THAT(out, HasSubstr("\x1b[32m["));
}

TEST_F(TerminalTest, ProgressOfAThousandReplicasIsOneBar) {
  ScaleTo(1000);
  const std::string out = RunOnTerminal({"service", "scale", "web=1000"}, 80, 24);
  EXPECT_EQ(exit_code_, 0) << out;
  Screen screen(80, 24);
  screen.Feed(out);
  EXPECT_EQ(screen.Text(),
            "web scaled to 1000\n"
            "overall progress: 1000 out of 1000 tasks\n"
            "[==================================================>] 100%\n"
            "verify: Service web converged\n");
  EXPECT_FALSE(screen.wrapped());
  EXPECT_LT(out.size(), 20'000u);
  // On the way there.
  Screen before(80, 24);
  before.Feed(out.substr(0, out.find("\x1b", out.find("500 out of 1000") + 100)));
  EXPECT_THAT(before.Text(), AllOf(HasSubstr("500 out of 1000 tasks (500 preparing)"),
                                   HasSubstr("[=========================>")));
}

TEST_F(TerminalTest, ProgressKeepsToASmallScreen) {
  ScaleTo(20);
  const std::string out = RunOnTerminal({"service", "scale", "web=20"}, 40, 10);
  EXPECT_EQ(exit_code_, 0) << out;
  Screen screen(40, 10);
  screen.Feed(out);
  EXPECT_FALSE(screen.wrapped());
  EXPECT_FALSE(screen.went_above());
  EXPECT_THAT(screen.Text(),
              AllOf(HasSubstr("overall progress: 20 out of 20 tasks\n"),
                    HasSubstr("… and 14 more lines\nverify: Service web converged\n")));
  // One screen of it and no trail of older ones.
  EXPECT_LE(screen.scrolled(), 2u);
}

TEST_F(TerminalTest, NoColorAndDumbTerminalsAreRespected) {
  world_.variables["NO_COLOR"] = "1";
  ScaleTo(1);
  const std::string plain = RunOnTerminal({"service", "scale", "web=1"}, 80, 24);
  EXPECT_THAT(plain, AllOf(HasSubstr("\x1b[2K"), Not(HasSubstr("\x1b[32m"))));
  EXPECT_THAT(RunOnTerminal({"service", "lss"}, 80, 24), Not(HasSubstr("\x1b")));
  world_.variables.erase("NO_COLOR");
  EXPECT_THAT(RunOnTerminal({"service", "lss"}, 80, 24),
              HasSubstr("\x1b[31merror:\x1b[0m unknown"));
  world_.variables["TERM"] = "dumb";
  EXPECT_THAT(RunOnTerminal({"service", "lss"}, 80, 24), Not(HasSubstr("\x1b")));
}

TEST_F(TerminalTest, WithoutATerminalAThousandReplicasAreAFewPlainLines) {
  ScaleTo(1000);
  EXPECT_EQ(world_.Run({"service", "scale", "web=1000"}), 0);
  const std::string& out = world_.console.out;
  EXPECT_THAT(out, AllOf(HasSubstr("overall progress: 1000 out of 1000 tasks\n"),
                         HasSubstr("verify: Service web converged\n"), Not(HasSubstr("\x1b"))));
  EXPECT_LE(std::count(out.begin(), out.end(), '\n'), 12) << out;
}

TEST(BoardTest, WhatIsLargeIsHeldBackButNotForEver) {
  FakeConsole console;
  Board board(console, /*quiet=*/false, /*in_place=*/false);
  const auto show = [&](const std::string& line, absl::Duration now) {
    return board.Show({}, {line}, /*large=*/true, now);
  };
  EXPECT_EQ(show("1", absl::Seconds(10)), absl::InfiniteDuration());
  EXPECT_EQ(show("2", absl::Seconds(11)), absl::Seconds(1));
  EXPECT_EQ(show("3", absl::Seconds(12)), absl::InfiniteDuration());
  EXPECT_EQ(console.out, "1\n3\n");
}

}  // namespace
}  // namespace swarm::cli
