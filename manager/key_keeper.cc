#include "manager/key_keeper.h"

#include "common/check.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/tls/join_token.h"
#include "common/tls/sealed_box.h"
#include "manager/key_file.h"

namespace swarm::manager {

absl::Status KeyKeeper::CheckAutoLock() const {
  if (auto_lock_ || locked()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "there is no unlock key: managers lock themselves only after swarmctl swarm update "
      "--autolock");
}

absl::StatusOr<std::string> KeyKeeper::UnlockKey() {
  DCHECK(env_.loop.InLoop());
  RETURN_IF_ERROR(CheckAutoLock());
  if (locked()) return UnlockKeyText(unlock_);
  if (offered_.empty()) offered_ = tls::MakeSealKey(env_.random);
  return UnlockKeyText(offered_);
}

absl::StatusOr<std::string> KeyKeeper::Rotate() {
  DCHECK(env_.loop.InLoop());
  RETURN_IF_ERROR(CheckAutoLock());
  offered_ = tls::MakeSealKey(env_.random);
  return UnlockKeyText(offered_);
}

void KeyKeeper::Confirm(std::string_view key, Done done) {
  DCHECK(env_.loop.InLoop());
  absl::StatusOr<SecretBytes> held = ParseUnlockKey(key);
  if (!held.ok()) return done(held.status());
  if (!auto_lock_) return done(absl::FailedPreconditionError("auto_lock is off again"));
  const bool is_known = tls::SecretsEqual(held->Reveal(), unlock_.Reveal());
  if (is_known && sure_) return done(absl::OkStatus());
  if (!is_known && !tls::SecretsEqual(held->Reveal(), offered_.Reveal())) {
    return done(absl::FailedPreconditionError(
        "another key was handed out since; ask for it: swarmctl swarm unlock-key"));
  }
  Write(*std::move(held), std::move(done));
}

void KeyKeeper::Follow(bool auto_lock, Done done) {
  DCHECK(env_.loop.InLoop());
  auto_lock_ = auto_lock;
  if (auto_lock) return done(absl::OkStatus());
  offered_.Wipe();
  if (!writing_ && sure_ && !locked()) return done(absl::OkStatus());
  Write(SecretBytes(), std::move(done));
}

void KeyKeeper::Write(SecretBytes unlock, Done done) {
  if (std::exchange(writing_, true)) {
    return done(absl::UnavailableError("the key file is just being written; try again"));
  }
  struct Work {
    std::string text;
    SecretBytes unlock;
    Done done;
    absl::Status status;
  };
  auto work = std::make_shared<Work>();
  ManagerKeys keys{SecretBytes::Copy(vault_.data_key().Reveal()), std::move(unlock)};
  work->text = KeyFile::Render(keys, env_.random);
  work->unlock = std::move(keys.unlock);
  work->done = std::move(done);
  auto finish = [this, alive = alive_, work] {
    WipeString(work->text);
    if (*alive) {
      OnWritten(std::move(work->status), std::move(work->unlock), std::move(work->done));
    }
  };
  const absl::Status taken = env_.pool.Submit([work, finish, path = path_, &loop = env_.loop] {
    work->status = KeyFile::Write(path, work->text);
    loop.Post(finish);
  });
  if (taken.ok()) return;
  work->status = taken;
  env_.loop.Post(finish);
}

void KeyKeeper::OnWritten(absl::Status status, SecretBytes unlock, Done done) {
  writing_ = false;
  sure_ = status.ok();
  if (status.ok()) {
    if (tls::SecretsEqual(unlock.Reveal(), offered_.Reveal())) offered_.Wipe();
    unlock_ = std::move(unlock);
  }
  // What was wished meanwhile; a write that failed is tried again by whoever wishes again.
  if (status.ok() && !auto_lock_ && locked()) {
    Follow(false, [](const absl::Status& followed) {
      if (followed.ok()) return;
      LogError("manager", StrCat("the key file stays locked: ", followed.message()));
    });
  }
  done(std::move(status));
}

}  // namespace swarm::manager
