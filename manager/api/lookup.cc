#include "manager/api/lookup.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "common/strings.h"

namespace swarm::manager {
namespace {

constexpr size_t kIdLength = 25;
constexpr size_t kMaxRefLength = 256;

absl::Status CheckRef(std::string_view ref, std::string_view kind) {
  if (ref.empty()) return absl::InvalidArgumentError(StrCat("ref: the ", kind, "'s is empty"));
  if (ref.size() > kMaxRefLength) return absl::InvalidArgumentError("ref: is too long");
  return absl::OkStatus();
}

absl::Status NotFound(std::string_view kind, std::string_view ref) {
  return absl::NotFoundError(StrCat(kind, " \"", absl::CEscape(ToAbsl(ref)), "\" not found"));
}

// The smallest id whose text begins with `prefix`; nullopt when none can.
std::optional<Id> FirstIdOf(std::string_view prefix) {
  std::string text(prefix);
  text.resize(kIdLength, '0');
  auto id = Id::Parse(text);
  if (prefix.size() > kIdLength || !id.ok()) return std::nullopt;
  return *id;
}

// `each(visit, first)` walks objects in id order from `first`.
template <typename T, typename Each>
absl::StatusOr<Ref<T>> FindByPrefix(std::string_view kind, std::string_view prefix, Each each,
                                    std::string (*id_of)(const T&)) {
  const std::optional<Id> first = FirstIdOf(prefix);
  if (!first.has_value()) return NotFound(kind, prefix);
  Ref<T> found;
  size_t count = 0;
  each(
      [&](const Ref<T>& object) {
        if (!absl::StartsWith(id_of(*object), ToAbsl(prefix))) return false;
        if (count++ == 0) found = object;
        return true;
      },
      *first);
  if (count == 1) return found;
  if (count == 0) return NotFound(kind, prefix);
  return absl::InvalidArgumentError(
      StrCat("prefix \"", prefix, "\" is ambiguous: ", count, " ", kind, "s"));
}

template <typename T>
absl::StatusOr<Ref<T>> FindNamed(const View& view, std::string_view kind, std::string_view ref,
                                 Ref<T> (View::*get)(Id) const,
                                 Ref<T> (View::*by_name)(std::string_view) const,
                                 void (View::*each)(absl::FunctionRef<bool(const Ref<T>&)>, Id)
                                     const) {
  if (absl::Status s = CheckRef(ref, kind); !s.ok()) return s;
  if (auto id = Id::Parse(ref); id.ok()) {
    if (Ref<T> found = (view.*get)(*id)) return found;
  }
  if (Ref<T> found = (view.*by_name)(ref)) return found;
  return FindByPrefix<T>(
      kind, ref, [&](auto visit, Id first) { (view.*each)(visit, first); },
      [](const T& object) { return object.id(); });
}

// "web.3" or "web.3.<id>", "" when it has no such shape.
Ref<Task> FindTaskByName(const View& view, std::string_view ref) {
  std::string_view rest = ref;
  std::string_view id;
  size_t dot = rest.rfind('.');
  if (dot != rest.npos && rest.size() - dot - 1 == kIdLength) {
    id = rest.substr(dot + 1);
    rest = rest.substr(0, dot);
    dot = rest.rfind('.');
  }
  uint32_t slot = 0;
  if (dot == rest.npos || !absl::SimpleAtoi(ToAbsl(rest.substr(dot + 1)), &slot)) return nullptr;
  const Ref<Service> service = view.GetServiceByName(rest.substr(0, dot));
  if (service == nullptr) return nullptr;
  Ref<Task> found;
  view.EachTaskOfSlot(Id::ParseOrZero(service->id()), slot, [&](const Ref<Task>& task) {
    if (!id.empty()) {
      if (task->id.ToString() == id) found = task;
    } else if (found == nullptr || std::pair(IsRunnable(*task), task->created_unix_ms) >
                                       std::pair(IsRunnable(*found), found->created_unix_ms)) {
      found = task;
    }
    return true;
  });
  return found;
}

}  // namespace

bool LabelsFit(const google::protobuf::Map<std::string, std::string>& wanted,
               const google::protobuf::Map<std::string, std::string>& labels) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const auto& label) {
    const auto it = labels.find(label.first);
    return it != labels.end() && (label.second.empty() || label.second == it->second);
  });
}

absl::StatusOr<Ref<Service>> FindService(const View& view, std::string_view ref) {
  return FindNamed<Service>(view, "service", ref, &View::GetService, &View::GetServiceByName,
                            &View::EachService);
}

absl::Status CheckVersionRead(const Service& service, uint64_t version) {
  if (version >= SpecVersion(service) && version <= service.meta().version()) {
    return absl::OkStatus();
  }
  if (version > service.meta().version()) {
    return absl::AbortedError(StrCat("service \"", service.spec().name(), "\" has version ",
                                     service.meta().version(), ", and never had ", version,
                                     "; read it again"));
  }
  return absl::AbortedError(StrCat("service \"", service.spec().name(),
                                   "\" was changed meanwhile: version ", SpecVersion(service),
                                   ", you read ", version, "; read it again"));
}

absl::StatusOr<Ref<Network>> FindNetwork(const View& view, std::string_view ref) {
  return FindNamed<Network>(view, "network", ref, &View::GetNetwork, &View::GetNetworkByName,
                            &View::EachNetwork);
}

absl::StatusOr<Ref<Secret>> FindSecret(const View& view, std::string_view ref) {
  return FindNamed<Secret>(view, "secret", ref, &View::GetSecret, &View::GetSecretByName,
                           &View::EachSecret);
}

absl::StatusOr<Ref<Config>> FindConfig(const View& view, std::string_view ref) {
  return FindNamed<Config>(view, "config", ref, &View::GetConfig, &View::GetConfigByName,
                           &View::EachConfig);
}

absl::StatusOr<Ref<Volume>> FindVolume(const View& view, std::string_view ref) {
  return FindNamed<Volume>(view, "volume", ref, &View::GetVolume, &View::GetVolumeByName,
                           &View::EachVolume);
}

absl::StatusOr<Ref<Node>> FindNode(const View& view, std::string_view ref) {
  if (absl::Status s = CheckRef(ref, "node"); !s.ok()) return s;
  if (auto id = Id::Parse(ref); id.ok()) {
    if (Ref<Node> node = view.GetNode(*id)) return node;
  }
  Ref<Node> found;
  size_t count = 0;
  view.EachNode([&](const Ref<Node>& node) {
    if (node->description().hostname() == ref && count++ == 0) found = node;
    return true;
  });
  if (count == 1) return found;
  if (count > 1) {
    return absl::InvalidArgumentError(StrCat("node \"", ref, "\" is ambiguous: ", count,
                                             " nodes have this host name; use an id"));
  }
  return FindByPrefix<Node>(
      "node", ref, [&](auto visit, Id first) { view.EachNode(visit, first); },
      [](const Node& n) { return n.id(); });
}

const std::string& NodeName(const Node& node) {
  const std::string& hostname = node.description().hostname();
  return hostname.empty() ? node.id() : hostname;
}

std::string NodeName(const View& view, Id id) {
  const Ref<Node> node = view.GetNode(id);
  return node == nullptr ? id.ToString() : NodeName(*node);
}

absl::StatusOr<Ref<Task>> FindTask(const View& view, std::string_view ref) {
  if (absl::Status s = CheckRef(ref, "task"); !s.ok()) return s;
  if (auto id = Id::Parse(ref); id.ok()) {
    if (Ref<Task> task = view.GetTask(*id)) return task;
  }
  if (Ref<Task> task = FindTaskByName(view, ref)) return task;
  return FindByPrefix<Task>(
      "task", ref, [&](auto visit, Id first) { view.EachTask(visit, first); },
      [](const Task& t) { return t.id.ToString(); });
}

}  // namespace swarm::manager
