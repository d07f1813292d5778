// KeyKeeper: whether the key file is locked, and with what. Follows the cluster's auto_lock: the
// spec is written first and the file after it, so that whoever finds them different (a crash between
// the two) lets the file follow the spec.
//
// Loop thread; the file is written on the pool. One change at a time: another one meanwhile is
// Unavailable.
#ifndef SWARM_MANAGER_KEY_KEEPER_H_
#define SWARM_MANAGER_KEY_KEEPER_H_

#include <memory>
#include <string>
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
      : env_(env), path_(std::move(path)), vault_(vault), unlock_(std::move(unlock)) {}
  ~KeyKeeper() { *alive_ = false; }

  bool locked() const { return !unlock_.empty(); }
  // Locks with a new key, or opens; `done` once the file says so.
  void Follow(bool auto_lock, Done done);
  // FailedPrecondition: the file is open.
  absl::StatusOr<std::string> UnlockKey() const;
  // A new one; `done` once the old one opens nothing any more.
  void Rotate(Done done);

 private:
  void Write(SecretBytes unlock, Done done);

  const Env env_;
  const std::string path_;
  const SecretVault& vault_;
  SecretBytes unlock_;
  bool writing_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_KEY_KEEPER_H_
