#include "cli/output/event_filter.h"

#include <algorithm>

#include "cli/output/events.h"
#include "common/stack_label.h"

namespace swarm::cli {
namespace {

bool Names(const std::vector<std::string>& wanted, const std::string& id, const std::string& name) {
  return std::any_of(wanted.begin(), wanted.end(), [&](const std::string& one) {
    return (!name.empty() && one == name) || (!one.empty() && id.starts_with(one));
  });
}

bool IsOfStack(const std::vector<std::string>& wanted, const std::string& stack) {
  return std::find(wanted.begin(), wanted.end(), stack) != wanted.end();
}

template <typename Spec>
bool HasStack(const std::vector<std::string>& wanted, const Spec& spec) {
  const auto label = spec.labels().find(kNamespaceLabel);
  return label != spec.labels().end() && IsOfStack(wanted, label->second);
}

bool FitsStack(const std::vector<std::string>& wanted, const v1::WatchEvent& event) {
  if (event.has_service()) return HasStack(wanted, event.service().spec());
  if (event.has_network()) return HasStack(wanted, event.network().spec());
  if (event.has_secret()) return HasStack(wanted, event.secret().spec());
  if (event.has_config()) return HasStack(wanted, event.config().spec());
  if (event.has_volume()) return HasStack(wanted, event.volume().spec());
  if (!event.has_task()) return false;
  // A task knows its service's name alone, which begins with the stack's.
  return std::any_of(wanted.begin(), wanted.end(), [&](const std::string& stack) {
    return event.task().service_name().starts_with(stack + "_");
  });
}

}  // namespace

bool EventFilter::Fits(const v1::WatchEvent& event) const {
  if (!types.empty() && !types.contains(EventType(event))) return false;
  if (!actions.empty() && !actions.contains(EventAction(event))) return false;
  if (!services.empty()) {
    const bool fits = event.has_service()
                          ? Names(services, event.service().id(), event.service().spec().name())
                          : event.has_task() && Names(services, event.task().service_id(),
                                                      event.task().service_name());
    if (!fits) return false;
  }
  if (!nodes.empty()) {
    const std::string id = event.has_node()   ? event.node().id()
                           : event.has_task() ? event.task().node_id()
                                              : "";
    const auto known = node_names.find(id);
    const std::string name = event.has_node()            ? event.node().description().hostname()
                             : known == node_names.end() ? ""
                                                         : known->second;
    if (id.empty() || !Names(nodes, id, name)) return false;
  }
  if (!networks.empty()) {
    const bool fits =
        event.has_network() && Names(networks, event.network().id(), event.network().spec().name());
    if (!fits) return false;
  }
  return stacks.empty() || FitsStack(stacks, event);
}

}  // namespace swarm::cli
