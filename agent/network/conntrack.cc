#include "agent/network/conntrack.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <sys/socket.h>

#include <cerrno>
#include <string>
#include <vector>

#include "common/status_macros.h"

namespace swarm::agent {
namespace {

constexpr int Type(int message) { return (NFNL_SUBSYS_CTNETLINK << 8) | message; }

const nlattr* Inside(const nlattr* nest, int number) {
  return nest == nullptr
             ? nullptr
             : nla_find(static_cast<const nlattr*>(nla_data(nest)), nla_len(nest), number);
}

std::string_view Bytes(const nlattr* attribute) {
  if (attribute == nullptr) return {};
  return {static_cast<const char*>(nla_data(attribute)), static_cast<size_t>(nla_len(attribute))};
}

// Who answers in a flow, and by what protocol.
struct Answerer {
  IpAddress address;
  uint8_t protocol = 0;
};
Answerer AnswererOf(const nlattr* reply) {
  const nlattr* ip = Inside(reply, CTA_TUPLE_IP);
  const nlattr* source = Inside(ip, CTA_IP_V4_SRC);
  if (source == nullptr) source = Inside(ip, CTA_IP_V6_SRC);
  const std::string_view protocol = Bytes(Inside(Inside(reply, CTA_TUPLE_PROTO), CTA_PROTO_NUM));
  return {IpAddress::FromBytes(Bytes(source)),
          protocol.empty() ? uint8_t{0} : static_cast<uint8_t>(protocol[0])};
}

// What names a flow.
struct Flow {
  uint8_t family;
  std::string original;  // the attribute's inside
  std::string id;
};

}  // namespace

absl::StatusOr<Conntrack> Conntrack::Open(const NetworkNamespace& space) {
  ASSIGN_OR_RETURN(NetlinkSocket socket, NetlinkSocket::Open(space, NETLINK_NETFILTER));
  return Conntrack(std::move(socket));
}

absl::Status Conntrack::Forget(const std::set<IpAddress>& addresses) {
  if (addresses.empty()) return absl::OkStatus();
  std::vector<Flow> flows;
  NetlinkMessage all(Type(IPCTNL_MSG_CT_GET), NLM_F_DUMP);
  all.Header(nfgenmsg{.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0});
  RETURN_IF_ERROR(Annotate(
      socket_.Ask(all,
                  [&](const nlmsghdr* header) {
                    auto* message = const_cast<nlmsghdr*>(header);
                    const auto find = [&](int number) {
                      return nlmsg_find_attr(message, sizeof(nfgenmsg), number);
                    };
                    const Answerer answerer = AnswererOf(find(CTA_TUPLE_REPLY));
                    // Connections, whose ends tell each other when one is gone.
                    if (answerer.protocol == IPPROTO_TCP || answerer.protocol == IPPROTO_SCTP) {
                      return;
                    }
                    if (!addresses.contains(answerer.address)) return;
                    flows.push_back({static_cast<const nfgenmsg*>(nlmsg_data(header))->nfgen_family,
                                     std::string(Bytes(find(CTA_TUPLE_ORIG))),
                                     std::string(Bytes(find(CTA_ID)))});
                  }),
      "read tracked connections"));
  for (const Flow& flow : flows) {
    NetlinkMessage one(Type(IPCTNL_MSG_CT_DELETE), 0);
    one.Header(nfgenmsg{.nfgen_family = flow.family, .version = NFNETLINK_V0});
    one.Put(CTA_TUPLE_ORIG | NLA_F_NESTED, std::string_view(flow.original));
    one.Put(CTA_ID, std::string_view(flow.id));
    const absl::Status forgotten = socket_.Send(one);
    if (!forgotten.ok() && socket_.last_errno() != ENOENT) {
      return Annotate(forgotten, "forget a tracked connection");
    }
  }
  return absl::OkStatus();
}

}  // namespace swarm::agent
