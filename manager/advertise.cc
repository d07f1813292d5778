#include "manager/advertise.h"

#include "common/socket_address.h"
#include "common/strings.h"

namespace swarm::manager {
namespace {

std::string DefaultRouteSource() {
  const IpAddress own = LocalAddressTowards({});
  return own.empty() ? "127.0.0.1" : own.ToString();
}

}  // namespace

bool IsWildcard(const std::string& listening) {
  return listening.rfind("0.0.0.0:", 0) == 0 || listening.rfind("[::]:", 0) == 0;
}

std::string DefaultAdvertiseAddress(const std::string& listening) {
  if (!IsWildcard(listening)) return listening;
  return StrCat(DefaultRouteSource(), listening.substr(listening.rfind(':')));
}

}  // namespace swarm::manager
