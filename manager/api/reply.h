// How the API answers: once, on the loop, and only with what is durable.
#ifndef SWARM_MANAGER_API_REPLY_H_
#define SWARM_MANAGER_API_REPLY_H_

#include <memory>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "manager/store/store.h"

namespace swarm::manager {

template <typename T>
using Reply = absl::AnyInvocable<void(absl::StatusOr<T>)>;

// An answer that was read just now leaves once everything that it may rest on is durable; an error
// (somebody else's unsynced write may be its reason) too.
template <typename T>
void ReplyWhenDurable(Store& store, absl::StatusOr<T> answer, Reply<T> reply) {
  store.WhenDurable(store.version(),
                    [answer = std::move(answer), reply = std::move(reply)]() mutable {
                      reply(std::move(answer));
                    });
}

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_REPLY_H_
