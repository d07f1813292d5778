// NftContext: nftables of one network namespace (libnftables).
//
// Blocking: about 3 ms for a small change of a table with 1,000 chains, 0.2 s to replace such a
// table. Any thread, also at the same time: libnftables has state of its own, which one lock of the
// process guards.
#ifndef SWARM_AGENT_NETWORK_NFT_CONTEXT_H_
#define SWARM_AGENT_NETWORK_NFT_CONTEXT_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/network/netlink_socket.h"
#include "agent/network/network_namespace.h"

struct nft_ctx;

namespace swarm::agent {

class NftContext {
 public:
  static absl::StatusOr<NftContext> Open(const NetworkNamespace& space);

  // One transaction: all of it, or nothing and nft's first complaint.
  absl::Status Run(const std::string& commands);
  // As nft prints it, without counters. NotFound when there is no such table.
  absl::StatusOr<std::string> List(const std::string& table);
  // As `nft list <what>` shows people, without counters and with handles: "chains", "table ip nat".
  absl::StatusOr<std::string> Show(const std::string& what);

  // Goes up by one with every transaction in the namespace, of whoever: while it is the same,
  // nothing in any table has changed.
  absl::StatusOr<uint32_t> Generation();

 private:
  struct Close {
    void operator()(nft_ctx* context) const;
  };
  NftContext(NetworkNamespace space, NetlinkSocket socket)
      : space_(std::move(space)), socket_(std::move(socket)) {}
  absl::StatusOr<std::string> Print(const std::string& command, unsigned flags);

  NetworkNamespace space_;
  std::unique_ptr<nft_ctx, Close> context_;
  NetlinkSocket socket_;
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NETWORK_NFT_CONTEXT_H_
