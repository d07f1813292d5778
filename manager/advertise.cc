#include "manager/advertise.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "common/strings.h"
#include "common/unique_fd.h"

namespace swarm::manager {
namespace {

// Connecting a datagram socket sends nothing; it only chooses a route. The address is of
// TEST-NET-1.
std::string DefaultRouteSource() {
  UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in target{};
  target.sin_family = AF_INET;
  target.sin_port = htons(9);
  ::inet_pton(AF_INET, "192.0.2.1", &target.sin_addr);
  sockaddr_in own{};
  socklen_t size = sizeof(own);
  char text[INET_ADDRSTRLEN];
  if (!fd.valid() ||
      ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&target), sizeof(target)) != 0 ||
      ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&own), &size) != 0 ||
      ::inet_ntop(AF_INET, &own.sin_addr, text, sizeof(text)) == nullptr) {
    return "127.0.0.1";
  }
  return text;
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
