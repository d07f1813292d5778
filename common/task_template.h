// The templates that services may use, in the words of Docker's (Go's text/template): what is
// between {{ and }} is replaced for each task. Pure; any thread.
//
//   {{.Service.ID}} {{.Service.Name}} {{.Service.Labels}} {{index .Service.Labels "key"}}
//   {{.Node.ID}} {{.Node.Hostname}} {{.Node.Platform.Architecture}} {{.Node.Platform.OS}}
//   {{.Task.ID}} {{.Task.Name}} {{.Task.Slot}}
//   and in secrets and configs with the template driver "golang" also
//   {{secret "name"}} {{config "name"}} {{env "NAME"}}
//
// Also "{{- " and " -}}", which eat the white space beside them, comments {{/* … */}} and constants
// {{"text"}}. Branches, loops, variables and pipelines are refused by name. What is read of the
// cluster and of secrets is never read as a template again.
#ifndef SWARM_COMMON_TASK_TEMPLATE_H_
#define SWARM_COMMON_TASK_TEMPLATE_H_

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace swarm {

inline constexpr std::string_view kGolangTemplate = "golang";  // the one template driver

struct TemplateValues {
  std::map<std::string, std::string, std::less<>> fields;  // ".Service.ID" to its value
  std::map<std::string, std::string, std::less<>> service_labels;
  // Of secrets and configs alone; unset: these functions are not known here. What they give is
  // valid for the call.
  using Lookup = std::function<absl::StatusOr<std::string_view>(std::string_view name)>;
  Lookup secret;
  Lookup config;
  Lookup env;
};

enum class TemplatePlace { kSpec, kContent };

// An expanded text is at most this long: ResourceExhausted.
inline constexpr size_t kMostExpandedBytes = 2 << 20;

// InvalidArgument: an action that is not closed or not known; what a lookup says.
absl::StatusOr<std::string> ExpandTemplate(std::string_view text, const TemplateValues& values);

// Whether it would expand, wherever it comes to run: InvalidArgument.
absl::Status CheckTemplate(std::string_view text, TemplatePlace place);

}  // namespace swarm

#endif  // SWARM_COMMON_TASK_TEMPLATE_H_
