#include "agent/dns/names.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace swarm::agent {
namespace {

constexpr absl::string_view kTasksOf = "tasks.";

bool Wants(uint16_t type, const IpAddress& address) {
  if (address.empty()) return false;
  return type == dns_type::kAny || type == (address.is_v4() ? dns_type::kA : dns_type::kAaaa);
}

void Take(uint16_t type, const IpAddress& v4, const IpAddress& v6, std::vector<IpAddress>& out) {
  if (Wants(type, v4)) out.push_back(v4);
  if (Wants(type, v6)) out.push_back(v6);
}

std::vector<std::string> NamesOf(const NetworkService& service) {
  std::vector<std::string> names = {absl::AsciiStrToLower(service.name)};
  for (const std::string& alias : service.aliases) names.push_back(absl::AsciiStrToLower(alias));
  return names;
}

std::vector<std::string> NamesOf(const NetworkTask& task) {
  std::vector<std::string> names = {absl::AsciiStrToLower(task.name)};
  // A container whose spec names no host is called by the beginning of its task's id.
  names.push_back(task.hostname.empty() ? absl::AsciiStrToLower(task.task_id.substr(0, 12))
                                        : absl::AsciiStrToLower(task.hostname));
  return names;
}

// Questions about zones, which the root has for names of one label.
bool IsAboutZones(uint16_t type) {
  return type == dns_type::kNs || type == dns_type::kSoa || type == dns_type::kDs ||
         type == dns_type::kDnskey;
}

bool IsLoopback(const IpAddress& address) {
  return address.is_v4() ? address.bytes[0] == 127
                         : std::all_of(address.bytes.begin(), address.bytes.end() - 1,
                                       [](uint8_t b) { return b == 0; }) &&
                               address.bytes[15] == 1;
}

NameAnswer Localhost(uint16_t type) {
  NameAnswer answer{.kind = NameAnswer::Kind::kFound};
  Take(type, *IpAddress::Parse("127.0.0.1"), *IpAddress::Parse("::1"), answer.addresses);
  return answer;
}

std::optional<IpAddress> FromReversedV4(absl::string_view digits) {
  const std::vector<absl::string_view> parts = absl::StrSplit(digits, '.');
  if (parts.size() != 4) return std::nullopt;
  std::string packed;
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    uint32_t value = 0;
    if (part->empty() || part->size() > 3 ||
        !absl::ascii_isdigit(static_cast<unsigned char>((*part)[0])) ||
        !absl::SimpleAtoi(*part, &value) || value > 255) {
      return std::nullopt;
    }
    packed.push_back(static_cast<char>(value));
  }
  return IpAddress::FromBytes(packed);
}

std::optional<IpAddress> FromReversedV6(absl::string_view nibbles) {
  if (nibbles.size() != 63) return std::nullopt;
  std::string packed(16, '\0');
  for (size_t i = 0; i < 32; ++i) {
    const char c = nibbles[62 - 2 * i];
    if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) return std::nullopt;
    if (i > 0 && nibbles[63 - 2 * i] != '.') return std::nullopt;
    const int value = c <= '9' ? c - '0' : c - 'a' + 10;
    packed[i / 2] = static_cast<char>(packed[i / 2] | (i % 2 == 0 ? value << 4 : value));
  }
  return IpAddress::FromBytes(packed);
}

}  // namespace

std::optional<IpAddress> AddressOfReverseName(absl::string_view name) {
  if (absl::ConsumeSuffix(&name, ".in-addr.arpa")) return FromReversedV4(name);
  if (absl::ConsumeSuffix(&name, ".ip6.arpa")) return FromReversedV6(name);
  return std::nullopt;
}

void NameIndex::Apply(const NetworkUpdate& update) {
  for (const std::string& id : update.gone_networks) RemoveNetwork(id);
  for (const Key& key : update.gone_services) RemoveService(key);
  for (const Key& key : update.gone_tasks) RemoveTask(key);
  Set(update.put);
}

void NameIndex::Replace(const NetworkState& state) {
  networks_.clear();
  Set(state);
}

void NameIndex::Set(const NetworkState& state) {
  for (const auto& [id, network] : state.networks) SetNetwork(network);
  for (const auto& [key, service] : state.services) SetService(service);
  for (const auto& [key, task] : state.tasks) SetTask(task);
}

void NameIndex::SetNetwork(const Network& network) {
  InNetwork& in = networks_[network.id];
  in.network = network;
  in.name = absl::AsciiStrToLower(network.name);
}

void NameIndex::RemoveNetwork(const std::string& id) {
  const auto in = networks_.find(id);
  if (in == networks_.end()) return;
  in->second.network.reset();
  ForgetIfEmpty(id);
}

void NameIndex::SetService(const NetworkService& service) {
  RemoveService(service.key());
  InNetwork& in = networks_[service.network_id];
  for (std::string& name : NamesOf(service)) {
    in.names[std::move(name)].services.insert(service.service_id);
  }
  for (const IpAddress& vip : {service.vip4, service.vip6}) {
    if (!vip.empty()) in.addresses[vip] = {true, service.service_id};
  }
  in.services[service.service_id].value = service;
}

void NameIndex::RemoveService(const Key& key) {
  const auto& [network_id, service_id] = key;
  const auto in = networks_.find(network_id);
  if (in == networks_.end()) return;
  const auto found = in->second.services.find(service_id);
  if (found == in->second.services.end() || !found->second.value) return;
  const NetworkService old = *std::exchange(found->second.value, std::nullopt);
  for (const std::string& name : NamesOf(old)) {
    const auto holders = in->second.names.find(name);
    if (holders == in->second.names.end()) continue;  // an alias that repeats another
    holders->second.services.erase(service_id);
    if (holders->second.services.empty() && holders->second.tasks.empty()) {
      in->second.names.erase(holders);
    }
  }
  for (const IpAddress& vip : {old.vip4, old.vip6}) {
    const auto owner = in->second.addresses.find(vip);
    if (owner != in->second.addresses.end() && owner->second == AddressOwner{true, service_id}) {
      in->second.addresses.erase(owner);
    }
  }
  if (found->second.serving.empty()) in->second.services.erase(found);
  ForgetIfEmpty(network_id);
}

void NameIndex::SetTask(const NetworkTask& task) {
  RemoveTask(task.key());
  InNetwork& in = networks_[task.network_id];
  for (std::string& name : NamesOf(task)) in.names[std::move(name)].tasks.insert(task.task_id);
  for (const IpAddress& address : {task.v4, task.v6}) {
    if (!address.empty()) in.addresses[address] = {false, task.task_id};
  }
  if (task.serving) in.services[task.service_id].serving.insert(task.task_id);
  in.tasks[task.task_id] = task;
}

void NameIndex::RemoveTask(const Key& key) {
  const auto& [network_id, task_id] = key;
  const auto in = networks_.find(network_id);
  if (in == networks_.end()) return;
  auto node = in->second.tasks.extract(task_id);
  if (node.empty()) return;
  const NetworkTask& old = node.mapped();
  for (const std::string& name : NamesOf(old)) {
    const auto holders = in->second.names.find(name);
    if (holders == in->second.names.end()) continue;  // the hostname repeats the name
    holders->second.tasks.erase(task_id);
    if (holders->second.services.empty() && holders->second.tasks.empty()) {
      in->second.names.erase(holders);
    }
  }
  for (const IpAddress& address : {old.v4, old.v6}) {
    const auto owner = in->second.addresses.find(address);
    if (owner != in->second.addresses.end() && owner->second == AddressOwner{false, task_id}) {
      in->second.addresses.erase(owner);
    }
  }
  const auto service = in->second.services.find(old.service_id);
  if (service != in->second.services.end()) {
    service->second.serving.erase(task_id);
    if (service->second.serving.empty() && !service->second.value) {
      in->second.services.erase(service);
    }
  }
  ForgetIfEmpty(network_id);
}

void NameIndex::ForgetIfEmpty(const std::string& network_id) {
  const auto in = networks_.find(network_id);
  if (in != networks_.end() && !in->second.network && in->second.services.empty() &&
      in->second.tasks.empty()) {
    networks_.erase(in);
  }
}

std::vector<const NameIndex::InNetwork*> NameIndex::Known(
    absl::Span<const std::string> networks) const {
  std::vector<const InNetwork*> known;
  for (const std::string& id : networks) {
    const auto in = networks_.find(id);
    if (in != networks_.end() && in->second.network && !in->second.network->ingress) {
      known.push_back(&in->second);
    }
  }
  return known;
}

bool NameIndex::FindIn(const InNetwork& in, absl::string_view name, uint16_t type,
                       std::vector<IpAddress>& out) const {
  const auto take_serving = [&](const Service& service) {
    for (const std::string& id : service.serving) {
      const NetworkTask& task = in.tasks.at(id);
      Take(type, task.v4, task.v6, out);
    }
  };
  const auto holders = in.names.find(name);
  if (holders != in.names.end()) {
    for (const std::string& id : holders->second.services) {
      const Service& service = in.services.at(id);
      if (service.value->vip4.empty() && service.value->vip6.empty()) {
        take_serving(service);
      } else {
        Take(type, service.value->vip4, service.value->vip6, out);
      }
    }
    if (!holders->second.services.empty()) return true;
    for (const std::string& id : holders->second.tasks) {
      const NetworkTask& task = in.tasks.at(id);
      if (task.serving) Take(type, task.v4, task.v6, out);
    }
    return true;
  }
  if (!absl::ConsumePrefix(&name, kTasksOf)) return false;
  const auto of = in.names.find(name);
  if (of == in.names.end() || of->second.services.empty()) return false;
  for (const std::string& id : of->second.services) take_serving(in.services.at(id));
  return true;
}

NameAnswer NameIndex::Resolve(const DnsQuestion& question, absl::Span<const std::string> networks) {
  const absl::string_view name = question.name;
  if (const auto address = AddressOfReverseName(name)) {
    return ResolveReverse(*address, question.type, networks);
  }
  if (name == "localhost" || absl::EndsWith(name, ".localhost")) return Localhost(question.type);

  NameAnswer answer;
  const std::vector<const InNetwork*> known = Known(networks);
  bool found = std::any_of(known.begin(), known.end(), [&](const InNetwork* in) {
    return FindIn(*in, name, question.type, answer.addresses);
  });
  found = found || std::any_of(known.begin(), known.end(), [&](const InNetwork* in) {
            absl::string_view rest = name;
            return absl::ConsumeSuffix(&rest, in->name) && absl::ConsumeSuffix(&rest, ".") &&
                   FindIn(*in, rest, question.type, answer.addresses);
          });
  const bool ours = (question.labels == 1 && !IsAboutZones(question.type)) ||
                    (question.labels == 2 && absl::StartsWith(name, kTasksOf));
  if (found) {
    answer.kind = NameAnswer::Kind::kFound;
    Shuffle(answer.addresses);
  } else if (ours) {
    answer.kind = NameAnswer::Kind::kNoSuchName;
  }
  return answer;
}

NameAnswer NameIndex::ResolveReverse(const IpAddress& address, uint16_t type,
                                     absl::Span<const std::string> networks) const {
  const auto found = [&](std::string name) {
    NameAnswer answer{.kind = NameAnswer::Kind::kFound};
    if (type == dns_type::kPtr || type == dns_type::kAny) answer.pointer = std::move(name);
    return answer;
  };
  if (IsLoopback(address) && address.bytes[address.is_v4() ? 3 : 15] == 1) {
    return found("localhost");
  }
  for (const InNetwork* in : Known(networks)) {
    const auto owner = in->addresses.find(address);
    if (owner == in->addresses.end()) continue;
    const std::string& id = owner->second.id;
    return found(absl::StrCat(
        owner->second.is_service ? in->services.at(id).value->name : in->tasks.at(id).name, ".",
        in->network->name));
  }
  bool ours = IsLoopback(address);
  for (const std::string& id : networks) {
    const auto in = networks_.find(id);
    if (in == networks_.end() || !in->second.network) continue;
    for (const Network::Subnet& subnet : in->second.network->subnets) {
      ours = ours || subnet.prefix.Contains(address);
    }
  }
  return {.kind = ours ? NameAnswer::Kind::kNoSuchName : NameAnswer::Kind::kElsewhere};
}

void NameIndex::Shuffle(std::vector<IpAddress>& addresses) {
  const size_t wanted = std::min(addresses.size(), kMaxAddresses);
  for (size_t i = 0; i < wanted && i + 1 < addresses.size(); ++i) {
    std::swap(addresses[i], addresses[i + random_.Below(addresses.size() - i)]);
  }
  addresses.resize(wanted);
}

bool NameIndex::HasWayOut(absl::Span<const std::string> networks) const {
  return std::any_of(networks.begin(), networks.end(), [&](const std::string& id) {
    const auto in = networks_.find(id);
    return in != networks_.end() && in->second.network && !in->second.network->internal;
  });
}

}  // namespace swarm::agent
