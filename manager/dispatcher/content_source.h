// ContentSource: where an assignment gets what secrets and configs hold, out of the store and at
// the moment when it is sent. Until then it has their ids and room for them.
#ifndef SWARM_MANAGER_DISPATCHER_CONTENT_SOURCE_H_
#define SWARM_MANAGER_DISPATCHER_CONTENT_SOURCE_H_

#include <cstddef>
#include <optional>

#include "common/ids.h"
#include "manager/secret_vault.h"
#include "manager/store/store.h"
#include "swarm/v1/dispatcher.pb.h"

namespace swarm::manager {

// Loop thread. Nothing: it is not there, or does not open (which is logged); the node then says
// that it waits for it.
class ContentSource {
 public:
  // Both borrowed; without a vault there are no secrets.
  ContentSource(const View& view, const SecretVault* vault) : view_(view), vault_(vault) {}
  std::optional<v1::SecretContent> SecretOf(Id id) const;
  std::optional<v1::ConfigContent> ConfigOf(Id id) const;
  // Bytes of the above, at most; found without opening anything. 0: it is not there.
  size_t SecretBytesOf(Id id) const;
  size_t ConfigBytesOf(Id id) const;

 private:
  const View& view_;
  const SecretVault* vault_;
};

inline bool HasContents(const v1::Assignment& assignment) {
  return assignment.secrets_size() > 0 || assignment.configs_size() > 0;
}
// Bytes that FillContents adds, at most.
size_t ContentBytes(const v1::Assignment& assignment, const ContentSource& contents);
// In the place of the ids what they stand for; one that is nothing by now is left out.
void FillContents(v1::Assignment& assignment, const ContentSource& contents);

// Overwrites what a message that was sent said of contents.
void WipeContents(v1::Assignment& assignment);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_DISPATCHER_CONTENT_SOURCE_H_
