#include "agent/cluster_membership.h"

#include <utility>
#include <vector>

#include "agent/grpc_manager_client.h"
#include "agent/host_port.h"
#include "agent/on_pool.h"
#include "common/file_system.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/tls/certificates.h"

namespace swarm::agent {
namespace {

constexpr char kComponent[] = "cluster";
constexpr char kDefaultListen[] = "0.0.0.0:2377";
// How long init and join wait for the session, so that what is asked next finds the node ready.
constexpr absl::Duration kSessionPatience = absl::Seconds(5);
constexpr char kAlreadyMember[] =
    "this node is already part of a cluster: swarmctl swarm leave first";

absl::StatusOr<ManagerAddresses> AddressesFor(const v1::InitClusterRequest& request,
                                              const std::string& default_advertise) {
  ManagerAddresses out;
  out.listen = request.listen_addr().empty() ? kDefaultListen : request.listen_addr();
  ASSIGN_OR_RETURN(HostAndPort listen, ParseHostPort(out.listen, "listen address"));
  if (listen.port == 0) listen.port = 2377;
  out.listen = FormatHostPort(listen);
  HostAndPort join{listen.host, listen.port + 1};
  if (!request.join_listen_addr().empty()) {
    ASSIGN_OR_RETURN(join, ParseHostPort(request.join_listen_addr(), "join listen address"));
    if (join.port == 0) join.port = listen.port + 1;
  }
  out.join_listen = FormatHostPort(join);
  const std::string& wanted =
      request.advertise_addr().empty() ? default_advertise : request.advertise_addr();
  if (wanted.empty()) return out;
  ASSIGN_OR_RETURN(HostAndPort advertise, ParseHostPort(wanted, "advertise address"));
  ASSIGN_OR_RETURN(advertise.host, AdvertisedHost(advertise.host, "advertise address"));
  if (advertise.port == 0) advertise.port = listen.port;
  out.advertise = FormatHostPort(advertise);
  out.advertise_join = FormatHostPort({advertise.host, join.port});
  return out;
}

struct NewKey {
  std::string key_pem, csr_pem;
};
absl::StatusOr<NewKey> MakeKeyAndCsr() {
  NewKey made;
  ASSIGN_OR_RETURN(made.key_pem, tls::MakeKeyPem());
  ASSIGN_OR_RETURN(made.csr_pem, tls::MakeCsrPem(made.key_pem));
  return made;
}

// What the manager answered, checked before it is believed.
absl::StatusOr<NodeIdentity> ToIdentity(const v1::IssueNodeCertificateResponse& issued,
                                        const std::string& key_pem, absl::Time now) {
  RETURN_IF_ERROR(tls::VerifyCertificate(issued.root_ca_pem(), issued.certificate_pem(), now));
  RETURN_IF_ERROR(tls::CheckKeyMatches(issued.certificate_pem(), key_pem));
  ASSIGN_OR_RETURN(tls::Identity named, tls::ParseIdentity(issued.certificate_pem()));
  if (named.name != issued.node_id() || issued.node_id().empty()) {
    return absl::InternalError("the manager answered with a certificate of another node");
  }
  if (issued.manager_addrs().empty()) {
    return absl::InternalError("the manager did not say where its control port is");
  }
  NodeIdentity identity;
  identity.node_id = issued.node_id();
  identity.role = issued.role();
  identity.key_pem = key_pem;
  identity.certificate_pem = issued.certificate_pem();
  identity.root_ca_pem = issued.root_ca_pem();
  identity.managers.assign(issued.manager_addrs().begin(), issued.manager_addrs().end());
  return identity;
}

// On the pool. Asks each address until one gives an answer that counts.
absl::StatusOr<NodeIdentity> JoinByToken(const v1::JoinClusterRequest& request,
                                         const std::string& advertise_addr, const Clock& clock) {
  ASSIGN_OR_RETURN(NewKey key, MakeKeyAndCsr());
  v1::IssueNodeCertificateRequest ask;
  ask.set_token(request.token());
  ask.set_csr_pem(key.csr_pem);
  ask.set_availability(request.availability());
  absl::Status last = absl::InvalidArgumentError("no address of a manager was given");
  for (const std::string& addr : request.addrs()) {
    auto issued = IssueByToken(addr, ask, clock);
    if (issued.ok()) {
      ASSIGN_OR_RETURN(NodeIdentity identity, ToIdentity(*issued, key.key_pem, clock.WallNow()));
      identity.advertise_addr = advertise_addr;
      return identity;
    }
    last = issued.status();
    if (!absl::IsUnavailable(last) && !absl::IsDeadlineExceeded(last)) return last;
    last = Annotate(last, StrCat("no manager answers at ", addr));
  }
  return last;
}

bool HoldsSomething(const std::string& folder) {
  auto names = ListDirectory(folder);
  return names.ok() && !names->empty();
}

}  // namespace

struct ClusterMembership::Initialising {
  v1::InitClusterRequest request;
  ManagerAddresses addresses;
  InitDone done;
  // Filled in on the pool.
  NodeIdentity identity;
  ClusterFacts facts;
};

ClusterMembership::ClusterMembership(const Env& env, Node& node, ManagerSupervisor& supervisor,
                                     IdentityStore& identities, MembershipOptions options,
                                     MembershipListener listener)
    : env_(env),
      node_(node),
      supervisor_(supervisor),
      identities_(identities),
      options_(std::move(options)),
      listener_(std::move(listener)) {}

ClusterMembership::~ClusterMembership() { *alive_ = false; }

absl::Status ClusterMembership::CheckFree() const {
  if (busy_) {
    return absl::FailedPreconditionError("another init, join or leave is under way on this node");
  }
  return absl::OkStatus();
}

std::string ClusterMembership::manager_socket() const {
  return supervisor_.wanted() ? supervisor_.socket() : "";
}

void ClusterMembership::Enter(const NodeIdentity& identity) {
  listener_.entering(identity);
  node_.Enter(identity, [this] {
    if (std::exchange(busy_, true)) return;  // it is leaving anyway
    env_.loop.Post([this, alive = alive_] {
      if (!*alive) return;
      Exit(false,
           [this](absl::Status) { node_.SetError("this node was removed from its cluster"); });
    });
  });
}

void ClusterMembership::Resume() {
  auto identity = identities_.Load();
  damaged_ = identity.status();
  if (!damaged_.ok()) {
    LogError(kComponent, StrCat("this node's identity cannot be read: ", damaged_.message()));
    return node_.SetError(StrCat("this node's identity cannot be read: ", damaged_.message()));
  }
  if (identity->has_value()) {
    (void)RemoveTree(InitMarker());
    if ((*identity)->manager.has_value()) {
      supervisor_.Start(*(*identity)->manager, false, [](absl::Status started) {
        if (!started.ok()) LogError(kComponent, ToStd(started.message()));
      });
    }
    return Enter(**identity);
  }
  busy_ = cleaning_up_ = true;
  auto free = [this] {
    node_.Exit(
        false, [](auto then) { then(); },
        [this] {
          busy_ = cleaning_up_ = false;
          for (auto& call : std::exchange(after_cleanup_, {})) call();
        });
  };
  if (!PathExists(InitMarker())) return free();
  LogWarning(kComponent, "an init was cut off: undoing it");
  // Only to adopt a manager that may run; one that does not is not started for it.
  UndoInit(std::move(free));
}

// ------------------------------------------------------------------------------------------- init

void ClusterMembership::Init(const v1::InitClusterRequest& request, InitDone done) {
  if (MustWait()) {
    after_cleanup_.push_back(
        [this, request, done = std::move(done)]() mutable { Init(request, std::move(done)); });
    return;
  }
  const absl::Status free = CheckFree();
  if (!free.ok()) return done(free);
  if (node_.is_member() || !damaged_.ok()) {
    return done(absl::FailedPreconditionError(kAlreadyMember));
  }
  auto addresses = AddressesFor(request, options_.advertise_addr);
  if (!addresses.ok()) return done(addresses.status());
  if (HoldsSomething(supervisor_.options().state_dir)) {
    return done(absl::FailedPreconditionError(
        StrCat(supervisor_.options().state_dir,
               " holds the state of an earlier cluster: move it away or delete it")));
  }
  const absl::Status marked = WriteFileDurably(InitMarker(), "", 0600);
  if (!marked.ok()) return done(marked);
  busy_ = true;
  auto init = std::make_shared<Initialising>();
  init->request = request;
  init->addresses = *std::move(addresses);
  init->done = std::move(done);
  supervisor_.Start(init->addresses, true, [this, alive = alive_, init](absl::Status started) {
    if (*alive) OnManagerStarted(init, std::move(started));
  });
}

void ClusterMembership::OnManagerStarted(std::shared_ptr<Initialising> init, absl::Status started) {
  if (!started.ok()) return OnInitialised(init, std::move(started));
  auto work = [init, socket = supervisor_.socket(), &clock = env_.clock,
               &identities = identities_]() -> absl::Status {
    ASSIGN_OR_RETURN(NewKey key, MakeKeyAndCsr());
    v1::IssueNodeCertificateRequest ask;
    ask.set_csr_pem(key.csr_pem);
    ask.set_availability(init->request.availability());
    auto issued = IssueLocally(socket, ask);
    if (!issued.ok()) return Annotate(issued.status(), "swarm-manager");
    ASSIGN_OR_RETURN(init->identity, ToIdentity(*issued, key.key_pem, clock.WallNow()));
    auto facts = ConfigureCluster(socket, init->request.spec());
    if (!facts.ok()) return Annotate(facts.status(), "swarm-manager");
    init->facts = *std::move(facts);
    init->identity.manager = init->addresses;
    return identities.Create(init->identity);
  };
  OnPool<absl::Status>(env_.loop, env_.pool, std::move(work),
                       [this, alive = alive_, init](absl::Status result) {
                         if (*alive) OnInitialised(init, std::move(result));
                       });
}

void ClusterMembership::OnInitialised(std::shared_ptr<Initialising> init, absl::Status result) {
  if (!result.ok()) {
    return UndoInit([this, init, result = std::move(result)] {
      busy_ = false;
      init->done(result);
    });
  }
  (void)RemoveTree(InitMarker());
  busy_ = false;
  Enter(init->identity);
  LogInfo(kComponent, StrCat("made cluster ", init->facts.cluster_id));
  v1::InitClusterResponse response;
  response.set_cluster_id(init->facts.cluster_id);
  response.set_node_id(init->identity.node_id);
  response.set_worker_token(init->facts.worker_token);
  response.set_join_addr(init->facts.join_addr);
  node_.WhenAssigned(kSessionPatience,
                     [init, response = std::move(response)](absl::Status) mutable {
                       init->done(std::move(response));  // a member it is, session or not
                     });
}

void ClusterMembership::UndoInit(absl::AnyInvocable<void()> then) {
  DeleteManager([this, then = std::move(then)]() mutable {
    (void)RemoveTree(InitMarker());
    then();
  });
}

void ClusterMembership::DeleteManager(absl::AnyInvocable<void()> then) {
  supervisor_.AdoptAndStop([this, alive = alive_, then = std::move(then)]() mutable {
    if (!*alive) return;
    OnPool<absl::Status>(
        env_.loop, env_.pool,
        [state = supervisor_.options().state_dir, run = supervisor_.options().run_dir] {
          RETURN_IF_ERROR(RemoveTree(state));
          return RemoveTree(run);
        },
        [alive, then = std::move(then)](absl::Status removed) mutable {
          if (!removed.ok()) LogError(kComponent, ToStd(removed.message()));
          if (*alive) then();
        });
  });
}

// ------------------------------------------------------------------------------------ join, leave

void ClusterMembership::Join(const v1::JoinClusterRequest& request, JoinDone done) {
  if (MustWait()) {
    after_cleanup_.push_back(
        [this, request, done = std::move(done)]() mutable { Join(request, std::move(done)); });
    return;
  }
  const absl::Status free = CheckFree();
  if (!free.ok()) return done(free);
  if (node_.is_member() || !damaged_.ok()) {
    return done(absl::FailedPreconditionError(kAlreadyMember));
  }
  busy_ = true;
  const std::string& advertise =
      request.advertise_addr().empty() ? options_.advertise_addr : request.advertise_addr();
  OnPool<absl::StatusOr<NodeIdentity>>(
      env_.loop, env_.pool,
      [request, advertise, &clock = env_.clock,
       &identities = identities_]() -> absl::StatusOr<NodeIdentity> {
        ASSIGN_OR_RETURN(NodeIdentity identity, JoinByToken(request, advertise, clock));
        RETURN_IF_ERROR(identities.Create(identity));
        return identity;
      },
      [this, alive = alive_, done = std::move(done)](absl::StatusOr<NodeIdentity> joined) mutable {
        if (!*alive) return;
        busy_ = false;
        if (!joined.ok()) return done(joined.status());
        Enter(*joined);
        LogInfo(kComponent, StrCat("joined as node ", joined->node_id));
        v1::JoinClusterResponse response;
        response.set_node_id(joined->node_id);
        response.set_role(joined->role);
        node_.WhenAssigned(
            kSessionPatience,
            [done = std::move(done), response = std::move(response)](absl::Status) mutable {
              done(std::move(response));  // a member it is, session or not
            });
      });
}

void ClusterMembership::Leave(bool force, LeaveDone done) {
  const absl::Status free = CheckFree();
  if (!free.ok()) return done(free);
  if (!node_.is_member() && damaged_.ok()) {
    return done(absl::FailedPreconditionError("this node is not part of a cluster"));
  }
  if (!damaged_.ok() && !force) {
    return done(absl::FailedPreconditionError(StrCat("this node's identity cannot be read (",
                                                     damaged_.message(),
                                                     "): --force leaves and deletes it")));
  }
  const bool manager = node_.is_member() && node_.identity()->manager.has_value();
  if (manager && !force) {
    return done(
        absl::FailedPreconditionError("this node is the cluster's manager: leaving deletes the "
                                      "cluster's state; --force does it"));
  }
  busy_ = true;
  Exit(!manager, std::move(done));
}

void ClusterMembership::Exit(bool goodbye, LeaveDone done) {
  const bool manager = node_.is_member() && node_.identity()->manager.has_value();
  listener_.left();
  auto forget = [this, alive = alive_, manager](absl::AnyInvocable<void()> then) {
    OnPool<absl::Status>(
        env_.loop, env_.pool, [&identities = identities_] { return identities.Forget(); },
        [this, alive, manager, then = std::move(then)](absl::Status forgotten) mutable {
          if (!*alive) return;
          if (!forgotten.ok()) LogError(kComponent, ToStd(forgotten.message()));
          if (!manager) return then();
          DeleteManager(std::move(then));
        });
  };
  node_.Exit(goodbye, std::move(forget), [this, done = std::move(done)]() mutable {
    busy_ = false;
    damaged_ = absl::OkStatus();
    node_.SetError("");
    done(absl::OkStatus());
  });
}

}  // namespace swarm::agent
