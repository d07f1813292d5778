#include "agent/network/legacy_forward.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "common/file_system.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

constexpr char kTable[] = "filter";
constexpr size_t kMostNames = 4096;
constexpr uint32_t kMostBytes = 64 << 20;
constexpr int kAccept = -NF_ACCEPT - 1;  // as verdicts stand in rules
constexpr int kDrop = -NF_DROP - 1;

struct Family {
  const char* names;  // of the tables there are: asking for one that is not would make it
  int domain;
  int level;
  int get_info;
  int get_entries;
  const char* program;
};
constexpr Family kV4 = {"/proc/thread-self/net/ip_tables_names",
                        AF_INET,
                        IPPROTO_IP,
                        IPT_SO_GET_INFO,
                        IPT_SO_GET_ENTRIES,
                        "iptables-legacy"};
constexpr Family kV6 = {"/proc/thread-self/net/ip6_tables_names",
                        AF_INET6,
                        IPPROTO_IPV6,
                        IP6T_SO_GET_INFO,
                        IP6T_SO_GET_ENTRIES,
                        "ip6tables-legacy"};

const char* InLink(const ipt_entry& entry) { return entry.ip.iniface; }
const char* OutLink(const ipt_entry& entry) { return entry.ip.outiface; }
const char* InLink(const ip6t_entry& entry) { return entry.ipv6.iniface; }
const char* OutLink(const ip6t_entry& entry) { return entry.ipv6.outiface; }

// The verdict of an entry whose target is the standard one.
template <typename Entry>
std::optional<int> VerdictOf(const Entry& entry) {
  const char* at = reinterpret_cast<const char*>(&entry) + entry.target_offset;
  xt_standard_target target;
  std::memcpy(&target.target.u, at, sizeof target.target.u);
  if (target.target.u.user.name[0] != '\0') return std::nullopt;
  std::memcpy(&target, at, sizeof target);
  return target.verdict;
}

bool IsZero(const void* bytes, size_t size) {
  const auto* at = static_cast<const char*>(bytes);
  return std::all_of(at, at + size, [](char c) { return c == 0; });
}

// It asks for nothing but the one link. Its other matches begin where the entry ends.
bool AsksForLinkOnly(const ipt_entry& entry, bool in) {
  ipt_ip rest = entry.ip;
  std::memset(in ? rest.iniface : rest.outiface, 0, IFNAMSIZ);
  std::memset(in ? rest.iniface_mask : rest.outiface_mask, 0, IFNAMSIZ);
  return IsZero(&rest, sizeof rest) && entry.target_offset == sizeof entry;
}
bool AsksForLinkOnly(const ip6t_entry& entry, bool in) {
  ip6t_ip6 rest = entry.ipv6;
  std::memset(in ? rest.iniface : rest.outiface, 0, IFNAMSIZ);
  std::memset(in ? rest.iniface_mask : rest.outiface_mask, 0, IFNAMSIZ);
  return IsZero(&rest, sizeof rest) && entry.target_offset == sizeof entry;
}

// The policy is to drop, and not both ways are let through before it.
template <typename Entry>
bool ChainDrops(const std::string& entries, uint32_t first, uint32_t policy,
                const std::string& link) {
  bool in = false, out = false;
  for (uint32_t at = first; at + sizeof(Entry) <= entries.size();) {
    const auto& entry = *reinterpret_cast<const Entry*>(entries.data() + at);
    const std::optional<int> verdict = VerdictOf(entry);
    if (at >= policy) return verdict == kDrop && !(in && out);
    if (verdict == kAccept) {
      in |= link == InLink(entry) && AsksForLinkOnly(entry, true);
      out |= link == OutLink(entry) && AsksForLinkOnly(entry, false);
    }
    if (entry.next_offset == 0) break;
    at += entry.next_offset;
  }
  return false;
}

template <typename Info, typename Entries, typename Entry>
bool Drops(const Family& family, const std::string& link) {
  const auto names = ReadFile(family.names, kMostNames);
  if (!names.ok() || StrCat("\n", *names).find("\nfilter\n") == std::string::npos) return false;
  const UniqueFd fd(socket(family.domain, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
  if (!fd.valid()) return false;
  Info info = {};
  std::memcpy(info.name, kTable, sizeof kTable);
  socklen_t size = sizeof info;
  if (getsockopt(fd.get(), family.level, family.get_info, &info, &size) != 0) return false;
  if ((info.valid_hooks & (1u << NF_INET_FORWARD)) == 0 || info.size > kMostBytes) return false;
  std::string all(sizeof(Entries) + info.size, '\0');
  auto* ask = reinterpret_cast<Entries*>(all.data());
  std::memcpy(ask->name, kTable, sizeof kTable);
  ask->size = info.size;
  size = static_cast<socklen_t>(all.size());
  if (getsockopt(fd.get(), family.level, family.get_entries, all.data(), &size) != 0) return false;
  return ChainDrops<Entry>(all.substr(sizeof(Entries)), info.hook_entry[NF_INET_FORWARD],
                           info.underflow[NF_INET_FORWARD], link);
}

std::string Obstacle(const Family& family, const std::string& link) {
  const std::string rule = StrCat(family.program, " -A FORWARD ");
  return StrCat("the FORWARD chain of ", family.program,
                " on this host drops what containers send and are sent through the host: published "
                "ports and the way out; what would help: ",
                rule, "-i ", link, " -j ACCEPT; ", rule, "-o ", link, " -j ACCEPT");
}

}  // namespace

std::vector<std::string> LegacyObstacles(const NetworkNamespace& space, const std::string& link) {
  std::vector<std::string> obstacles;
  const absl::Status looked = space.Run([&] {
    if (Drops<ipt_getinfo, ipt_get_entries, ipt_entry>(kV4, link)) {
      obstacles.push_back(Obstacle(kV4, link));
    }
    if (Drops<ip6t_getinfo, ip6t_get_entries, ip6t_entry>(kV6, link)) {
      obstacles.push_back(Obstacle(kV6, link));
    }
    return absl::OkStatus();
  });
  looked.IgnoreError();
  return obstacles;
}

}  // namespace swarm::agent
