#include "agent/dns/forwarder.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"

namespace swarm::agent {
namespace {

// Everything that changes what a server says. A name has no tab in it.
std::string KeyOf(const DnsQuery& query, const UpstreamGroup& group) {
  const int flags = (query.edns ? 1 : 0) | (query.dnssec_ok ? 2 : 0) |
                    (query.checking_disabled ? 4 : 0) | (query.authentic_data ? 8 : 0);
  return absl::StrCat(query.question.name, "\t", query.question.type, "\t", flags, "\t",
                      group.scope);
}

bool IsFinal(const DnsResponse& response) {
  return response.code == static_cast<int>(DnsCode::kNoError) ||
         response.code == static_cast<int>(DnsCode::kNoSuchName);
}

}  // namespace

DnsForwarder::~DnsForwarder() {
  for (auto& [key, flight] : flights_) {
    transport_.End(flight->exchange);
    loop_.Cancel(flight->timer);
  }
}

void DnsForwarder::Ask(const DnsQuery& query, std::shared_ptr<UpstreamGroup> group, size_t limit,
                       Done done) {
  const std::string key = KeyOf(query, *group);
  if (const auto hit = cache_.Find(key, loop_.Now())) {
    return done(AnswerFromResponse(*hit->response, query, hit->age, limit));
  }
  const auto under_way = flights_.find(key);
  if (under_way != flights_.end()) {
    under_way->second->waiters.push_back({query, limit, std::move(done)});
    return;
  }
  if (group->servers.empty() || flights_.size() >= kMaxUnderWay) {
    return done(BuildError(query, DnsCode::kServerFailure));
  }
  auto flight = std::make_unique<Flight>();
  flight->query = query;
  flight->order = Order(*group);
  flight->group = std::move(group);
  flight->deadline = loop_.Now() + kTimeout;
  flight->waiters.push_back({query, limit, std::move(done)});
  flights_.emplace(key, std::move(flight));
  Try(key);
}

std::vector<size_t> DnsForwarder::Order(const UpstreamGroup& group) const {
  std::vector<size_t> order(group.servers.size());
  std::iota(order.begin(), order.end(), size_t{0});
  if (!group.silent_until.empty()) {
    const absl::Duration now = loop_.Now();
    std::stable_partition(order.begin(), order.end(),
                          [&](size_t i) { return group.silent_until[i] <= now; });
  }
  return order;
}

void DnsForwarder::Try(const std::string& key) {
  Flight& flight = *flights_.at(key);
  const Upstream& server = flight.group->servers[flight.order[flight.tries % flight.order.size()]];
  flight.id = static_cast<uint16_t>(random_.Next());
  flight.exchange = transport_.Begin(
      server, flight.group->netns.get(), flight.tcp, BuildUpstreamQuery(flight.query, flight.id),
      [this, key](absl::StatusOr<std::string> reply) { return OnReply(key, std::move(reply)); });
  const absl::Duration left = std::min(kTryTimeout, flight.deadline - loop_.Now());
  flight.timer = loop_.RunAfter(left, [this, key] { OnSilence(key); });
}

void DnsForwarder::TryNext(const std::string& key) {
  Flight& flight = *flights_.at(key);
  transport_.End(flight.exchange);
  loop_.Cancel(flight.timer);
  ++flight.tries;
  flight.tcp = false;
  // Who says at once that it cannot is asked twice, no more.
  const bool enough = flight.tries >= 2 * flight.order.size() && flight.best != nullptr;
  if (enough || flight.tries >= 8 * flight.order.size() || loop_.Now() >= flight.deadline) {
    return Finish(key);
  }
  Try(key);
}

bool DnsForwarder::OnReply(const std::string& key, absl::StatusOr<std::string> reply) {
  Flight& flight = *flights_.at(key);
  if (!reply.ok()) {  // nobody listens there, or the connection broke
    TryNext(key);
    return true;
  }
  absl::StatusOr<DnsResponse> response = ParseResponse(*std::move(reply), flight.query);
  // Somebody guesses, or an answer to an earlier try: the right one may still come.
  if (!response.ok() || response->id != flight.id) return false;
  if (response->truncated && !flight.tcp) {
    flight.best = std::make_shared<const DnsResponse>(*std::move(response));
    transport_.End(flight.exchange);
    loop_.Cancel(flight.timer);
    flight.tcp = true;
    Try(key);
    return true;
  }
  const bool final = IsFinal(*response);
  if (final || flight.best == nullptr) {
    flight.best = std::make_shared<const DnsResponse>(*std::move(response));
  }
  if (final) {
    cache_.Insert(key, flight.best, loop_.Now());
    transport_.End(flight.exchange);
    loop_.Cancel(flight.timer);
    Finish(key);
  } else {
    TryNext(key);
  }
  return true;
}

void DnsForwarder::OnSilence(const std::string& key) {
  Flight& flight = *flights_.at(key);
  UpstreamGroup& group = *flight.group;
  group.silent_until.resize(group.servers.size());
  group.silent_until[flight.order[flight.tries % flight.order.size()]] = loop_.Now() + kSilentLast;
  TryNext(key);
}

void DnsForwarder::Finish(const std::string& key) {
  const std::unique_ptr<Flight> flight = std::move(flights_.extract(key).mapped());
  for (Waiter& waiter : flight->waiters) {
    waiter.done(flight->best == nullptr ? BuildError(waiter.query, DnsCode::kServerFailure)
                                        : AnswerFromResponse(*flight->best, waiter.query,
                                                             absl::ZeroDuration(), waiter.limit));
  }
}

}  // namespace swarm::agent
