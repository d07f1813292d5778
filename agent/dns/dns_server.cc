#include "agent/dns/dns_server.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/check.h"

namespace swarm::agent {
namespace {

std::string ScopeOf(const std::vector<Upstream>& servers, absl::string_view asked_from) {
  return absl::StrCat(asked_from, " ",
                      absl::StrJoin(servers, " ", [](std::string* out, const Upstream& server) {
                        absl::StrAppend(out, server.address.ToString(), "#", server.port);
                      }));
}

}  // namespace

void DnsServer::Add(DnsTask task) {
  DCHECK(loop_.InLoop());
  Remove(task.task_id);
  auto owned = std::make_unique<Served>();
  Served& served = *owned;
  served.networks = std::move(task.networks);
  if (!task.servers.empty()) {
    served.own_servers = std::make_shared<UpstreamGroup>();
    served.own_servers->scope =
        ScopeOf(task.servers, task.netns.valid() ? absl::string_view(task.task_id) : "");
    served.own_servers->servers = std::move(task.servers);
    served.own_servers->netns = std::move(task.netns);
  }
  served.udp = std::make_shared<UdpEndpoint>(
      loop_, std::move(task.udp), [this, &served](absl::string_view message, DnsReply reply) {
        Answer(served, message, false, std::move(reply));
      });
  served.tcp = std::make_shared<TcpEndpoint>(
      loop_, std::move(task.tcp), [this, &served](absl::string_view message, DnsReply reply) {
        Answer(served, message, true, std::move(reply));
      });
  if (started_) {
    served.udp->Start();
    served.tcp->Start();
  }
  tasks_.emplace(task.task_id, std::move(owned));
}

void DnsServer::Remove(const std::string& task_id) {
  DCHECK(loop_.InLoop());
  tasks_.erase(task_id);
}

void DnsServer::SetHostServers(std::vector<Upstream> servers) {
  DCHECK(loop_.InLoop());
  if (host_servers_->servers == servers) return;
  host_servers_ = std::make_shared<UpstreamGroup>();
  host_servers_->scope = ScopeOf(servers, "");
  host_servers_->servers = std::move(servers);
}

void DnsServer::Start() {
  DCHECK(loop_.InLoop());
  if (std::exchange(started_, true)) return;
  for (auto& [id, served] : tasks_) {
    served->udp->Start();
    served->tcp->Start();
  }
}

void DnsServer::Answer(Served& served, absl::string_view message, bool tcp, DnsReply reply) {
  ParsedQuery parsed = ParseQuery(message);
  if (!parsed.query) return reply(std::move(parsed.refusal));
  const DnsQuery& query = *parsed.query;
  const size_t limit = tcp ? kMaxTcpMessage : query.udp_size;
  const NameAnswer answer = names_.Resolve(query.question, served.networks);
  switch (answer.kind) {
    case NameAnswer::Kind::kFound:
      return reply(BuildAnswer(query, DnsCode::kNoError, answer, limit));
    case NameAnswer::Kind::kNoSuchName:
      return reply(BuildAnswer(query, DnsCode::kNoSuchName, answer, limit));
    case NameAnswer::Kind::kElsewhere:
      return Forward(served, query, limit, std::move(reply));
  }
}

void DnsServer::Forward(Served& served, const DnsQuery& query, size_t limit, DnsReply reply) {
  const auto& group = served.own_servers ? served.own_servers : host_servers_;
  // From its own network namespace a question gets no further than the container itself.
  if (!group->netns.valid() && !names_.HasWayOut(served.networks)) {
    return reply(BuildError(query, DnsCode::kRefused));
  }
  if (*served.forwarded >= kMaxForwarded) {
    return reply(BuildError(query, DnsCode::kServerFailure));
  }
  ++*served.forwarded;
  forwarder_.Ask(
      query, group, limit,
      [reply = std::move(reply), forwarded = served.forwarded](std::string answer) mutable {
        --*forwarded;
        reply(std::move(answer));
      });
}

}  // namespace swarm::agent
