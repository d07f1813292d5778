#include "agent/dns/redirect.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <memory>

#include "common/check.h"
#include "common/status_macros.h"
#include "common/unique_fd.h"

namespace swarm::agent {
namespace {

constexpr char kTable[] = "swarm_resolver";
constexpr char kChain[] = "output";
constexpr uint32_t kRaw = static_cast<uint32_t>(-300);  // before connection tracking
constexpr uint16_t kDnsPort = 53;

struct Free {
  void operator()(nftnl_table* table) const { nftnl_table_free(table); }
  void operator()(nftnl_chain* chain) const { nftnl_chain_free(chain); }
  void operator()(nftnl_rule* rule) const { nftnl_rule_free(rule); }
};

template <typename T>
std::unique_ptr<T, Free> Own(T* object) {
  CHECK(object != nullptr) << "out of memory";
  return std::unique_ptr<T, Free>(object);
}

// Messages of one transaction, one after the other.
class Batch {
 public:
  Batch() { Advance(nftnl_batch_begin(at(), ++sequence_)); }

  nlmsghdr* Begin(uint16_t type, uint16_t flags) {
    return nftnl_nlmsg_build_hdr(at(), type, NFPROTO_IPV4, flags | NLM_F_ACK, ++sequence_);
  }
  void Advance(const nlmsghdr* header) {
    used_ += NLMSG_ALIGN(header->nlmsg_len);
    CHECK(used_ + 1024 <= bytes_.size()) << used_;
  }
  void End() { Advance(nftnl_batch_end(at(), ++sequence_)); }

  const char* data() const { return bytes_.data(); }
  size_t size() const { return used_; }
  uint32_t last_sequence() const { return sequence_; }

 private:
  char* at() { return bytes_.data() + used_; }

  alignas(NLMSG_ALIGNTO) std::array<char, 8192> bytes_ = {};
  size_t used_ = 0;
  uint32_t sequence_ = 0;
};

void AddTable(Batch& batch) {
  const auto table = Own(nftnl_table_alloc());
  nftnl_table_set_str(table.get(), NFTNL_TABLE_NAME, kTable);
  nlmsghdr* header = batch.Begin(NFT_MSG_NEWTABLE, NLM_F_CREATE);
  nftnl_table_nlmsg_build_payload(header, table.get());
  batch.Advance(header);
}

void AddChain(Batch& batch) {
  const auto chain = Own(nftnl_chain_alloc());
  nftnl_chain_set_str(chain.get(), NFTNL_CHAIN_TABLE, kTable);
  nftnl_chain_set_str(chain.get(), NFTNL_CHAIN_NAME, kChain);
  nftnl_chain_set_str(chain.get(), NFTNL_CHAIN_TYPE, "filter");
  nftnl_chain_set_u32(chain.get(), NFTNL_CHAIN_HOOKNUM, NF_INET_LOCAL_OUT);
  nftnl_chain_set_u32(chain.get(), NFTNL_CHAIN_PRIO, kRaw);
  nlmsghdr* header = batch.Begin(NFT_MSG_NEWCHAIN, NLM_F_CREATE);
  nftnl_chain_nlmsg_build_payload(header, chain.get());
  batch.Advance(header);
}

std::unique_ptr<nftnl_rule, Free> NewRule() {
  auto rule = Own(nftnl_rule_alloc());
  nftnl_rule_set_str(rule.get(), NFTNL_RULE_TABLE, kTable);
  nftnl_rule_set_str(rule.get(), NFTNL_RULE_CHAIN, kChain);
  return rule;
}

// All rules of the chain.
void FlushChain(Batch& batch) {
  nlmsghdr* header = batch.Begin(NFT_MSG_DELRULE, 0);
  nftnl_rule_nlmsg_build_payload(header, NewRule().get());
  batch.Advance(header);
}

nftnl_expr* Add(nftnl_rule* rule, const char* kind) {
  nftnl_expr* expression = nftnl_expr_alloc(kind);
  CHECK(expression != nullptr) << kind;
  nftnl_rule_add_expr(rule, expression);
  return expression;
}

void AddCompare(nftnl_rule* rule, const void* data, uint32_t size) {
  nftnl_expr* compare = Add(rule, "cmp");
  nftnl_expr_set_u32(compare, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
  nftnl_expr_set_u32(compare, NFTNL_EXPR_CMP_OP, NFT_CMP_EQ);
  nftnl_expr_set(compare, NFTNL_EXPR_CMP_DATA, data, size);
}

void MatchPayload(nftnl_rule* rule, uint32_t base, uint32_t offset, const void* data,
                  uint32_t size) {
  nftnl_expr* load = Add(rule, "payload");
  nftnl_expr_set_u32(load, NFTNL_EXPR_PAYLOAD_DREG, NFT_REG_1);
  nftnl_expr_set_u32(load, NFTNL_EXPR_PAYLOAD_BASE, base);
  nftnl_expr_set_u32(load, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
  nftnl_expr_set_u32(load, NFTNL_EXPR_PAYLOAD_LEN, size);
  AddCompare(rule, data, size);
}

void SetPort(nftnl_rule* rule, uint8_t protocol, uint32_t offset, uint16_t port) {
  const uint16_t value = htons(port);
  nftnl_expr* immediate = Add(rule, "immediate");
  nftnl_expr_set_u32(immediate, NFTNL_EXPR_IMM_DREG, NFT_REG_1);
  nftnl_expr_set(immediate, NFTNL_EXPR_IMM_DATA, &value, sizeof value);
  nftnl_expr* write = Add(rule, "payload");
  nftnl_expr_set_u32(write, NFTNL_EXPR_PAYLOAD_SREG, NFT_REG_1);
  nftnl_expr_set_u32(write, NFTNL_EXPR_PAYLOAD_BASE, NFT_PAYLOAD_TRANSPORT_HEADER);
  nftnl_expr_set_u32(write, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
  nftnl_expr_set_u32(write, NFTNL_EXPR_PAYLOAD_LEN, sizeof value);
  nftnl_expr_set_u32(write, NFTNL_EXPR_PAYLOAD_CSUM_TYPE, NFT_PAYLOAD_CSUM_INET);
  nftnl_expr_set_u32(write, NFTNL_EXPR_PAYLOAD_CSUM_OFFSET, protocol == IPPROTO_UDP ? 6 : 16);
}

enum class Direction { kTo, kFrom };

// Packets to (from) the resolver's address and the first port get the second one.
void AddRule(Batch& batch, Direction direction, uint8_t protocol, uint16_t port,
             uint16_t new_port) {
  const bool to = direction == Direction::kTo;
  const uint32_t address = htonl(0x7f00000b);  // 127.0.0.11
  const uint16_t old_port = htons(port);
  const uint32_t port_offset = to ? 2 : 0;
  const auto rule = NewRule();
  MatchPayload(rule.get(), NFT_PAYLOAD_NETWORK_HEADER, to ? 16 : 12, &address, sizeof address);
  nftnl_expr* meta = Add(rule.get(), "meta");
  nftnl_expr_set_u32(meta, NFTNL_EXPR_META_KEY, NFT_META_L4PROTO);
  nftnl_expr_set_u32(meta, NFTNL_EXPR_META_DREG, NFT_REG_1);
  AddCompare(rule.get(), &protocol, sizeof protocol);
  MatchPayload(rule.get(), NFT_PAYLOAD_TRANSPORT_HEADER, port_offset, &old_port, sizeof old_port);
  SetPort(rule.get(), protocol, port_offset, new_port);
  Add(rule.get(), "notrack");
  nlmsghdr* header = batch.Begin(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
  nftnl_rule_nlmsg_build_payload(header, rule.get());
  batch.Advance(header);
}

// The kernel answers every message: all of them when all is done, else those that it refuses.
absl::Status Commit(int netlink, const Batch& batch, uint32_t last) {
  sockaddr_nl kernel = {};
  kernel.nl_family = AF_NETLINK;
  if (sendto(netlink, batch.data(), batch.size(), 0, reinterpret_cast<const sockaddr*>(&kernel),
             sizeof kernel) < 0) {
    return ErrnoStatus(errno, "send to nftables");
  }
  alignas(NLMSG_ALIGNTO) std::array<char, 16384> buffer;
  for (;;) {
    const ssize_t got = recv(netlink, buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "receive from nftables");
    int left = static_cast<int>(got);
    for (auto* header = reinterpret_cast<const nlmsghdr*>(buffer.data());
         mnl_nlmsg_ok(header, left); header = mnl_nlmsg_next(header, &left)) {
      if (header->nlmsg_type != NLMSG_ERROR) continue;
      const auto* answer = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(header));
      if (answer->error != 0) return ErrnoStatus(-answer->error, "nftables refuses the redirect");
      if (header->nlmsg_seq == last) return absl::OkStatus();
    }
  }
}

}  // namespace

absl::Status RedirectPort53(uint16_t udp_port, uint16_t tcp_port) {
  Batch batch;
  AddTable(batch);
  AddChain(batch);
  FlushChain(batch);
  AddRule(batch, Direction::kTo, IPPROTO_UDP, kDnsPort, udp_port);
  AddRule(batch, Direction::kTo, IPPROTO_TCP, kDnsPort, tcp_port);
  AddRule(batch, Direction::kFrom, IPPROTO_UDP, udp_port, kDnsPort);
  AddRule(batch, Direction::kFrom, IPPROTO_TCP, tcp_port, kDnsPort);
  const uint32_t last_rule = batch.last_sequence();
  batch.End();

  const UniqueFd netlink(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  if (!netlink.valid()) return ErrnoStatus(errno, "open nftables");
  return Commit(netlink.get(), batch, last_rule);
}

}  // namespace swarm::agent
