#include "agent/host_port.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>

#include <cerrno>
#include <set>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

bool IsIpv6(const std::string& text) {
  struct in6_addr address;
  return ::inet_pton(AF_INET6, text.c_str(), &address) == 1;
}

bool IsName(const std::string& text) {
  return !text.empty() && text.size() <= 253 &&
         text.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
             "0123456789.-_") == std::string::npos;
}

bool ParsePort(const std::string& text, int& port) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos &&
         absl::SimpleAtoi(text, &port) && port <= 65535;
}

bool Parse(const std::string& text, HostAndPort& out) {
  if (IsIpv6(text)) {
    out.host = StrCat("[", text, "]");
    return true;
  }
  size_t end = text.find(':');
  if (!text.empty() && text[0] == '[') {
    const size_t bracket = text.find(']');
    if (bracket == std::string::npos || !IsIpv6(text.substr(1, bracket - 1))) return false;
    end = bracket + 1 == text.size() ? std::string::npos : bracket + 1;
    if (end != std::string::npos && text[end] != ':') return false;
  } else if (!IsName(text.substr(0, end))) {
    return false;
  }
  out.host = text.substr(0, end);
  return end == std::string::npos || ParsePort(text.substr(end + 1), out.port);
}

}  // namespace

IpAddress AddressOf(const HostAndPort& addr) {
  const std::string& host = addr.host;
  const bool bracketed = host.size() > 2 && host.front() == '[';
  return IpAddress::Parse(bracketed ? host.substr(1, host.size() - 2) : host).value_or(IpAddress());
}

absl::StatusOr<HostAndPort> ParseHostPort(const std::string& text, const std::string& what) {
  HostAndPort out;
  if (Parse(text, out)) return out;
  return absl::InvalidArgumentError(StrCat(what, ": \"", text, "\" is not HOST[:PORT]"));
}

absl::StatusOr<std::string> AdvertisedHost(const std::string& host, const std::string& what) {
  struct in_addr address;
  if (host.starts_with('[') || ::inet_pton(AF_INET, host.c_str(), &address) == 1) return host;
  struct ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return ErrnoStatus(errno, StrCat(what, ": list interfaces"));
  absl::Cleanup free_all = [all] { ::freeifaddrs(all); };
  std::set<std::string> names;
  for (const int family : {AF_INET, AF_INET6}) {
    for (const struct ifaddrs* one = all; one != nullptr; one = one->ifa_next) {
      names.insert(one->ifa_name);
      if (host != one->ifa_name || one->ifa_addr == nullptr || one->ifa_addr->sa_family != family) {
        continue;
      }
      char text[NI_MAXHOST];
      const socklen_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
      if (::getnameinfo(one->ifa_addr, size, text, sizeof text, nullptr, 0, NI_NUMERICHOST) != 0) {
        continue;
      }
      return family == AF_INET ? std::string(text) : StrCat("[", text, "]");
    }
  }
  return absl::InvalidArgumentError(
      StrCat(what, ": \"", host,
             "\" is neither an IP address nor a network interface with one; this machine has ",
             absl::StrJoin(names, ", ")));
}

std::string FormatHostPort(const HostAndPort& addr) { return StrCat(addr.host, ":", addr.port); }

}  // namespace swarm::agent
