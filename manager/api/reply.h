// How the API answers: once, on the loop, and only with what is durable.
//
// Unless the journal stalls (F4: a full disk). Then what was read is answered at once, from memory,
// which may be ahead of the disk: an operator must be able to look. A write that is under way gets
// Unavailable with the reason after kStallPatience, and may still be done when there is space
// again.
#ifndef SWARM_MANAGER_API_REPLY_H_
#define SWARM_MANAGER_API_REPLY_H_

#include <memory>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/strings.h"
#include "manager/store/store.h"

namespace swarm::manager {

template <typename T>
using Reply = absl::AnyInvocable<void(absl::StatusOr<T>)>;

inline constexpr absl::Duration kStallPatience = absl::Seconds(10);

// What was read just now leaves once everything that it may rest on is durable; an error (somebody
// else's unsynced write may be its reason) too.
template <typename T>
void ReplyRead(Store& store, absl::StatusOr<T> answer, Reply<T> reply) {
  store.WhenDurableWithin(
      store.version(), absl::ZeroDuration(),
      [answer = std::move(answer), reply = std::move(reply)](absl::Status durable) mutable {
        // A journal that failed: what was read may be gone with this process.
        if (!durable.ok() && !absl::IsUnavailable(durable)) return;
        reply(std::move(answer));
      });
}

// What was written just now leaves once it is durable.
template <typename T>
void ReplyWhenDurable(Store& store, absl::StatusOr<T> answer, Reply<T> reply) {
  if (!answer.ok()) return ReplyRead(store, std::move(answer), std::move(reply));
  store.WhenDurableWithin(
      store.version(), kStallPatience,
      [answer = std::move(answer), reply = std::move(reply)](absl::Status durable) mutable {
        if (!durable.ok() && !absl::IsUnavailable(durable)) return;
        if (!durable.ok()) {
          answer = absl::UnavailableError(
              StrCat(durable.message(), "; the change is made once there is space again"));
        }
        reply(std::move(answer));
      });
}

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_REPLY_H_
