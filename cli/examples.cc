// A line of each command as one might type it, for its help. A test runs every one of them against
// fakes: the flags are there and the counts are right.
#include <utility>

#include "cli/app.h"

namespace swarm::cli {
namespace {

using Example = std::pair<std::string_view, std::string_view>;  // after "swarmctl "
constexpr Example kExamples[] = {
    {"completion", "completion bash > /etc/bash_completion.d/swarmctl"},
    {"config create", "config create nginx-conf ./nginx.conf"},
    {"config inspect", "config inspect --pretty nginx-conf"},
    {"config ls", "config ls --filter name=nginx"},
    {"config rm", "config rm nginx-conf"},
    {"events", "events --since 10m -f type=service -f event=update"},
    {"image load", "image load --input web.tar"},
    {"image ls", "image ls --filter reference=nginx"},
    {"image pull", "image pull nginx:1.27"},
    {"image rm", "image rm nginx:1.26"},
    {"info", "info --format '{{.Swarm.LocalNodeState}}'"},
    {"network create", "network create --driver overlay --subnet 10.10.0.0/24 front"},
    {"network inspect", "network inspect --verbose front"},
    {"network ls", "network ls --filter driver=overlay"},
    {"network prune", "network prune --force --filter label=temporary"},
    {"network rm", "network rm front"},
    {"node inspect", "node inspect self --pretty"},
    {"node ls", "node ls -f role=worker --format '{{.Hostname}} {{.Status}}'"},
    {"node ps", "node ps node2 --filter desired-state=running"},
    {"node rm", "node rm --force node3"},
    {"node update", "node update --availability drain node2"},
    {"secret create", "secret create db-password ./password.txt"},
    {"secret inspect", "secret inspect --pretty db-password"},
    {"secret ls", "secret ls --filter name=db"},
    {"secret rm", "secret rm db-password"},
    {"service attach", "service attach web.1"},
    {"service cp", "service cp web.1:/etc/hosts ."},
    {"service create", "service create --name web --replicas 3 -p 8080:80 nginx:1.27"},
    {"service exec", "service exec -it web sh"},
    {"service history", "service history --no-trunc web"},
    {"service inspect", "service inspect --format '{{json .Spec.Labels}}' web"},
    {"service logs", "service logs --follow --tail 100 web"},
    {"service ls", "service ls -f label=tier --format '{{.Name}} {{.Replicas}}'"},
    {"service ps", "service ps --no-trunc --filter desired-state=running web"},
    {"service rebalance", "service rebalance web"},
    {"service rm", "service rm web db"},
    {"service rollback", "service rollback --to 3 web"},
    {"service scale", "service scale web=5 worker=10"},
    {"service stats", "service stats --no-stream web"},
    {"service top", "service top web.1"},
    {"service update", "service update --image nginx:1.27 --update-parallelism 2 web"},
    {"stack config", "stack config --compose-file shop.yaml"},
    {"stack deploy", "stack deploy --compose-file shop.yaml --prune --wait shop"},
    {"stack diff", "stack diff --compose-file shop.yaml shop"},
    {"stack ls", "stack ls --format json"},
    {"stack ps", "stack ps --filter desired-state=running shop"},
    {"stack rm", "stack rm shop"},
    {"stack services", "stack services --filter name=shop_web shop"},
    {"swarm client-cert", "swarm client-cert alice --role viewer"},
    {"swarm init", "swarm init --advertise-addr 10.0.0.1"},
    {"swarm join", "swarm join --token SWMTKN-1-… 10.0.0.1:2378"},
    {"swarm join-token", "swarm join-token --quiet worker"},
    {"swarm leave", "swarm leave --force"},
    {"swarm unlock", "swarm unlock"},
    {"swarm unlock-key", "swarm unlock-key --rotate"},
    {"swarm update", "swarm update --task-history-limit 3"},
    {"version", "version --format '{{.Server.Version}}'"},
    {"volume create", "volume create -o type=nfs -o device=:/srv -o o=addr=nas data"},
    {"volume inspect", "volume inspect data"},
    {"volume ls", "volume ls --filter dangling=true"},
    {"volume prune", "volume prune --force --all"},
    {"volume rm", "volume rm data"},
};

}  // namespace

std::string_view ExampleOf(const Command& command) {
  if (!command.example.empty()) return command.example.substr(sizeof("swarmctl ") - 1);
  for (const auto& [path, line] : kExamples) {
    if (path == command.path) return line;
  }
  return "";
}

}  // namespace swarm::cli
