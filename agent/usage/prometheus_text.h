// Reads the Prometheus text format as far as autoscaling needs it: the sum of a metric's samples
// over all its label sets. Pure; what it reads is a container's, so hostile.
#ifndef SWARM_AGENT_USAGE_PROMETHEUS_TEXT_H_
#define SWARM_AGENT_USAGE_PROMETHEUS_TEXT_H_

#include <map>
#include <set>
#include <string>

#include "absl/strings/string_view.h"

namespace swarm::agent {

// By name, those of `names` that `text` has. One with a sample that is not a finite number, or a
// line of which does not parse, is left out: half a sum would be worse than none. Lines of other
// metrics may be anything.
std::map<std::string, double> SumMetrics(absl::string_view text,
                                         const std::set<std::string>& names);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_USAGE_PROMETHEUS_TEXT_H_
