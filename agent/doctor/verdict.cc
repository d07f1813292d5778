#include "agent/doctor/verdict.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "agent/doctor/words.h"

namespace swarm::agent {
namespace {

using Check = Finding::Check;
using Severity = Finding::Severity;
using absl::StrCat;

std::string Listed(const std::set<IpAddress>& addresses) {
  std::vector<std::string> texts;
  for (const IpAddress& address : addresses) texts.push_back(address.ToString());
  return texts.empty() ? "nothing" : Some(texts);
}

// What is wrong with an answer, in words; empty: nothing.
std::string WrongAnswer(const PlannedQuestion& question, const NameResult& result) {
  if (result.code != static_cast<int>(DnsCode::kNoError) &&
      result.code != static_cast<int>(DnsCode::kNoSuchName)) {
    return StrCat("is refused (DNS code ", result.code, ")");
  }
  if (result.cut || question.some) return "";
  if (result.addresses == question.wanted) return "";
  if (result.addresses.empty()) {
    return StrCat(result.code == static_cast<int>(DnsCode::kNoSuchName) ? "is said not to be there"
                                                                        : "gives no address",
                  "; the manager says ", Listed(question.wanted));
  }
  const bool stale = std::includes(result.addresses.begin(), result.addresses.end(),
                                   question.wanted.begin(), question.wanted.end());
  return StrCat("gives ", Listed(result.addresses), stale ? ", of which some are stale" : "",
                "; the manager says ", Listed(question.wanted));
}

Finding OfQuestion(const PlannedQuestion& question, Severity severity, std::string message) {
  return {.check = Check::kResolver,
          .severity = severity,
          .network_id = question.network_id,
          .service_id = question.service_id,
          .task_id = question.from_task,
          .message = std::move(message)};
}

}  // namespace

std::vector<Finding> JudgeNames(const ExaminationPlace& place,
                                const std::vector<PlannedQuestion>& questions,
                                const std::vector<NameResult>& results) {
  const NetworkState& state = place.state;
  std::vector<Finding> findings;
  struct Silent {
    const PlannedQuestion* first = nullptr;
    size_t count = 0;
  };
  std::map<std::string, Silent> silent;                 // by the task that asked
  std::map<std::string, size_t> right;                  // by network
  std::map<std::string, std::set<std::string>> askers;  // of those
  std::map<std::string, std::string> unasked;           // by the task: why
  for (size_t i = 0; i < questions.size(); ++i) {
    const PlannedQuestion& question = questions[i];
    const NameResult& result = results[i];
    if (!result.status.ok()) {
      if (unasked.emplace(question.from_task, std::string(result.status.message())).second) {
        findings.push_back(
            OfQuestion(question, Severity::kWarning,
                       StrCat("cannot ask from inside ", ShortName(state, question.from_task), ": ",
                              result.status.message())));
      }
      continue;
    }
    if (!result.answered) {
      Silent& one = silent[question.from_task];
      if (one.count++ == 0) one.first = &question;
      continue;
    }
    const std::string wrong = WrongAnswer(question, result);
    if (wrong.empty()) {
      ++right[question.network_id];
      askers[question.network_id].insert(question.from_task);
      continue;
    }
    findings.push_back(OfQuestion(question, Severity::kBroken,
                                  StrCat("in ", ShortName(state, question.from_task), " the name ",
                                         question.probe.question.name, " ", wrong)));
  }
  for (const auto& [task, one] : silent) {
    findings.push_back(OfQuestion(
        *one.first, Severity::kBroken,
        StrCat(
            "in ", ShortName(state, task), " the resolver 127.0.0.11 does not answer: asked for ",
            one.first->probe.question.name,
            one.count > 1 ? StrCat(" and ", Count(one.count - 1, "other name", "other names")) : "",
            ", twice; are rules of nftables changed in that container?")));
  }
  for (const auto& [network, count] : right) {
    findings.push_back({.check = Check::kResolver,
                        .network_id = network,
                        .message = StrCat(Count(count, "answer is", "answers are"), " right in ",
                                          Count(askers[network].size(), "task", "tasks"),
                                          " of network ", NetworkName(state, network))});
  }
  return findings;
}

std::vector<Finding> JudgeConnections(const ExaminationPlace& place,
                                      const std::vector<PlannedConnection>& connections,
                                      const std::vector<ConnectionResult>& results) {
  std::vector<Finding> findings;
  for (size_t i = 0; i < connections.size(); ++i) {
    const PlannedConnection& connection = connections[i];
    const ConnectionResult& result = results[i];
    const int failed = result.tried - result.connected;
    const std::string name = connection.task_id.empty()
                                 ? ServiceName(place.state, connection.service_id)
                                 : ShortName(place.state, connection.task_id);
    Finding finding{.check = Check::kPublishedPort,
                    .service_id = connection.service_id,
                    .task_id = connection.task_id};
    const std::string port = StrCat("port ", connection.probe.port, "/tcp");
    if (failed == 0) {
      finding.message = StrCat(port, " of ", name, " takes connections");
      findings.push_back(std::move(finding));
      continue;
    }
    finding.severity = Severity::kBroken;
    const std::string which = failed == result.tried
                                  ? "connections"
                                  : StrCat(failed, " of ", result.tried, " connections");
    if (result.refused > 0) {
      finding.message = StrCat(which, " to ", port, " are refused, though ",
                               Count(static_cast<size_t>(connection.serving), "task", "tasks"),
                               " of ", name, connection.serving == 1 ? " serves" : " serve",
                               ": does what runs there listen on port ", connection.target, "?");
    } else if (!result.error.empty()) {
      finding.message = StrCat(which, " to ", port, " of ", name, " fail: ", result.error);
    } else {
      finding.message = StrCat(which, " to ", port, " of ", name,
                               " get no answer: is there a firewall on this node or on those of "
                               "its tasks, or is a node cut off?");
    }
    findings.push_back(std::move(finding));
  }
  return findings;
}

}  // namespace swarm::agent
