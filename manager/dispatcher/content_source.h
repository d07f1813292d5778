// ContentSource: where an assignment gets what secrets and configs hold, at the moment when it is
// sent.
#ifndef SWARM_MANAGER_DISPATCHER_CONTENT_SOURCE_H_
#define SWARM_MANAGER_DISPATCHER_CONTENT_SOURCE_H_

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
  virtual ~ContentSource() = default;
  virtual std::optional<v1::SecretContent> SecretOf(Id id) const = 0;
  virtual std::optional<v1::ConfigContent> ConfigOf(Id id) const = 0;
};

// Out of the store. Both borrowed; without a vault there are no secrets.
class StoreContents : public ContentSource {
 public:
  StoreContents(const View& view, const SecretVault* vault) : view_(view), vault_(vault) {}
  std::optional<v1::SecretContent> SecretOf(Id id) const override;
  std::optional<v1::ConfigContent> ConfigOf(Id id) const override;

 private:
  const View& view_;
  const SecretVault* vault_;
};

// Overwrites what a message that was sent said of contents.
void WipeContents(v1::Assignment& assignment);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_DISPATCHER_CONTENT_SOURCE_H_
