#include "manager/allocator/address_book.h"

#include <utility>
#include <vector>

#include "common/strings.h"
#include "manager/network_rules.h"

namespace swarm::manager {
namespace {

std::optional<AddressPool> PoolOf(const Network& network, IpAddress::Family family) {
  for (const v1::IpamConfig& ipam : network.ipam()) {
    const absl::StatusOr<IpPrefix> subnet = IpPrefix::Parse(ipam.subnet());
    if (!subnet.ok() || subnet->base.family != family) continue;
    std::vector<IpAddress> reserved;
    const auto reserve = [&](const std::string& text) {
      if (const auto address = IpAddress::Parse(text); address.ok()) reserved.push_back(*address);
    };
    reserve(ipam.gateway());
    for (const auto& [name, address] : ipam.aux_addresses()) reserve(address);
    return AddressPool(*subnet, IpPrefix::Parse(ipam.ip_range()).value_or(IpPrefix{}), reserved);
  }
  return std::nullopt;
}

absl::Status Full(const std::string& name, const AddressPool& pool, std::string_view family) {
  return absl::ResourceExhaustedError(StrCat("network ", name, " has no free ", family, "address (",
                                             pool.taken(), " of ", pool.size(), " in use)"));
}

}  // namespace

AddressBook::Pools* AddressBook::Find(Id network) {
  const auto found = networks_.find(network);
  return found == networks_.end() ? nullptr : &found->second;
}

void AddressBook::PutNetwork(const Network& network) {
  const auto [it, added] = networks_.try_emplace(Id::ParseOrZero(network.id()));
  if (!added) return;
  it->second = {network.spec().name(), PoolOf(network, IpAddress::Family::kV4),
                PoolOf(network, IpAddress::Family::kV6), IsMacvlan(network.spec())};
}

absl::StatusOr<TaskAddress> AddressBook::Take(Id network, absl::Duration now) {
  Pools* pools = Find(network);
  if (pools == nullptr) {
    return absl::NotFoundError(StrCat("network ", network.ToString(), " not found"));
  }
  TaskAddress address{network, {}, {}};
  if (pools->v4.has_value()) {
    const std::optional<IpAddress> v4 = pools->v4->Take(now);
    if (!v4.has_value()) return Full(pools->name, *pools->v4, "");
    address.v4 = *v4;
  }
  if (pools->v6.has_value()) {
    const std::optional<IpAddress> v6 = pools->v6->Take(now);
    if (!v6.has_value()) {
      Return(address);
      return Full(pools->name, *pools->v6, "IPv6 ");
    }
    address.v6 = *v6;
  }
  return address;
}

void AddressBook::Hold(const TaskAddress& address) {
  Pools* pools = Find(address.network);
  if (pools == nullptr) return;
  if (pools->v4.has_value()) pools->v4->Hold(address.v4);
  if (pools->v6.has_value()) pools->v6->Hold(address.v6);
}

void AddressBook::HoldOnLans(const IpAddress& address) {
  for (auto& [id, pools] : networks_) {
    if (!pools.on_lan) continue;
    for (auto* pool : {&pools.v4, &pools.v6}) {
      if (pool->has_value()) (*pool)->Hold(address);
    }
  }
}

void AddressBook::Release(const TaskAddress& address, absl::Duration now) {
  Pools* pools = Find(address.network);
  if (pools == nullptr) return;
  if (pools->v4.has_value()) pools->v4->Release(address.v4, now);
  if (pools->v6.has_value()) pools->v6->Release(address.v6, now);
}

void AddressBook::Cool(const TaskAddress& address, absl::Duration now) {
  Pools* pools = Find(address.network);
  if (pools == nullptr) return;
  if (pools->v4.has_value()) pools->v4->Cool(address.v4, now);
  if (pools->v6.has_value()) pools->v6->Cool(address.v6, now);
}

void AddressBook::Return(const TaskAddress& address) {
  Pools* pools = Find(address.network);
  if (pools == nullptr) return;
  if (pools->v4.has_value()) pools->v4->Return(address.v4);
  if (pools->v6.has_value()) pools->v6->Return(address.v6);
}

std::optional<absl::Duration> AddressBook::NextFree() const {
  std::optional<absl::Duration> next;
  for (const auto& [id, pools] : networks_) {
    for (const auto* pool : {&pools.v4, &pools.v6}) {
      const auto free = pool->has_value() ? (*pool)->NextFree() : std::nullopt;
      if (free.has_value() && (!next.has_value() || *free < *next)) next = free;
    }
  }
  return next;
}

}  // namespace swarm::manager
