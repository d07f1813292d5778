#include "agent/network/mac_address.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "common/strings.h"

namespace swarm::agent {

MacAddress MacAddress::Of(const IpAddress& address) {
  MacAddress mac = {{0x02, 0x42}};
  if (address.is_v4()) {
    std::copy(address.bytes.begin(), address.bytes.begin() + 4, mac.bytes.begin() + 2);
    return mac;
  }
  const uint64_t hash = StableHash(address.ToBytes());
  for (size_t i = 1; i < mac.bytes.size(); ++i) {
    mac.bytes[i] = static_cast<uint8_t>(hash >> (8 * i));
  }
  return mac;
}

std::string MacAddress::ToString() const {
  return absl::StrFormat("%02x:%02x:%02x:%02x:%02x:%02x", bytes[0], bytes[1], bytes[2], bytes[3],
                         bytes[4], bytes[5]);
}

IpAddress MacAddress::LinkLocal() const {
  IpAddress address;
  address.family = IpAddress::Family::kV6;
  address.bytes = {0xfe, 0x80};
  std::copy(bytes.begin(), bytes.end(), address.bytes.begin() + 10);
  return address;
}

uint64_t StableHash(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return hash;
}

std::string ContainerLinkName(std::string_view task_id) {
  return absl::StrFormat("c%014x", StableHash(task_id) & 0xffffffffffffff);
}

std::string VxlanLinkName(uint32_t vni) { return absl::StrCat("vx", vni); }

}  // namespace swarm::agent
