// Board: progress that is drawn again in place on a terminal, and printed line by line elsewhere.
//
//   Board board(console, /*quiet=*/false, console.interactive());
//   absl::Duration again = board.Show(live, plain, /*large=*/true, clock.MonotonicNow());
//
// In place it keeps to the screen: lines are cut to its width, and of more than its height the
// first and the last are shown and the rest counted. Bars are painted where the console has colors.
// Elsewhere a line is printed when it is another than before. What is `large` (many tasks, whose
// every change would be a line or a flicker) is shown at most every kLiveEvery or kPlainEvery; Show
// then says after how long to call again, so that the last state is seen. One thread.
#ifndef SWARM_CLI_BOARD_H_
#define SWARM_CLI_BOARD_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cli/env.h"

namespace swarm::cli {

class Board {
 public:
  static constexpr absl::Duration kLiveEvery = absl::Milliseconds(100);
  static constexpr absl::Duration kPlainEvery = absl::Seconds(2);

  Board(Console& console, bool quiet, bool in_place)
      : console_(console), quiet_(quiet), in_place_(in_place) {}

  // InfiniteDuration: all of it is on the screen.
  absl::Duration Show(const std::vector<std::string>& live, const std::vector<std::string>& plain,
                      bool large, absl::Duration now);

 private:
  void Redraw(std::vector<std::string> lines);
  void Print(const std::vector<std::string>& lines);

  Console& console_;
  const bool quiet_;
  const bool in_place_;
  std::vector<std::string> shown_;
  std::optional<absl::Duration> last_;  // when large was shown
};

// The bar in "1/3: running   [====>   ]" green once it is full, cyan before.
std::string PaintBar(const std::string& line);

}  // namespace swarm::cli

#endif  // SWARM_CLI_BOARD_H_
