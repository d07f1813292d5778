#include "agent/doctor/words.h"

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"

namespace swarm::agent {
namespace {

// The first that `find` knows a word for.
template <typename Records, typename Find>
std::string NameOr(const std::string& otherwise, const Records& records, Find find) {
  for (const auto& [key, record] : records) {
    const std::string found = find(record);
    if (!found.empty()) return found;
  }
  return otherwise;
}

}  // namespace

std::string Named::Text() const {
  std::string text = absl::StrJoin(words_, ", ");
  if (size_ > words_.size()) absl::StrAppend(&text, " and ", size_ - words_.size(), " more");
  return text;
}

std::string Some(const std::vector<std::string>& all) {
  Named named;
  for (const std::string& one : all) {
    named.Add([&] { return one; });
  }
  return named.Text();
}

std::string Count(size_t n, const char* one, const char* many) {
  return absl::StrCat(n, " ", n == 1 ? one : many);
}

std::string ServiceName(const NetworkState& state, const std::string& service_id) {
  return NameOr(service_id, state.services, [&](const NetworkService& service) {
    return service.service_id == service_id ? service.name : std::string();
  });
}

std::string UnderlayAddress(const NetworkState& state, const std::string& node_id) {
  return NameOr("", state.peers, [&](const NetworkPeer& peer) {
    return peer.node_id == node_id ? peer.underlay.ToString() : std::string();
  });
}

std::string ShortName(const NetworkState& state, const std::string& task_id) {
  std::string name = NameOr(task_id, state.tasks, [&](const NetworkTask& task) {
    return task.task_id == task_id ? task.name : std::string();
  });
  const std::string end = absl::StrCat(".", task_id);
  if (absl::EndsWith(name, end)) name.resize(name.size() - end.size());
  return name;
}

std::string NetworkName(const NetworkState& state, const std::string& network_id) {
  const auto found = state.networks.find(network_id);
  return found == state.networks.end() || found->second.name.empty() ? network_id
                                                                     : found->second.name;
}

}  // namespace swarm::agent
