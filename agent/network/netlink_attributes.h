// NetlinkAttributes: what a message of the kernel, or an attribute of it, holds: by number, as
// bytes, texts, numbers and addresses. What is not there, or too short, is empty or zero.
//
// Points into the message: lives no longer than it.
#ifndef SWARM_AGENT_NETWORK_NETLINK_ATTRIBUTES_H_
#define SWARM_AGENT_NETWORK_NETLINK_ATTRIBUTES_H_

#include <netlink/attr.h>
#include <netlink/msg.h>

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "agent/network/mac_address.h"
#include "common/ip_address.h"

namespace swarm::agent {

// Those beyond `most` are left out.
class NetlinkAttributes {
 public:
  NetlinkAttributes(const nlmsghdr* header, size_t header_size, int most) : all_(most + 1) {
    nlmsg_parse(const_cast<nlmsghdr*>(header), static_cast<int>(header_size), all_.data(), most,
                nullptr);
  }
  NetlinkAttributes(const nlattr* nest, int most) : all_(most + 1) {
    nla_parse_nested(all_.data(), most, const_cast<nlattr*>(nest), nullptr);
  }
  const nlattr* operator[](int number) const { return all_[number]; }
  bool Has(int number) const { return all_[number] != nullptr; }
  std::string_view Bytes(int number) const {
    if (!Has(number)) return {};
    return {static_cast<const char*>(nla_data(all_[number])),
            static_cast<size_t>(nla_len(all_[number]))};
  }
  // A text ends at its zero.
  std::string Text(int number) const {
    return std::string(Bytes(number).substr(0, Bytes(number).find('\0')));
  }
  template <typename T>
  T Number(int number, T otherwise = 0) const {
    T value = otherwise;
    if (Bytes(number).size() >= sizeof value) {
      std::memcpy(&value, Bytes(number).data(), sizeof value);
    }
    return value;
  }
  IpAddress Address(int number) const { return IpAddress::FromBytes(Bytes(number)); }
  MacAddress Mac(int number) const {
    MacAddress mac;
    if (Bytes(number).size() == mac.bytes.size()) {
      std::memcpy(mac.bytes.data(), Bytes(number).data(), mac.bytes.size());
    }
    return mac;
  }

 private:
  std::vector<nlattr*> all_;
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NETWORK_NETLINK_ATTRIBUTES_H_
