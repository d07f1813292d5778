// The part of validation that is about how a service is reached: its networks, aliases, published
// ports, and what its containers know of names. Every refusal names the field and says what to
// write instead.
#ifndef SWARM_MANAGER_API_ENDPOINT_VALIDATION_H_
#define SWARM_MANAGER_API_ENDPOINT_VALIDATION_H_

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "manager/store/store.h"
#include "swarm/v1/types.pb.h"

namespace swarm::manager {

// "task.networks", "endpoint". Pure; any thread.
absl::Status ValidateReach(const v1::ServiceSpec& spec);
// "task.container.hosts", ".dns". Pure; any thread.
absl::Status ValidateNames(const v1::ContainerSpec& spec);

// What needs the store, loop thread: networks that exist, ports that no other service than `self`
// (zero: a new one) publishes. InvalidArgument with the path; it names the other service.
absl::Status CheckReach(const View& view, const v1::ServiceSpec& spec, Id self);
// Its part about ports, for a service that is only planned: one that `gives_way` is none in the
// way. Loop thread.
absl::Status CheckPublishedPorts(const View& view, const v1::EndpointSpec& endpoint,
                                 absl::FunctionRef<bool(const Service&)> gives_way);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_ENDPOINT_VALIDATION_H_
