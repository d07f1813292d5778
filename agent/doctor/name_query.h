// Questions to the resolver of containers, asked in their namespaces, all of a round at the same
// time.
//
//   const std::vector<NameResult> results = AskNames(probes, {}, env);     // one for each probe
//
// As RunEchoes (echo.h): the thread is in each namespace for a moment only. A question without an
// answer is asked once more. Worker thread; needs CAP_SYS_ADMIN; leaves nothing behind.
#ifndef SWARM_AGENT_DOCTOR_NAME_QUERY_H_
#define SWARM_AGENT_DOCTOR_NAME_QUERY_H_

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agent/dns/question.h"
#include "agent/doctor/probe_env.h"
#include "common/ip_address.h"

namespace swarm::agent {

struct NameProbe {
  std::string space;  // path of the namespace that asks
  DnsQuestion question;
};

struct NameResult {
  absl::Status status;  // why it could not be asked
  bool answered = false;
  int code = 0;  // as RFC 1035 has them (DnsCode)
  std::set<IpAddress> addresses;
  bool cut = false;  // more of them than one datagram holds
};

struct NameOptions {
  IpAddress server;  // empty: 127.0.0.11
  uint16_t port = 53;
  absl::Duration patience = absl::Milliseconds(700);  // with each of the two attempts
};

std::vector<NameResult> AskNames(const std::vector<NameProbe>& probes, const NameOptions& options,
                                 const ProbeEnv& env);

// Of a name without odd characters, "tasks.web.front".
DnsQuestion QuestionFor(const std::string& name, uint16_t type);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_DOCTOR_NAME_QUERY_H_
