// Finding what a `ref` of the API means: an id, a name, or a unique prefix of an id, in this order.
//
//   ASSIGN_OR_RETURN(Ref<Service> service, FindService(store.view(), request.ref()));
//
// Loop thread. NotFound: "service \"web\" not found"; InvalidArgument when the ref is empty or a
// prefix fits several ("prefix \"ab\" is ambiguous: 3 services"). And whether what an update has
// read of it is still true.
#ifndef SWARM_MANAGER_API_LOOKUP_H_
#define SWARM_MANAGER_API_LOOKUP_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "manager/store/store.h"

namespace swarm::manager {

// Also finds services that are being removed.
absl::StatusOr<Ref<Service>> FindService(const View& view, std::string_view ref);
// Aborted when who read `version` of the service does not know what it asks for now.
absl::Status CheckVersionRead(const Service& service, uint64_t version);
// Not the predefined ones, which the store does not have.
absl::StatusOr<Ref<Network>> FindNetwork(const View& view, std::string_view ref);
absl::StatusOr<Ref<Secret>> FindSecret(const View& view, std::string_view ref);
absl::StatusOr<Ref<Config>> FindConfig(const View& view, std::string_view ref);
// Only those that were created.
absl::StatusOr<Ref<Volume>> FindVolume(const View& view, std::string_view ref);
// The name of a node is its host name; when several have it, that is ambiguous.
absl::StatusOr<Ref<Node>> FindNode(const View& view, std::string_view ref);
// For people: its host name, else its id.
const std::string& NodeName(const Node& node);
std::string NodeName(const View& view, Id id);
// "web.3" (the newest task of that slot) and "web.3.<id>" are a task's names.
absl::StatusOr<Ref<Task>> FindTask(const View& view, std::string_view ref);

// All that are wanted are there and equal; an empty value matches any.
bool LabelsFit(const google::protobuf::Map<std::string, std::string>& wanted,
               const google::protobuf::Map<std::string, std::string>& labels);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_LOOKUP_H_
