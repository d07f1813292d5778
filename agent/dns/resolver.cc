#include "agent/dns/resolver.h"

#include <utility>

#include "common/status_macros.h"

namespace swarm::agent {

Resolver::Resolver(Random& random)
    : loop_(MakeAsioLoop()),
      shuffle_(MakeSeededRandom(random.Next())),
      names_(*shuffle_),
      transport_(*loop_),
      forwarder_(*loop_, random, transport_),
      server_(*loop_, names_, forwarder_),
      thread_(MakeThreadPool("dns", 1, 1)) {}

absl::StatusOr<std::unique_ptr<Resolver>> Resolver::Start(Random& random) {
  std::unique_ptr<Resolver> resolver(new Resolver(random));
  RETURN_IF_ERROR(resolver->thread_->Submit([loop = resolver->loop_.get()] { loop->Run(); }));
  return resolver;
}

Resolver::~Resolver() {
  loop_->Stop();
  thread_.reset();  // waits for the loop
}

void Resolver::Replace(NetworkState state) {
  loop_->Post([this, state = std::move(state)] {
    names_.Replace(state);
    server_.Start();
  });
}

void Resolver::Apply(NetworkUpdate update) {
  loop_->Post([this, update = std::move(update)] { names_.Apply(update); });
}

void Resolver::Add(DnsTask task) {
  loop_->Post([this, task = std::move(task)]() mutable { server_.Add(std::move(task)); });
}

void Resolver::Remove(std::string task_id) {
  loop_->Post([this, task_id = std::move(task_id)] { server_.Remove(task_id); });
}

void Resolver::SetHostServers(std::vector<Upstream> servers) {
  loop_->Post([this, servers = std::move(servers)]() mutable {
    server_.SetHostServers(std::move(servers));
  });
}

}  // namespace swarm::agent
