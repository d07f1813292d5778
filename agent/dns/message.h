// DNS messages: bytes that a container or a server sent, as values; values as bytes. By ldns.
//
//   ParsedQuery parsed = ParseQuery(datagram);
//   if (!parsed.query) return Send(parsed.refusal);          // may be empty: say nothing
//   Send(BuildAnswer(*parsed.query, DnsCode::kNoError, answer, parsed.query->udp_size));
//
// Pure; any thread. Bytes may be anything: they are refused, never trusted.
#ifndef SWARM_AGENT_DNS_MESSAGE_H_
#define SWARM_AGENT_DNS_MESSAGE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "agent/dns/names.h"
#include "agent/dns/question.h"

namespace swarm::agent {

inline constexpr size_t kMaxTcpMessage = 65535;

struct DnsQuery {
  uint16_t id = 0;
  bool recursion_desired = false;
  bool authentic_data = false;
  bool checking_disabled = false;
  DnsQuestion question;
  std::string question_wire;  // as it was asked, upper and lower case kept
  bool edns = false;
  bool dnssec_ok = false;
  size_t udp_size = 512;  // what the client takes by UDP: 512 to 65000
};

struct ParsedQuery {
  std::optional<DnsQuery> query;
  std::string refusal;  // when there is no query
};

// Nothing at all to say to what is shorter than a header or is itself an answer. FORMERR: bytes
// that are no message, more or fewer questions than one, records where a query has none. NOTIMP:
// another opcode. REFUSED: another class than IN, transfers of zones. BADVERS: EDNS after version
// 0.
ParsedQuery ParseQuery(absl::string_view bytes);

// Answers of this node itself live 0 s: nobody may keep what changes at any moment. What is longer
// than `limit` bytes is cut between two records, and says so (TC).
std::string BuildAnswer(const DnsQuery& query, DnsCode code, const NameAnswer& answer,
                        size_t limit);
std::string BuildError(const DnsQuery& query, DnsCode code);

// The same question for a server: with EDNS when the client had it, and its DO, AD and CD; options
// are between two neighbours and stay here.
std::string BuildUpstreamQuery(const DnsQuery& query, uint16_t id);

// What a server said, checked whole.
struct DnsResponse {
  enum class Section : uint8_t { kAnswer, kAuthority, kAdditional };
  struct Record {
    Section section = Section::kAnswer;
    uint16_t type = 0;
    size_t begin = 0;   // in `wire`
    size_t ttl_at = 0;  // 4 bytes
    size_t end = 0;
  };
  std::string wire;
  std::vector<Record> records;
  uint16_t id = 0;
  int code = 0;
  bool truncated = false;
  // How long it may be kept: the least of its answer's records; without an answer what the zone
  // says about that (RFC 2308). Zero: not at all.
  absl::Duration lifetime;
};

// InvalidArgument when it is no answer to exactly this question.
absl::StatusOr<DnsResponse> ParseResponse(std::string bytes, const DnsQuery& query);

// For a client that asked `query`: its id, its spelling, TTLs less `age`, cut as BuildAnswer does.
std::string AnswerFromResponse(const DnsResponse& response, const DnsQuery& query,
                               absl::Duration age, size_t limit);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_DNS_MESSAGE_H_
