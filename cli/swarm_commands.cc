// `swarm …`: the cluster itself.
#include <unistd.h>

#include <utility>

#include "cli/app.h"
#include "cli/contexts.h"
#include "cli/errors.h"
#include "cli/output/words.h"
#include "cli/raw_terminal.h"
#include "common/file_system.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

constexpr FlagState kNo = FlagState::kNotBuilt;

absl::StatusOr<v1::NodeSpec::Availability> ParseAvailability(const Flags& flags) {
  const std::string text = flags.Text("availability", "active");
  if (text == "active") return v1::NodeSpec::AVAILABILITY_ACTIVE;
  if (text == "pause") return v1::NodeSpec::AVAILABILITY_PAUSE;
  if (text == "drain") return v1::NodeSpec::AVAILABILITY_DRAIN;
  return UsageError(StrCat("--availability=", text, ": must be active, pause or drain"));
}

absl::Status ChangeRebalance(const Flags& flags, v1::ClusterSpec& spec) {
  if (flags.Has("rebalance")) {
    const std::string word = flags.Text("rebalance");
    if (word != "off" && word != "slow") {
      return UsageError(StrCat("--rebalance=", word, ": must be off or slow"));
    }
    spec.mutable_rebalance()->set_mode(word == "slow" ? v1::RebalancePolicy::MODE_SLOW
                                                      : v1::RebalancePolicy::MODE_OFF);
  }
  ASSIGN_OR_RETURN(const auto moves, flags.NumberOf("rebalance-moves"));
  if (!moves) return absl::OkStatus();
  if (*moves == 0 || *moves > 10'000) {
    return UsageError(StrCat("--rebalance-moves=", *moves, ": must be from 1 to 10000 a minute"));
  }
  if (spec.rebalance().mode() != v1::RebalancePolicy::MODE_SLOW) {
    return UsageError("--rebalance-moves: nothing moves by itself; add --rebalance slow");
  }
  spec.mutable_rebalance()->set_moves_per_minute(static_cast<uint32_t>(*moves));
  return absl::OkStatus();
}

// What was given, into `spec`; the rest stays.
absl::Status ChangeClusterSpec(const Flags& flags, v1::ClusterSpec& spec) {
  ASSIGN_OR_RETURN(const auto limit, flags.NumberOf("task-history-limit"));
  if (limit && (*limit == 0 || *limit > 1000)) {
    return UsageError(StrCat("--task-history-limit=", *limit, ": must be from 1 to 1000"));
  }
  if (limit) spec.set_task_history_limit(static_cast<uint32_t>(*limit));
  ASSIGN_OR_RETURN(const auto heartbeat, flags.DurationOf("dispatcher-heartbeat"));
  if (heartbeat) SetDuration(*heartbeat, spec.mutable_heartbeat_period());
  ASSIGN_OR_RETURN(const auto expiry, flags.DurationOf("cert-expiry"));
  if (expiry) SetDuration(*expiry, spec.mutable_node_cert_expiry());
  if (flags.Has("autolock")) spec.set_auto_lock(flags.On("autolock"));
  return ChangeRebalance(flags, spec);
}

std::string JoinCommand(const std::string& token, const std::string& addr) {
  return StrCat("    swarmctl swarm join --token ", token, " ", addr, "\n");
}

void TellUnlockKey(Invocation& in, const std::string& key) {
  in.Out(StrCat("To unlock a swarm manager after it restarts, run the `swarmctl swarm unlock`\n",
                "command and provide the following key:\n\n    ", key, "\n\n",
                "Remember to store this key in a password manager, since without it you\n",
                "will not be able to restart the manager.\n"));
}

// It is told; from now on managers may ask for it.
absl::Status ConfirmUnlockKey(Invocation& in, ManagerClient& manager, const v1::UnlockKey& key) {
  if (in.env.console.lost_output()) {
    return absl::FailedPreconditionError(
        "the key could not be written out, so nothing is locked with it; try again");
  }
  v1::ConfirmUnlockKeyRequest request;
  request.set_key(key.key());
  return Annotate(manager.ConfirmUnlockKey(request).status(),
                  "whether this key unlocks is not known (keep one of before too): ask with "
                  "swarmctl swarm unlock-key");
}

// After auto_lock was switched on.
absl::Status ShowUnlockKey(Invocation& in, ManagerClient& manager) {
  ASSIGN_OR_RETURN(const v1::UnlockKey key, manager.GetUnlockKey({}));
  TellUnlockKey(in, key.key());
  return ConfirmUnlockKey(in, manager, key);
}

// Of a cluster that was just made.
absl::Status SwitchAutolockOn(Invocation& in) {
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  ASSIGN_OR_RETURN(const v1::Cluster cluster, manager->GetCluster({}));
  v1::UpdateClusterRequest request;
  request.set_version(cluster.meta().version());
  *request.mutable_spec() = cluster.spec();
  request.mutable_spec()->set_auto_lock(true);
  RETURN_IF_ERROR(manager->UpdateCluster(request).status());
  return ShowUnlockKey(in, *manager);
}

absl::Status Init(Invocation& in) {
  v1::InitClusterRequest request;
  request.set_advertise_addr(in.flags.Text("advertise-addr"));
  request.set_listen_addr(in.flags.Text("listen-addr"));
  ASSIGN_OR_RETURN(const auto availability, ParseAvailability(in.flags));
  request.set_availability(availability);
  RETURN_IF_ERROR(ChangeClusterSpec(in.flags, *request.mutable_spec()));
  request.mutable_spec()->clear_auto_lock();  // once it is there, and its key can be shown
  ASSIGN_OR_RETURN(NodeClient * node, in.Node());
  ASSIGN_OR_RETURN(const v1::InitClusterResponse answer, node->Init(request));
  in.Out(StrCat("Swarm initialized: current node (", answer.node_id(), ") is now a manager.\n\n",
                "To add a worker to this swarm, run the following command:\n\n",
                JoinCommand(answer.worker_token(), answer.join_addr()), "\n",
                "To see it again: swarmctl swarm join-token worker\n"));
  if (request.advertise_addr().empty() &&
      (answer.join_addr().starts_with("127.") || answer.join_addr().starts_with("[::1]"))) {
    in.Warn(StrCat("only this machine reaches ", answer.join_addr(),
                   ": no other address was found; for more nodes init with --advertise-addr"));
  }
  if (in.flags.On("autolock")) return SwitchAutolockOn(in);
  return absl::OkStatus();
}

absl::Status Join(Invocation& in) {
  v1::JoinClusterRequest request;
  request.set_token(in.flags.Text("token"));
  if (request.token().empty()) {
    return UsageError(
        "swarm join: --token is missing; on a manager: swarmctl swarm join-token worker");
  }
  for (const std::string& addr : in.arguments()) request.add_addrs(addr);
  request.set_advertise_addr(in.flags.Text("advertise-addr"));
  ASSIGN_OR_RETURN(const auto availability, ParseAvailability(in.flags));
  request.set_availability(availability);
  ASSIGN_OR_RETURN(NodeClient * node, in.Node());
  ASSIGN_OR_RETURN(const v1::JoinClusterResponse answer, node->Join(request));
  in.Out(StrCat("This node joined a swarm as a ", RoleWord(answer.role()), ".\n"));
  return absl::OkStatus();
}

absl::Status Leave(Invocation& in) {
  v1::LeaveClusterRequest request;
  request.set_force(in.flags.On("force"));
  ASSIGN_OR_RETURN(NodeClient * node, in.Node());
  RETURN_IF_ERROR(node->Leave(request).status());
  in.Out("Node left the swarm.\n");
  return absl::OkStatus();
}

absl::Status JoinToken(Invocation& in) {
  const std::string& role = in.arguments()[0];
  if (role != "worker" && role != "manager") {
    return UsageError(StrCat("swarm join-token ", role, ": must be worker or manager"));
  }
  const bool manager_role = role == "manager";
  ASSIGN_OR_RETURN(const auto expiry, in.flags.DurationOf("expiry"));
  if (expiry && !in.flags.On("rotate")) {
    return UsageError("--expiry: only a new token gets one; add --rotate");
  }
  if (expiry && *expiry <= absl::ZeroDuration()) {
    return UsageError(StrCat("--expiry=", in.flags.Text("expiry"),
                             ": must be more than 0; without --expiry the token does not expire"));
  }
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  v1::JoinTokens tokens;
  if (in.flags.On("rotate")) {
    v1::RotateJoinTokenRequest request;
    request.set_role(manager_role ? v1::NodeSpec::ROLE_MANAGER : v1::NodeSpec::ROLE_WORKER);
    if (expiry) SetDuration(*expiry, request.mutable_expiry());
    ASSIGN_OR_RETURN(tokens, manager->RotateJoinToken(request));
  } else {
    ASSIGN_OR_RETURN(tokens, manager->GetJoinTokens({}));
  }
  const std::string& token = manager_role ? tokens.manager() : tokens.worker();
  if (manager_role) in.Warn("joining as a second manager is not built yet: a node will refuse it");
  if (in.flags.On("quiet")) {
    in.Out(StrCat(token, "\n"));
    return absl::OkStatus();
  }
  if (in.flags.On("rotate")) {
    in.Out(StrCat("Successfully rotated ", role, " join token",
                  expiry ? StrCat("; it expires in ", in.flags.Text("expiry")) : "", ".\n\n"));
  }
  in.Out(StrCat("To add a ", role, " to this swarm, run the following command:\n\n",
                JoinCommand(token, tokens.join_addr()), "\n"));
  return absl::OkStatus();
}

absl::Status Update(Invocation& in) {
  for (int attempt = 0;; ++attempt) {
    ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
    ASSIGN_OR_RETURN(const v1::Cluster cluster, manager->GetCluster({}));
    v1::UpdateClusterRequest request;
    request.set_version(cluster.meta().version());
    *request.mutable_spec() = cluster.spec();
    RETURN_IF_ERROR(ChangeClusterSpec(in.flags, *request.mutable_spec()));
    const absl::Status status = manager->UpdateCluster(request).status();
    if (absl::IsAborted(status) && attempt < 5) continue;
    RETURN_IF_ERROR(status);
    in.Out("Swarm updated.\n");
    // Also when it was on: whoever began it may not have got the key.
    return in.flags.On("autolock") ? ShowUnlockKey(in, *manager) : absl::OkStatus();
  }
}

absl::Status UnlockKey(Invocation& in) {
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  const bool rotate = in.flags.On("rotate");
  ASSIGN_OR_RETURN(const v1::UnlockKey key,
                   rotate ? manager->RotateUnlockKey({}) : manager->GetUnlockKey({}));
  if (in.flags.On("quiet")) {
    in.Out(StrCat(key.key(), "\n"));
  } else {
    TellUnlockKey(in, key.key());
  }
  RETURN_IF_ERROR(ConfirmUnlockKey(in, *manager, key));
  if (rotate && !in.flags.On("quiet")) in.Out("\nSuccessfully rotated manager unlock key.\n");
  return absl::OkStatus();
}

// From standard input, as docker's; what is typed at a terminal is not shown.
absl::StatusOr<std::string> ReadUnlockKey(Invocation& in) {
  constexpr size_t kMostKeyBytes = 4096;
  const bool typed = ::isatty(in.env.stdin_fd) != 0;
  const RawTerminal unseen(in.env.stdin_fd, Typing::kUnseen);
  if (typed) in.env.console.Err("Please enter unlock key: ");
  auto line = ReadLine(in.env.stdin_fd, kMostKeyBytes);
  if (typed) in.env.console.Err("\n");
  return line;
}

absl::Status Unlock(Invocation& in) {
  v1::UnlockManagerRequest request;
  ASSIGN_OR_RETURN(*request.mutable_key(), ReadUnlockKey(in));
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  const absl::Status status = manager->UnlockManager(request).status();
  if (status.code() == absl::StatusCode::kUnimplemented) {
    return absl::FailedPreconditionError("this manager is not locked");
  }
  return status;
}

absl::Status ClientCert(Invocation& in) {
  const std::string& name = in.arguments()[0];
  const std::string role = in.flags.Text("role");
  v1::CreateClientCertificateRequest request;
  request.set_name(name);
  if (role == "viewer") {
    request.set_role(v1::CreateClientCertificateRequest::ROLE_VIEWER);
  } else if (role == "admin") {
    request.set_role(v1::CreateClientCertificateRequest::ROLE_ADMIN);
  } else {
    return UsageError(StrCat("swarm client-cert: --role ", role.empty() ? "is missing" : role,
                             ": must be viewer or admin"));
  }
  ASSIGN_OR_RETURN(const auto expiry, in.flags.DurationOf("expiry"));
  if (expiry) SetDuration(*expiry, request.mutable_expiry());
  std::string path = in.flags.Text("output");
  if (path.empty()) {
    if (name.find('/') != std::string::npos) {
      return UsageError(StrCat("swarm client-cert ", name, ": a name must not hold a slash"));
    }
    ASSIGN_OR_RETURN(path, ContextPath(in.env, name));
  }
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  ASSIGN_OR_RETURN(const v1::ClientCertificate answer, manager->CreateClientCertificate(request));
  const std::string text =
      RenderContext({answer.addr(), answer.ca_pem(), answer.cert_pem(), answer.key_pem()});
  if (path == "-") {
    in.Out(text);
    return absl::OkStatus();
  }
  if (const size_t slash = path.rfind('/'); slash != std::string::npos && slash > 0) {
    RETURN_IF_ERROR(MakeDirectories(path.substr(0, slash), 0700));
  }
  RETURN_IF_ERROR(WriteFileDurably(path, text, 0600));
  in.Out(StrCat("Wrote ", path, "; use it with: swarmctl --context ",
                in.flags.Has("output") ? path : name, " service ls\n"));
  return absl::OkStatus();
}

std::vector<FlagRule> ClusterFlags() {
  return {
      {"task-history-limit", 0, FlagKind::kText, "NUMBER", "finished tasks kept per slot (5)"},
      {"cert-expiry", 0, FlagKind::kText, "DURATION", "life of node certificates (2160h)"},
      {"dispatcher-heartbeat", 0, FlagKind::kText, "DURATION", "between heartbeats of nodes (5s)"},
      {"rebalance", 0, FlagKind::kText, "off|slow",
       "move tasks to nodes that joined or came back, by itself (off)"},
      {"rebalance-moves", 0, FlagKind::kText, "NUMBER", "at most so many a minute (6)"},
      {"autolock", 0, FlagKind::kSwitch, "", "managers that restart wait for `swarm unlock` (off)"},
      {"external-ca", 0, FlagKind::kList, "", "", kNo},
      {"max-snapshots", 0, FlagKind::kText, "", "", kNo},
      {"snapshot-interval", 0, FlagKind::kText, "", "", kNo},
  };
}

std::vector<FlagRule> InitFlags() {
  std::vector<FlagRule> rules = ClusterFlags();
  const FlagRule more[] = {
      {"advertise-addr", 0, FlagKind::kText, "HOST[:PORT]", "what others reach this node at"},
      {"listen-addr", 0, FlagKind::kText, "HOST:PORT", "where to listen (0.0.0.0:2377)"},
      {"availability", 0, FlagKind::kText, "STATE", "active (default), pause or drain"},
      {"force-new-cluster", 0, FlagKind::kSwitch, "", "", kNo},
      {"data-path-addr", 0, FlagKind::kText, "", "", kNo},
      {"data-path-port", 0, FlagKind::kText, "", "", kNo},
      {"default-addr-pool", 0, FlagKind::kList, "", "", kNo},
      {"default-addr-pool-mask-length", 0, FlagKind::kText, "", "", kNo},
  };
  rules.insert(rules.end(), std::begin(more), std::end(more));
  return rules;
}

}  // namespace

std::vector<Command> SwarmCommands() {
  return {
      {"swarm init", "", "make this node the manager of a new cluster", 0, 0, false, InitFlags(),
       Init},
      {"swarm join",
       "HOST:PORT",
       "bring this node into a cluster",
       1,
       8,
       false,
       {{"token", 0, FlagKind::kText, "TOKEN", "from `swarm join-token` on a manager"},
        {"advertise-addr", 0, FlagKind::kText, "HOST[:PORT]", "what others reach this node at"},
        {"availability", 0, FlagKind::kText, "STATE", "active (default), pause or drain"},
        {"listen-addr", 0, FlagKind::kText, "", "", kNo},
        {"data-path-addr", 0, FlagKind::kText, "", "", kNo}},
       Join},
      {"swarm leave",
       "",
       "take this node out of its cluster",
       0,
       0,
       false,
       {{"force", 'f', FlagKind::kSwitch, "", "also a manager, whose cluster state is deleted"}},
       Leave},
      {"swarm join-token",
       "worker|manager",
       "show the command that joins a node",
       1,
       1,
       false,
       {{"rotate", 0, FlagKind::kSwitch, "", "make a new token; the old one no longer works"},
        {"expiry", 0, FlagKind::kText, "DURATION", "with --rotate: how long it works (for ever)"},
        {"quiet", 'q', FlagKind::kSwitch, "", "the token alone"}},
       JoinToken},
      {"swarm update", "", "change settings of the cluster", 0, 0, false, ClusterFlags(), Update},
      {"swarm client-cert",
       "NAME",
       "make a context: a certificate for programs and other machines",
       1,
       1,
       false,
       {{"role", 0, FlagKind::kText, "ROLE", "viewer or admin"},
        {"output", 'o', FlagKind::kText, "FILE", "instead of the contexts' folder; - is stdout"},
        {"expiry", 0, FlagKind::kText, "DURATION", "life of the certificate (2160h at most)"}},
       ClientCert},
      {"swarm ca", "", ""},
      {"swarm unlock",
       "",
       "give this node's locked manager its key, from standard input",
       0,
       0,
       false,
       {},
       Unlock},
      {"swarm unlock-key",
       "",
       "show the key that unlocks managers",
       0,
       0,
       false,
       {{"rotate", 0, FlagKind::kSwitch, "", "make a new key; the old one no longer works"},
        {"quiet", 'q', FlagKind::kSwitch, "", "the key alone"}},
       UnlockKey},
  };
}

}  // namespace swarm::cli
