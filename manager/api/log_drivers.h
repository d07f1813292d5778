// What log drivers mean to the manager: which are accepted, which can be read by `service logs`,
// and what their messages carry. Pure; any thread.
#ifndef SWARM_MANAGER_API_LOG_DRIVERS_H_
#define SWARM_MANAGER_API_LOG_DRIVERS_H_

#include <map>
#include <string>

#include "absl/status/status.h"
#include "swarm/v1/types.pb.h"

namespace swarm::manager {

// InvalidArgument "task.log_driver.options.max-sise: …". No driver at all is fine.
absl::Status ValidateLogDriver(const v1::TaskSpec& task);

// Empty when `service logs` can read what such a task prints; else why not and where it is, in the
// user's words.
std::string WhyUnreadable(const v1::TaskSpec& task);

// The labels and variables of the spec that the driver's options `labels` and `env` name, and its
// tag when one is set.
std::map<std::string, std::string> LogAttributes(const v1::TaskSpec& task);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_LOG_DRIVERS_H_
