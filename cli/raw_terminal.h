// RawTerminal: this terminal hands over every key as it is typed, Ctrl-C too, and shows nothing by
// itself: a terminal inside a container does both. Or, for what nobody is to see, it shows nothing
// and is else as ever. As before when it is destroyed, and when a signal or a second Ctrl-C ends
// the process. One at a time.
#ifndef SWARM_CLI_RAW_TERMINAL_H_
#define SWARM_CLI_RAW_TERMINAL_H_

#include <cstdint>
#include <utility>

namespace swarm::cli {

enum class Typing { kRaw, kUnseen };

class RawTerminal {
 public:
  // Does nothing when `fd` is no terminal.
  explicit RawTerminal(int fd, Typing typing = Typing::kRaw);
  ~RawTerminal();
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

  // For who is about to end the process. Any thread or signal handler.
  static void RestoreNow();

 private:
  bool raw_ = false;
};

struct WindowSize {
  uint32_t rows = 0;  // both 0: not a terminal
  uint32_t columns = 0;
};
WindowSize SizeOfTerminal(int fd);

}  // namespace swarm::cli

#endif  // SWARM_CLI_RAW_TERMINAL_H_
