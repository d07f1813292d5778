#include "agent/dns/dns_test_world.h"

#include <ldns/ldns.h>
#include <poll.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/check.h"

namespace swarm::agent {
namespace {

IpAddress Address(const std::string& text) {
  return text.empty() ? IpAddress() : *IpAddress::Parse(text);
}

std::string ToBytes(ldns_pkt* packet) {
  uint8_t* bytes = nullptr;
  size_t size = 0;
  CHECK(ldns_pkt2wire(&bytes, packet, &size) == LDNS_STATUS_OK);
  std::string wire(reinterpret_cast<const char*>(bytes), size);
  std::free(bytes);
  return wire;
}

}  // namespace

Network MakeNetwork(const std::string& id, const std::string& name, const std::string& subnet) {
  Network network;
  network.id = id;
  network.name = name;
  const IpPrefix prefix = *IpPrefix::Parse(subnet);
  network.subnets.push_back({prefix, prefix.base.Plus(1)});
  return network;
}

NetworkService MakeService(const std::string& network, const std::string& name,
                           const std::string& vip4, const std::string& vip6) {
  NetworkService service;
  service.network_id = network;
  service.service_id = absl::StrCat("s-", name);
  service.name = name;
  service.vip4 = Address(vip4);
  service.vip6 = Address(vip6);
  return service;
}

NetworkTask MakeTask(const std::string& network, const std::string& name, const std::string& id,
                     const std::string& v4, const std::string& v6) {
  NetworkTask task;
  task.network_id = network;
  task.task_id = id;
  task.service_id = absl::StrCat("s-", name);
  task.name = absl::StrCat(name, ".1.", id);
  task.v4 = Address(v4);
  task.v6 = Address(v6);
  task.serving = true;
  return task;
}

NetworkUpdate Update(const Pieces& pieces) {
  NetworkUpdate update;
  update.gone_networks.insert(pieces.networks_gone.begin(), pieces.networks_gone.end());
  update.gone_services.insert(pieces.services_gone.begin(), pieces.services_gone.end());
  update.gone_tasks.insert(pieces.tasks_gone.begin(), pieces.tasks_gone.end());
  for (const Network& network : pieces.networks) update.put.networks[network.id] = network;
  for (const auto& service : pieces.services) update.put.services[service.key()] = service;
  for (const auto& task : pieces.tasks) update.put.tasks[task.key()] = task;
  return update;
}

DnsQuestion MakeQuestion(const std::string& name, uint16_t type) {
  return MakeQuery(name, type).question;
}

std::string QueryBytes(const std::string& name, uint16_t type, uint16_t id, int edns) {
  ldns_rdf* owner = ldns_dname_new_frm_str(name.c_str());
  CHECK(owner != nullptr) << name;
  ldns_pkt* packet =
      ldns_pkt_query_new(owner, static_cast<ldns_rr_type>(type), LDNS_RR_CLASS_IN, LDNS_RD);
  ldns_pkt_set_id(packet, id);
  if (edns != 0) ldns_pkt_set_edns_udp_size(packet, static_cast<uint16_t>(edns));
  std::string wire = ToBytes(packet);
  ldns_pkt_free(packet);
  return wire;
}

DnsQuery MakeQuery(const std::string& name, uint16_t type, uint16_t id, int edns) {
  ParsedQuery parsed = ParseQuery(QueryBytes(name, type, id, edns));
  CHECK(parsed.query.has_value()) << name;
  return *std::move(parsed.query);
}

std::string Words(absl::string_view wire) {
  ldns_pkt* packet = nullptr;
  if (ldns_wire2pkt(&packet, reinterpret_cast<const uint8_t*>(wire.data()), wire.size()) !=
      LDNS_STATUS_OK) {
    return "garbage";
  }
  char* code = ldns_pkt_rcode2str(ldns_pkt_get_rcode(packet));
  std::vector<std::string> values;
  const ldns_rr_list* answer = ldns_pkt_answer(packet);
  for (size_t i = 0; i < ldns_rr_list_rr_count(answer); ++i) {
    const ldns_rdf* first = ldns_rr_rdf(ldns_rr_list_rr(answer, i), 0);
    char* value = first == nullptr ? nullptr : ldns_rdf2str(first);
    values.emplace_back(value == nullptr ? "?" : value);
    std::free(value);
  }
  std::sort(values.begin(), values.end());
  values.insert(values.begin(), code == nullptr ? "?" : code);
  if (ldns_pkt_tc(packet)) values.emplace_back("TC");
  std::free(code);
  ldns_pkt_free(packet);
  return absl::StrJoin(values, " ");
}

std::string ServerAnswer(absl::string_view query, int code, const std::vector<std::string>& records,
                         bool truncated) {
  ldns_pkt* packet = nullptr;
  CHECK(ldns_wire2pkt(&packet, reinterpret_cast<const uint8_t*>(query.data()), query.size()) ==
        LDNS_STATUS_OK);
  ldns_pkt_set_qr(packet, true);
  ldns_pkt_set_tc(packet, truncated);
  ldns_pkt_set_rcode(packet, static_cast<uint8_t>(code));
  for (const std::string& text : records) {
    ldns_rr* record = nullptr;
    CHECK(ldns_rr_new_frm_str(&record, text.c_str(), 0, nullptr, nullptr) == LDNS_STATUS_OK)
        << text;
    ldns_pkt_push_rr(
        packet,
        ldns_rr_get_type(record) == LDNS_RR_TYPE_SOA ? LDNS_SECTION_AUTHORITY : LDNS_SECTION_ANSWER,
        record);
  }
  std::string wire = ToBytes(packet);
  ldns_pkt_free(packet);
  return wire;
}

WatchId WatchingSimLoop::WatchReadable(int fd, Task0 ready) {
  watches_.emplace(++last_watch_, Watched{fd, std::move(ready)});
  return last_watch_;
}

bool WatchingSimLoop::PumpOnce(int timeout_ms, int fd) {
  RunUntilIdle();
  std::vector<pollfd> fds;
  std::vector<WatchId> ids;
  for (const auto& [id, watched] : watches_) {
    fds.push_back({watched.fd, POLLIN, 0});
    ids.push_back(id);
  }
  fds.push_back({fd, POLLIN, 0});  // none when negative
  if (poll(fds.data(), fds.size(), timeout_ms) <= 0) return false;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (fds[i].revents == 0) continue;
    auto node = watches_.extract(ids[i]);
    if (!node.empty()) node.mapped().ready();
  }
  RunUntilIdle();
  return true;
}

bool WatchingSimLoop::Pump(const std::function<bool()>& done, int fd) {
  while (!done()) {
    if (!PumpOnce(5000, fd)) return done();
  }
  return true;
}

void WatchingSimLoop::PumpAll() {
  while (PumpOnce(0)) {
  }
}

}  // namespace swarm::agent
