#include "agent/host_lookup.h"

#include <netdb.h>
#include <sys/socket.h>

#include <utility>

#include "absl/status/status.h"
#include "agent/on_pool.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

// What getaddrinfo says.
int Ask(const std::string& host, int flags, std::string& address) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_DGRAM;
  hints.ai_flags = flags;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &found);
  if (error != 0) return error;
  address.assign(reinterpret_cast<const char*>(found->ai_addr), found->ai_addrlen);
  ::freeaddrinfo(found);
  return 0;
}

}  // namespace

std::string NumericAddress(const std::string& host) {
  std::string address;
  return Ask(host, AI_NUMERICHOST, address) == 0 ? address : "";
}

absl::StatusOr<std::string> LookUpHost(const std::string& host) {
  std::string address;
  const int error = Ask(host, 0, address);
  if (error == 0) return address;
  return absl::UnavailableError(StrCat("look up host ", host, ": ", ::gai_strerror(error)));
}

HostLookup::HostLookup(EventLoop& loop, WorkerPool& pool, LookUp look_up)
    : loop_(loop), pool_(pool), look_up_(std::move(look_up)) {}

HostLookup::~HostLookup() { *alive_ = false; }

void HostLookup::Find(const std::string& host, const std::string& task_id, Done done) {
  std::erase_if(hosts_, [now = loop_.Now()](const auto& known) {
    return known.second.address.has_value() && known.second.until <= now;
  });
  const auto [it, added] = hosts_.try_emplace(host);
  if (it->second.address.has_value()) return done(Address(*it->second.address));
  it->second.waiting.emplace(task_id, std::move(done));
  if (!added) return;
  lookups_.Add(host, [this, host] {
    OnPool<Address>(
        loop_, pool_, [look_up = look_up_, host] { return look_up(host); },
        [this, alive = alive_, host](Address address) {
          if (!*alive) return;
          lookups_.Finished();
          Settle(host, address);
        });
  });
}

void HostLookup::Settle(const std::string& name, const Address& address) {
  Host& host = hosts_.at(name);
  host.address = address;
  host.until = loop_.Now() + (address.ok() ? kKept : kFailureKept);
  for (auto& [task, done] : std::exchange(host.waiting, {})) done(Address(address));
}

bool HostLookup::Cancel(const std::string& task_id) {
  for (auto& [name, host] : hosts_) {
    auto waiting = host.waiting.extract(task_id);
    if (waiting.empty()) continue;
    loop_.Post([done = std::move(waiting.mapped()), name = name]() mutable {
      done(absl::CancelledError(StrCat("the look-up of host ", name, " was stopped")));
    });
    return true;
  }
  return false;
}

}  // namespace swarm::agent
