// The templates that Docker expands in env and hostname: {{.Service.ID}}, {{.Service.Name}},
// {{.Service.Labels}}, {{index .Service.Labels "key"}}, {{.Node.ID}}, {{.Node.Hostname}},
// {{.Node.Platform.Architecture}}, {{.Node.Platform.OS}}, {{.Task.ID}}, {{.Task.Name}},
// {{.Task.Slot}}.
#ifndef SWARM_AGENT_RUNTIME_TEMPLATES_H_
#define SWARM_AGENT_RUNTIME_TEMPLATES_H_

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace swarm::agent {

struct TemplateValues {
  std::map<std::string, std::string> fields;  // ".Service.ID" to its value
  std::map<std::string, std::string> service_labels;
};

// InvalidArgument: an action that is not closed or not known.
absl::StatusOr<std::string> ExpandTemplate(absl::string_view text, const TemplateValues& values);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_RUNTIME_TEMPLATES_H_
