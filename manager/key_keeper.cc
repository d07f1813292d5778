#include "manager/key_keeper.h"

#include "common/check.h"
#include "common/tls/sealed_box.h"
#include "manager/key_file.h"

namespace swarm::manager {

absl::StatusOr<std::string> KeyKeeper::UnlockKey() const {
  if (locked()) return UnlockKeyText(unlock_);
  return absl::FailedPreconditionError(
      "there is no unlock key: managers lock themselves only after swarmctl swarm update "
      "--autolock");
}

void KeyKeeper::Follow(bool auto_lock, Done done) {
  DCHECK(env_.loop.InLoop());
  if (auto_lock == locked()) return done(absl::OkStatus());
  Write(auto_lock ? tls::MakeSealKey(env_.random) : SecretBytes(), std::move(done));
}

void KeyKeeper::Rotate(Done done) {
  DCHECK(env_.loop.InLoop());
  if (!locked()) return done(UnlockKey().status());
  Write(tls::MakeSealKey(env_.random), std::move(done));
}

void KeyKeeper::Write(SecretBytes unlock, Done done) {
  if (std::exchange(writing_, true)) {
    return done(absl::UnavailableError("the unlock key is just being changed; try again"));
  }
  struct Work {
    ManagerKeys keys;
    Done done;
    absl::Status status;
  };
  auto work = std::make_shared<Work>();
  work->keys = {SecretBytes::Copy(vault_.data_key().Reveal()), std::move(unlock)};
  work->done = std::move(done);
  auto finish = [this, alive = alive_, work] {
    if (!*alive) return;
    writing_ = false;
    if (work->status.ok()) unlock_ = std::move(work->keys.unlock);
    work->done(std::move(work->status));
  };
  const absl::Status taken =
      env_.pool.Submit([work, finish, path = path_, &loop = env_.loop, &random = env_.random] {
        work->status = KeyFile::Write(path, work->keys, random);
        loop.Post(finish);
      });
  if (taken.ok()) return;
  work->status = taken;
  env_.loop.Post(finish);
}

}  // namespace swarm::manager
