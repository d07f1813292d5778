// KeyKeeper: whether the key file is locked, and with what.
//
//   keys.Follow(/*auto_lock=*/true, done);
//   ASSIGN_OR_RETURN(std::string key, keys.UnlockKey());   // to whoever asked
//   keys.Confirm(key, done);                               // who has it now: the file is locked
//
// A key that nobody wrote down would lock everybody out. So one that is handed out is an offer, in
// memory alone, until whoever asked confirms to hold it: however this process ends, what opens the
// file is a key that somebody has. Only what is safe for everybody, to open the file, is done
// without being confirmed: after a crash between the cluster's spec and the file, the file follows.
//
// Loop thread; the file is written on the pool, one change at a time: another one meanwhile is
// Unavailable. After an error of the disk either key may be the right one until a write succeeds.
#ifndef SWARM_MANAGER_KEY_KEEPER_H_
#define SWARM_MANAGER_KEY_KEEPER_H_

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/secret_bytes.h"
#include "manager/env.h"
#include "manager/secret_vault.h"

namespace swarm::manager {

class KeyKeeper {
 public:
  using Done = absl::AnyInvocable<void(absl::Status)>;

  // `unlock`: the key that the file at `path` is locked with; empty: it is open.
  KeyKeeper(const Env& env, std::string path, const SecretVault& vault, SecretBytes unlock)
      : env_(env),
        path_(std::move(path)),
        vault_(vault),
        unlock_(std::move(unlock)),
        auto_lock_(locked()) {}
  ~KeyKeeper() { *alive_ = false; }

  bool locked() const { return !unlock_.empty(); }
  // Off: `done` once the file is open. On: at once; the next key that is confirmed locks it. When a
  // write is under way `done` is Unavailable, and the file follows after it.
  void Follow(bool auto_lock, Done done);
  // What opens the file; of an open one an offer. FailedPrecondition: neither locked nor to be.
  absl::StatusOr<std::string> UnlockKey();
  // A new offer, which takes the place of the one before. Errors as above.
  absl::StatusOr<std::string> Rotate();
  // `done` once nothing but this key opens the file. FailedPrecondition: it is not the last offer;
  // InvalidArgument: it is no key.
  void Confirm(std::string_view key, Done done);

 private:
  absl::Status CheckAutoLock() const;
  void Write(SecretBytes unlock, Done done);
  void OnWritten(absl::Status status, SecretBytes unlock, Done done);

  const Env env_;
  const std::string path_;
  const SecretVault& vault_;
  SecretBytes unlock_;
  SecretBytes offered_;
  bool auto_lock_;
  bool writing_ = false;
  bool sure_ = true;  // that the file is as `unlock_` says
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_KEY_KEEPER_H_
