#include "agent/dns/message.h"

#include <ldns/ldns.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/check.h"

namespace swarm::agent {
namespace {

constexpr uint16_t kOurUdpSize = 1232;  // what passes every link unbroken (DNS flag day 2020)
constexpr size_t kMaxUdpSize = 65000;
constexpr int kMaxQueryRecords = 16;  // beside the question: EDNS, a signature
constexpr int kBadVersion = 16;
constexpr size_t kHeader = LDNS_HEADER_SIZE;

struct Free {
  void operator()(ldns_pkt* packet) const { ldns_pkt_free(packet); }
  void operator()(ldns_rr* record) const { ldns_rr_free(record); }
  void operator()(ldns_rdf* name) const { ldns_rdf_deep_free(name); }
  void operator()(char* text) const { std::free(text); }
  void operator()(uint8_t* bytes) const { std::free(bytes); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

const uint8_t* Bytes(absl::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}
uint8_t* Bytes(std::string& text) { return reinterpret_cast<uint8_t*>(text.data()); }

void SetCount(std::string& wire, size_t offset, size_t count) {
  ldns_write_uint16(Bytes(wire) + offset, static_cast<uint16_t>(count));
}

// Reads one record, or the question, at `at` and moves it. Null when the bytes are none.
Owned<ldns_rr> ReadRecord(absl::string_view wire, size_t& at, ldns_pkt_section section) {
  ldns_rr* record = nullptr;
  if (ldns_wire2rr(&record, Bytes(wire), wire.size(), &at, section) != LDNS_STATUS_OK) {
    return nullptr;
  }
  return Owned<ldns_rr>(record);
}

// Where the name at `at` ends; nothing when it is none.
std::optional<size_t> BehindName(absl::string_view wire, size_t at) {
  ldns_rdf* name = nullptr;
  if (ldns_wire2dname(&name, Bytes(wire), wire.size(), &at) != LDNS_STATUS_OK) return std::nullopt;
  ldns_rdf_deep_free(name);
  return at;
}

struct ReadQuestionResult {
  DnsQuestion question;
  uint16_t record_class = 0;
  size_t end = 0;
};

// The one question, behind the header. Its name stands there in full: what follows is copied.
std::optional<ReadQuestionResult> ReadQuestion(absl::string_view wire) {
  ReadQuestionResult result;
  result.end = kHeader;
  const Owned<ldns_rr> record = ReadRecord(wire, result.end, LDNS_SECTION_QUESTION);
  if (record == nullptr) return std::nullopt;
  const ldns_rdf* owner = ldns_rr_owner(record.get());
  if (result.end - kHeader != ldns_rdf_size(owner) + 4) return std::nullopt;
  const Owned<char> text(ldns_rdf2str(owner));
  if (text == nullptr) return std::nullopt;
  result.question.name =
      absl::AsciiStrToLower(absl::StripSuffix(absl::string_view(text.get()), "."));
  result.question.labels = ldns_dname_label_count(owner);
  result.question.type = static_cast<uint16_t>(ldns_rr_get_type(record.get()));
  result.record_class = static_cast<uint16_t>(ldns_rr_get_class(record.get()));
  return result;
}

// A header alone, or with the question.
std::string Refusal(absl::string_view query, DnsCode code, absl::string_view question) {
  std::string wire(kHeader, '\0');
  std::copy_n(query.begin(), 2, wire.begin());
  uint8_t* bytes = Bytes(wire);
  LDNS_QR_SET(bytes);
  LDNS_OPCODE_SET(bytes, LDNS_OPCODE_WIRE(Bytes(query)));
  if (LDNS_RD_WIRE(Bytes(query))) LDNS_RD_SET(bytes);
  LDNS_RA_SET(bytes);
  LDNS_RCODE_SET(bytes, static_cast<uint8_t>(code));
  if (!question.empty()) SetCount(wire, LDNS_QDCOUNT_OFF, 1);
  return absl::StrCat(wire, question);
}

// A packet with the header and the question of the answer.
Owned<ldns_pkt> BeginPacket(const DnsQuery& query, uint16_t id) {
  Owned<ldns_pkt> packet(ldns_pkt_new());
  CHECK(packet != nullptr) << "out of memory";
  ldns_pkt_set_id(packet.get(), id);
  ldns_pkt_set_rd(packet.get(), query.recursion_desired);
  ldns_pkt_set_cd(packet.get(), query.checking_disabled);
  size_t at = 0;
  Owned<ldns_rr> question = ReadRecord(query.question_wire, at, LDNS_SECTION_QUESTION);
  CHECK(question != nullptr) << "a question that was read once";
  CHECK(ldns_pkt_push_rr(packet.get(), LDNS_SECTION_QUESTION, question.release()));
  if (query.edns) {
    ldns_pkt_set_edns_udp_size(packet.get(), kOurUdpSize);
    ldns_pkt_set_edns_do(packet.get(), query.dnssec_ok);
  }
  return packet;
}

Owned<ldns_pkt> BeginAnswer(const DnsQuery& query, int code) {
  Owned<ldns_pkt> packet = BeginPacket(query, query.id);
  ldns_pkt_set_qr(packet.get(), true);
  ldns_pkt_set_ra(packet.get(), true);
  ldns_pkt_set_rcode(packet.get(), static_cast<uint8_t>(code & 15));
  if (code > 15) ldns_pkt_set_edns_extended_rcode(packet.get(), static_cast<uint8_t>(code >> 4));
  return packet;
}

std::string ToWire(const ldns_pkt* packet) {
  uint8_t* bytes = nullptr;
  size_t size = 0;
  const ldns_status status = ldns_pkt2wire(&bytes, packet, &size);
  const Owned<uint8_t> owned(bytes);
  CHECK(status == LDNS_STATUS_OK) << ldns_get_errorstr_by_id(status);
  return std::string(reinterpret_cast<const char*>(bytes), size);
}

void PushAddress(ldns_pkt* packet, const IpAddress& address) {
  ldns_rr* record = ldns_rr_new();
  ldns_rr_set_owner(record,
                    ldns_rdf_clone(ldns_rr_owner(ldns_rr_list_rr(ldns_pkt_question(packet), 0))));
  ldns_rr_set_type(record, address.is_v4() ? LDNS_RR_TYPE_A : LDNS_RR_TYPE_AAAA);
  ldns_rr_set_class(record, LDNS_RR_CLASS_IN);
  ldns_rr_set_ttl(record, 0);
  const std::string packed = address.ToBytes();
  ldns_rr_push_rdf(record,
                   ldns_rdf_new_frm_data(address.is_v4() ? LDNS_RDF_TYPE_A : LDNS_RDF_TYPE_AAAA,
                                         packed.size(), packed.data()));
  CHECK(ldns_pkt_push_rr(packet, LDNS_SECTION_ANSWER, record));
}

// False when the name is none that DNS can carry.
bool PushPointer(ldns_pkt* packet, const std::string& name) {
  Owned<ldns_rdf> target(ldns_dname_new_frm_str(name.c_str()));
  if (target == nullptr) return false;
  ldns_rr* record = ldns_rr_new();
  ldns_rr_set_owner(record,
                    ldns_rdf_clone(ldns_rr_owner(ldns_rr_list_rr(ldns_pkt_question(packet), 0))));
  ldns_rr_set_type(record, LDNS_RR_TYPE_PTR);
  ldns_rr_set_class(record, LDNS_RR_CLASS_IN);
  ldns_rr_set_ttl(record, 0);
  ldns_rr_push_rdf(record, target.release());
  CHECK(ldns_pkt_push_rr(packet, LDNS_SECTION_ANSWER, record));
  return true;
}

// The least time that a zone wants its silence to be kept (RFC 2308).
absl::Duration NegativeLifetime(absl::string_view wire, size_t soa_at) {
  const Owned<ldns_rr> soa = ReadRecord(wire, soa_at, LDNS_SECTION_AUTHORITY);
  if (soa == nullptr || ldns_rr_rd_count(soa.get()) != 7) return absl::ZeroDuration();
  const uint32_t least = ldns_rdf2native_int32(ldns_rr_rdf(soa.get(), 6));
  return absl::Seconds(std::min(least, ldns_rr_ttl(soa.get())));
}

// The records behind the question, and where they end; false when the bytes are none. What is in
// them is between the client and the server.
bool ReadRecords(absl::string_view wire, size_t& at, DnsResponse& out) {
  constexpr size_t kFixed = 10;  // type, class, TTL, length
  const size_t counts[] = {LDNS_ANCOUNT(Bytes(wire)), LDNS_NSCOUNT(Bytes(wire)),
                           LDNS_ARCOUNT(Bytes(wire))};
  for (size_t section = 0; section < 3; ++section) {
    for (size_t i = 0; i < counts[section]; ++i) {
      const std::optional<size_t> fixed = BehindName(wire, at);
      if (!fixed || wire.size() - *fixed < kFixed) return false;
      const uint8_t* bytes = Bytes(wire) + *fixed;
      const size_t end = *fixed + kFixed + ldns_read_uint16(bytes + 8);
      if (end > wire.size()) return false;
      out.records.push_back({.section = static_cast<DnsResponse::Section>(section),
                             .type = ldns_read_uint16(bytes),
                             .begin = at,
                             .ttl_at = *fixed + 4,
                             .end = end});
      at = end;
    }
  }
  return true;
}

uint32_t TtlAt(absl::string_view wire, size_t at) { return ldns_read_uint32(Bytes(wire) + at); }

absl::Duration LifetimeOf(const DnsResponse& response) {
  using Section = DnsResponse::Section;
  if (response.truncated) return absl::ZeroDuration();
  absl::Duration answer = absl::InfiniteDuration();
  absl::Duration silence;
  for (const DnsResponse::Record& record : response.records) {
    if (record.section == Section::kAnswer) {
      answer = std::min(answer, absl::Seconds(TtlAt(response.wire, record.ttl_at)));
    } else if (record.section == Section::kAuthority && record.type == dns_type::kSoa) {
      silence = NegativeLifetime(response.wire, record.begin);
    }
  }
  if (response.code == static_cast<int>(DnsCode::kNoSuchName)) return std::min(answer, silence);
  if (response.code != static_cast<int>(DnsCode::kNoError)) return absl::ZeroDuration();
  return answer == absl::InfiniteDuration() ? silence : answer;
}

struct CutAnswer {
  std::string wire;
  size_t records = 0;  // the first so many are in it, where they were
};

// As many whole records, from the front, as fit beside EDNS.
CutAnswer Cut(const DnsResponse& response, size_t question_end, bool edns, size_t limit) {
  using Section = DnsResponse::Section;
  std::string opt;
  size_t end = question_end;
  size_t counts[3] = {0, 0, 0};
  bool cut = false;
  for (const DnsResponse::Record& record : response.records) {
    if (record.type != dns_type::kOpt || !edns || record.ttl_at != record.begin + 5) continue;
    // Without its options, which may be long.
    opt = absl::StrCat(absl::string_view(response.wire).substr(record.begin, 9),
                       absl::string_view("\0\0", 2));
  }
  for (const DnsResponse::Record& record : response.records) {
    // Records are not moved, because names point into them: EDNS goes to the end.
    if (record.type == dns_type::kOpt) break;
    if (record.end + opt.size() > limit) {
      cut = record.section != Section::kAdditional;
      break;
    }
    end = record.end;
    ++counts[static_cast<size_t>(record.section)];
  }
  std::string wire = absl::StrCat(absl::string_view(response.wire).substr(0, end), opt);
  SetCount(wire, LDNS_ANCOUNT_OFF, counts[0]);
  SetCount(wire, LDNS_NSCOUNT_OFF, counts[1]);
  SetCount(wire, LDNS_ARCOUNT_OFF, counts[2] + (opt.empty() ? 0 : 1));
  if (cut) LDNS_TC_SET(Bytes(wire));
  return {std::move(wire), counts[0] + counts[1] + counts[2]};
}

bool HasOpt(const DnsResponse& response) {
  return std::any_of(response.records.begin(), response.records.end(),
                     [](const auto& record) { return record.type == dns_type::kOpt; });
}

// What is behind the question of a query: EDNS, and what is not looked at. The code to refuse with.
int ReadQueryRecords(absl::string_view bytes, size_t at, DnsQuery& query) {
  constexpr int kBad = static_cast<int>(DnsCode::kFormatError);
  const int count = LDNS_ARCOUNT(Bytes(bytes));
  if (LDNS_ANCOUNT(Bytes(bytes)) != 0 || LDNS_NSCOUNT(Bytes(bytes)) != 0) return kBad;
  if (count > kMaxQueryRecords) return kBad;
  int version = 0;
  for (int i = 0; i < count; ++i) {
    const Owned<ldns_rr> record = ReadRecord(bytes, at, LDNS_SECTION_ADDITIONAL);
    if (record == nullptr) return kBad;
    if (ldns_rr_get_type(record.get()) != dns_type::kOpt) continue;
    if (query.edns || ldns_dname_label_count(ldns_rr_owner(record.get())) != 0) return kBad;
    const uint32_t ttl = ldns_rr_ttl(record.get());  // extended code, version, DO
    query.edns = true;
    query.udp_size = std::clamp<size_t>(ldns_rr_get_class(record.get()), 512, kMaxUdpSize);
    query.dnssec_ok = (ttl & 0x8000) != 0;
    version = static_cast<int>((ttl >> 16) & 0xff);
  }
  if (at != bytes.size()) return kBad;
  return version == 0 ? 0 : kBadVersion;
}

}  // namespace

ParsedQuery ParseQuery(absl::string_view bytes) {
  if (bytes.size() < kHeader || LDNS_QR_WIRE(Bytes(bytes))) return {};
  const auto refuse = [&](DnsCode code, absl::string_view question = "") {
    return ParsedQuery{.refusal = Refusal(bytes, code, question)};
  };
  if (LDNS_OPCODE_WIRE(Bytes(bytes)) != LDNS_PACKET_QUERY) return refuse(DnsCode::kNotImplemented);
  if (LDNS_QDCOUNT(Bytes(bytes)) != 1) return refuse(DnsCode::kFormatError);
  std::optional<ReadQuestionResult> read = ReadQuestion(bytes);
  if (!read) return refuse(DnsCode::kFormatError);

  DnsQuery query;
  query.id = LDNS_ID_WIRE(Bytes(bytes));
  query.recursion_desired = LDNS_RD_WIRE(Bytes(bytes)) != 0;
  query.authentic_data = LDNS_AD_WIRE(Bytes(bytes)) != 0;
  query.checking_disabled = LDNS_CD_WIRE(Bytes(bytes)) != 0;
  query.question = std::move(read->question);
  query.question_wire = std::string(bytes.substr(kHeader, read->end - kHeader));
  const int code = ReadQueryRecords(bytes, read->end, query);
  if (code == kBadVersion) return {.refusal = ToWire(BeginAnswer(query, code).get())};
  if (code != 0) return refuse(DnsCode::kFormatError);
  // 249 to 254: keys, signatures, transfers of zones.
  const bool transfer =
      query.question.type >= LDNS_RR_TYPE_TKEY && query.question.type < LDNS_RR_TYPE_ANY;
  if (read->record_class != LDNS_RR_CLASS_IN || transfer) {
    return refuse(DnsCode::kRefused, query.question_wire);
  }
  return {.query = std::move(query)};
}

std::string BuildAnswer(const DnsQuery& query, DnsCode code, const NameAnswer& answer,
                        size_t limit) {
  const Owned<ldns_pkt> packet = BeginAnswer(query, static_cast<int>(code));
  // One more than can fit is enough to know that they do not.
  constexpr size_t kLeastRecord = 16;
  const size_t count = std::min(answer.addresses.size(), limit / kLeastRecord + 1);
  for (size_t i = 0; i < count; ++i) PushAddress(packet.get(), answer.addresses[i]);
  if (!answer.pointer.empty() && !PushPointer(packet.get(), answer.pointer)) {
    return BuildError(query, DnsCode::kServerFailure);
  }
  DnsResponse response{.wire = ToWire(packet.get())};
  if (response.wire.size() <= limit) return std::move(response.wire);
  const size_t question_end = kHeader + query.question_wire.size();
  size_t at = question_end;
  CHECK(ReadRecords(response.wire, at, response)) << "our own bytes";
  return Cut(response, question_end, query.edns, limit).wire;
}

std::string BuildError(const DnsQuery& query, DnsCode code) {
  return ToWire(BeginAnswer(query, static_cast<int>(code)).get());
}

std::string BuildUpstreamQuery(const DnsQuery& query, uint16_t id) {
  const Owned<ldns_pkt> packet = BeginPacket(query, id);
  ldns_pkt_set_rd(packet.get(), true);
  ldns_pkt_set_ad(packet.get(), query.authentic_data);
  return ToWire(packet.get());
}

absl::StatusOr<DnsResponse> ParseResponse(std::string bytes, const DnsQuery& query) {
  if (bytes.size() < kHeader || !LDNS_QR_WIRE(Bytes(bytes))) {
    return absl::InvalidArgumentError("no answer");
  }
  const std::optional<ReadQuestionResult> read =
      LDNS_QDCOUNT(Bytes(bytes)) == 1 ? ReadQuestion(bytes) : std::nullopt;
  if (!read || read->question.name != query.question.name ||
      read->question.type != query.question.type || read->record_class != LDNS_RR_CLASS_IN) {
    return absl::InvalidArgumentError("an answer to another question");
  }
  DnsResponse response;
  response.id = LDNS_ID_WIRE(Bytes(bytes));
  response.code = LDNS_RCODE_WIRE(Bytes(bytes));
  response.truncated = LDNS_TC_WIRE(Bytes(bytes)) != 0;
  size_t end = read->end;
  if (response.truncated) {  // the last record may be half of one, and all come again by TCP
    for (const int count : {LDNS_ANCOUNT_OFF, LDNS_NSCOUNT_OFF, LDNS_ARCOUNT_OFF}) {
      SetCount(bytes, static_cast<size_t>(count), 0);
    }
  } else if (!ReadRecords(bytes, end, response)) {
    return absl::InvalidArgumentError("records that are none");
  }
  bytes.resize(end);
  response.wire = std::move(bytes);
  response.lifetime = LifetimeOf(response);
  return response;
}

std::string AnswerFromResponse(const DnsResponse& response, const DnsQuery& query,
                               absl::Duration age, size_t limit) {
  const size_t question_end = kHeader + query.question_wire.size();
  CutAnswer cut = response.wire.size() > limit || HasOpt(response) != query.edns
                      ? Cut(response, question_end, query.edns, limit)
                      : CutAnswer{response.wire, response.records.size()};
  std::string wire = std::move(cut.wire);
  ldns_write_uint16(Bytes(wire), query.id);
  LDNS_RA_SET(Bytes(wire));
  if (query.recursion_desired) {
    LDNS_RD_SET(Bytes(wire));
  } else {
    LDNS_RD_CLR(Bytes(wire));
  }
  query.question_wire.copy(wire.data() + kHeader, query.question_wire.size());
  const uint32_t seconds = static_cast<uint32_t>(absl::ToInt64Seconds(age));
  for (size_t i = 0; i < cut.records; ++i) {
    const DnsResponse::Record& record = response.records[i];
    if (record.type == dns_type::kOpt) continue;  // its TTL is none
    const uint32_t ttl = TtlAt(wire, record.ttl_at);
    ldns_write_uint32(Bytes(wire) + record.ttl_at, ttl - std::min(ttl, seconds));
  }
  return wire;
}

}  // namespace swarm::agent
