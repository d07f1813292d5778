// BlackBox: which service a room is deciding about, where it is still found after the process has
// crashed over it (F20). One small file, mapped: noting costs two stores to memory and no call.
//
//   ASSIGN_OR_RETURN(auto box, BlackBox::Open(run_dir + "/deciding", {}));
//   if (box->crash()) … box->Forget();               // what the process before ended over
//   {
//     Deciding deciding(env, "scheduler", service);  // until the end of the scope
//     …
//   }
//
// Only a crash counts: a signal of the kind that a broken invariant, a bad pointer or an exception
// that nobody caught sends. A process that is killed or told to stop leaves no crash behind,
// whatever it was doing. Belongs on a tmpfs, where a page that is mapped can always be written.
// Loop thread only; Open anywhere.
#ifndef SWARM_MANAGER_BLACK_BOX_H_
#define SWARM_MANAGER_BLACK_BOX_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/ids.h"
#include "manager/env.h"

namespace swarm::manager {

class BlackBox {
 public:
  struct Crash {
    std::string room;  // "scheduler"
    Id service;
    int signal = 0;        // 6: SIGABRT; of the last one
    uint32_t crashes = 1;  // over it, since one was last forgotten
  };
  struct Options {
    // A rehearsal: deciding about this service fails a CHECK. Zero: none.
    Id crash_over;
  };

  // The file is made when missing. One that cannot be read as a note is no note.
  static absl::StatusOr<std::unique_ptr<BlackBox>> Open(const std::string& path, Options options);
  ~BlackBox();
  BlackBox(const BlackBox&) = delete;
  BlackBox& operator=(const BlackBox&) = delete;

  // What was found at Open. It is found again until it is forgotten, or another service's comes.
  const std::optional<Crash>& crash() const { return crash_; }
  // It is written down elsewhere.
  void Forget();
  // From now on a crash of the calling thread, the loop's, is noted, also when its stack is used
  // up. Once in a process.
  void CatchCrashes();
  // Ends the process by a crash of that thread, as one that hangs deserves; of the calling thread
  // when nobody catches crashes.
  static void EndLoop();

 private:
  friend class Deciding;
  struct Note;

  BlackBox(Note* note, Options options, std::optional<Crash> crash);
  void Begin(std::string_view room, Id service);
  void End();
  static void OnCrash(int signal);

  Note* const note_;
  const Options options_;
  const std::optional<Crash> crash_;
  std::unique_ptr<std::byte[]> stack_;  // of the signal handler
};

// A room decides about a service as long as this lives. They nest; the innermost counts, and when
// it ends the outer one is not noted again.
class Deciding {
 public:
  Deciding(const Env& env, std::string_view room, Id service) : box_(env.black_box) {
    if (box_ != nullptr) box_->Begin(room, service);
  }
  ~Deciding() {
    if (box_ != nullptr) box_->End();
  }
  Deciding(const Deciding&) = delete;
  Deciding& operator=(const Deciding&) = delete;

 private:
  BlackBox* const box_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_BLACK_BOX_H_
