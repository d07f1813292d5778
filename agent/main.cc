// swarm-agent: root, one per node. Brings the node to what the manager wants of it, and on a
// manager node keeps the manager running.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "agent/calls/serve_reactor.h"
#include "agent/certificate_renewal.h"
#include "agent/cluster_membership.h"
#include "agent/container_executor.h"
#include "agent/content_book.h"
#include "agent/file_mount.h"
#include "agent/generic_resource.h"
#include "agent/grpc_manager_client.h"
#include "agent/health/prober.h"
#include "agent/identity.h"
#include "agent/logs/log_publish_reactor.h"
#include "agent/manager_supervisor.h"
#include "agent/network/tunnel.h"
#include "agent/node.h"
#include "agent/node_local_service.h"
#include "agent/node_networks.h"
#include "agent/process_limits.h"
#include "agent/session_reactor.h"
#include "agent/task_database.h"
#include "agent/usage/usage_sampler.h"
#include "agent/worker.h"
#include "common/file_system.h"
#include "common/grpc/credentials.h"
#include "common/grpc/endpoints.h"
#include "common/grpc/listener.h"
#include "common/ids.h"
#include "common/log.h"
#include "common/quantity.h"
#include "common/secret_bytes.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/version.h"

namespace swarm::agent {
namespace {

constexpr size_t kPoolThreads = 16;
constexpr size_t kPoolQueue = 10'000;
constexpr size_t kTransferThreads = 4;
constexpr size_t kTransferQueue = 1'000;
// Probes of health checks and fetches of numbers: each may hang for its whole timeout.
constexpr size_t kProbeThreads = 16;
constexpr size_t kProbeQueue = 10'000;
// Uploads from this machine, apart from transfers: they wait for no registry.
constexpr size_t kUploadThreads = 2;
constexpr absl::Duration kShutdownGrace = absl::Seconds(2);
constexpr int kOomScore = -500;

struct Flags {
  std::string state_dir = "/var/lib/swarm/agent";
  std::string run_dir = "/run/swarm";
  std::string socket;
  std::string manager_binary;
  std::string shim_binary;
  std::string manager_state_dir = "/var/lib/swarm/manager";
  std::string manager_user;
  std::vector<std::string> insecure_registries;
  std::string registry_ca;
  std::string hostname;
  std::string advertise_addr;
  std::string cgroup_parent = "swarm";
  std::string boot_id;
  std::vector<std::string> labels;
  std::string cpus;
  std::string memory;
  std::vector<std::string> generic_resources;
  std::string heartbeat_period;
  std::string manager_clock_offset;
  uint16_t vxlan_port = 4789;
  uint16_t wireguard_port = 51871;
  std::string manager_crash_over;
  std::string log_level = "info";
};

void Declare(CLI::App& app, Flags& flags) {
  app.add_option("--state-dir", flags.state_dir, "Identity, images, containers, task database")
      ->capture_default_str();
  app.add_option("--run-dir", flags.run_dir, "Sockets and what lives as long as the boot")
      ->capture_default_str();
  app.add_option("--socket", flags.socket, "The local socket (default: RUN_DIR/agent.sock)");
  app.add_option("--manager-binary", flags.manager_binary,
                 "swarm-manager (default: beside this program)");
  app.add_option("--shim-binary", flags.shim_binary, "swarm-shim (default: beside this program)");
  app.add_option("--manager-state-dir", flags.manager_state_dir, "State of a manager on this node")
      ->capture_default_str();
  app.add_option("--manager-user", flags.manager_user,
                 "User that a manager on this node runs as (default: swarm)");
  app.add_option("--insecure-registry", flags.insecure_registries,
                 "HOST[:PORT] of a registry that is spoken to over HTTP (repeat)");
  app.add_option("--registry-ca", flags.registry_ca,
                 "File of the authorities that sign registries");
  app.add_option("--hostname", flags.hostname, "This node's name (default: the machine's)");
  app.add_option("--advertise-addr", flags.advertise_addr,
                 "HOST[:PORT] at which others reach this node");
  app.add_option("--cgroup-parent", flags.cgroup_parent,
                 "Cgroup of all containers, below the root of each hierarchy")
      ->capture_default_str();
  app.add_option("--boot-id", flags.boot_id, "Identifies this boot (default: the kernel's)");
  app.add_option("--label", flags.labels, "KEY=VALUE, an engine label (repeat)");
  app.add_option("--cpus", flags.cpus, "Cores that this node offers (default: all)");
  app.add_option("--memory", flags.memory, "Memory that this node offers (default: all)");
  app.add_option("--node-generic-resource", flags.generic_resources,
                 "KIND=N or KIND=ID1,ID2, what this node offers besides, such as gpu=4 (repeat)");
  app.add_option("--heartbeat-period", flags.heartbeat_period,
                 "How often agents report to a manager on this node, such as 5s");
  app.add_option("--manager-crash-over", flags.manager_crash_over,
                 "Rehearsal: the manager crashes whenever it decides about the service of this id");
  app.add_option("--manager-clock-offset", flags.manager_clock_offset,
                 "For tests and rehearsals: --clock-offset of a manager on this node, such as 5m");
  app.add_option("--vxlan-port", flags.vxlan_port,
                 "UDP port of overlay networks, the same on every node")
      ->capture_default_str();
  app.add_option("--wireguard-port", flags.wireguard_port,
                 "UDP port of encrypted overlay networks, the same on every node")
      ->check(CLI::Range(1, 65535))
      ->capture_default_str();
  app.add_option("--log-level", flags.log_level, "debug, info, warning, error or off")
      ->capture_default_str();
  app.set_version_flag("--version", std::string(kVersion));
}

// The program of that name beside this one.
absl::StatusOr<std::string> Beside(const std::string& name) {
  char path[4096];
  const ssize_t size = ::readlink("/proc/self/exe", path, sizeof path);
  if (size <= 0) return ErrnoStatus(errno, "find my own program");
  const std::string own(path, static_cast<size_t>(size));
  return own.substr(0, own.rfind('/') + 1) + name;
}

absl::StatusOr<std::string> BootId() {
  ASSIGN_OR_RETURN(std::string text, ReadFile("/proc/sys/kernel/random/boot_id", 100));
  return std::string(absl::StripAsciiWhitespace(text));
}

// Names this agent among several on one machine, for as long as its state lives.
absl::StatusOr<std::string> OwnerName(const std::string& state_dir, Random& random) {
  const std::string path = state_dir + "/owner";
  auto known = ReadFile(path, 100);
  if (known.ok()) return std::string(absl::StripAsciiWhitespace(*known));
  const std::string made = Id::Make(random).ToString();
  RETURN_IF_ERROR(WriteFileDurably(path, made + "\n", 0600));
  return made;
}

std::string GoArchitecture(const std::string& machine) {
  if (machine == "x86_64") return "amd64";
  if (machine == "aarch64") return "arm64";
  return machine;
}

absl::StatusOr<v1::Resources> OfferedResources(const Flags& flags) {
  v1::Resources resources;
  struct sysinfo info;
  if (::sysinfo(&info) != 0) return ErrnoStatus(errno, "sysinfo");
  resources.set_memory_bytes(static_cast<int64_t>(info.totalram) * info.mem_unit);
  resources.set_nano_cpus(::sysconf(_SC_NPROCESSORS_ONLN) * int64_t{1'000'000'000});
  if (!flags.cpus.empty()) {
    auto cpus = ParseNanoCpus(flags.cpus);
    RETURN_IF_ERROR(Annotate(cpus.status(), "--cpus"));
    resources.set_nano_cpus(*cpus);
  }
  if (!flags.memory.empty()) {
    auto memory = ParseBytes(flags.memory);
    RETURN_IF_ERROR(Annotate(memory.status(), "--memory"));
    resources.set_memory_bytes(*memory);
  }
  auto generic = ParseGenericResources(flags.generic_resources);
  RETURN_IF_ERROR(Annotate(generic.status(), "--node-generic-resource"));
  for (v1::GenericResource& resource : *generic) *resources.add_generic() = std::move(resource);
  return resources;
}

absl::StatusOr<NodeOptions> DescribeNode(const Flags& flags, Random& random) {
  NodeOptions options;
  options.state_dir = flags.state_dir;
  options.boot_id = flags.boot_id;
  options.instance = Id::Make(random).ToString();
  struct utsname machine;
  if (::uname(&machine) != 0) return ErrnoStatus(errno, "uname");
  options.hostname = flags.hostname.empty() ? machine.nodename : flags.hostname;
  options.platform.set_os("linux");
  options.platform.set_architecture(GoArchitecture(machine.machine));
  ASSIGN_OR_RETURN(options.resources, OfferedResources(flags));
  for (const std::string& label : flags.labels) {
    std::pair<std::string, std::string> pair = absl::StrSplit(label, absl::MaxSplits('=', 1));
    if (pair.first.empty() || label.find('=') == std::string::npos) {
      return absl::InvalidArgumentError(StrCat("--label: \"", label, "\" is not KEY=VALUE"));
    }
    options.engine_labels.insert(std::move(pair));
  }
  return options;
}

NodeNetworksOptions NetworksOf(const Flags& flags) {
  NodeNetworksOptions options;
  options.netns_dir = flags.run_dir + "/netns";
  options.vxlan_port = flags.vxlan_port;
  options.records = flags.state_dir + "/networks.db";
  options.boot_id = flags.boot_id;
  options.wireguard_port = flags.wireguard_port;
  const absl::Status can = CheckWireguard();
  if (can.ok()) {
    options.wireguard_key = flags.run_dir + "/wireguard.key";
  } else {
    LogInfo("agent", StrCat("no encrypted networks on this node, whose kernel has no WireGuard: ",
                            can.message()));
  }
  return options;
}

absl::Status FillDefaults(Flags& flags) {
  if (flags.socket.empty()) flags.socket = flags.run_dir + "/agent.sock";
  if (flags.manager_binary.empty()) {
    ASSIGN_OR_RETURN(flags.manager_binary, Beside("swarm-manager"));
  }
  if (flags.shim_binary.empty()) {
    ASSIGN_OR_RETURN(flags.shim_binary, Beside("swarm-shim"));
  }
  if (flags.boot_id.empty()) {
    ASSIGN_OR_RETURN(flags.boot_id, BootId());
  }
  return absl::OkStatus();
}

void ProtectFromOom() {
  const absl::Status lowered = LowerOomScore("/proc/self/oom_score_adj", kOomScore);
  if (!lowered.ok()) LogInfo("agent", "the kernel does not let us lower oom_score_adj");
}

// The kernel's own boot id: a manager that lives has not been rebooted, whatever --boot-id says.
ManagerProcessOptions ManagerOptions(const Flags& flags) {
  ManagerProcessOptions options;
  options.binary = flags.manager_binary;
  options.state_dir = flags.manager_state_dir;
  options.run_dir = flags.run_dir + "/manager";
  options.record = flags.run_dir + "/manager.process";
  options.user = flags.manager_user;
  options.boot_id = BootId().value_or(flags.boot_id);
  options.insecure_registries = flags.insecure_registries;
  options.registry_ca = flags.registry_ca;
  options.heartbeat_period = flags.heartbeat_period;
  options.clock_offset = flags.manager_clock_offset;
  options.crash_over = flags.manager_crash_over;
  options.log_level = flags.log_level;
  return options;
}

absl::StatusOr<v1::IssueNodeCertificateResponse> RenewOverGrpc(const std::string& addr,
                                                               const NodeIdentity& identity,
                                                               const std::string& csr_pem) {
  return RenewCertificate(addr, {identity.root_ca_pem, identity.certificate_pem, identity.key_pem},
                          csr_pem);
}

// What lives on the loop. Made and destroyed there, while the pools still work: what their work
// borrows (runtime, images, volumes, identities) belongs to Run and outlives them.
struct Rooms {
  Rooms(const Env& env, WorkerPool& transfers, WorkerPool& probes, WorkerPool& call_threads,
        const Flags& flags, NodeOptions options, NodeNetworksOptions network_options,
        Runtime& runtime, ImageStore& images, VolumeStore& volumes, IdentityStore& identities)
      : tls(std::make_shared<edge::TlsSource>(edge::TlsMaterial{})),
        database(MakeSqliteTaskDatabase(env.loop, flags.state_dir + "/tasks.db")),
        executor(env, transfers, runtime, images),
        prober(env, probes, runtime),
        worker(env, executor, *database, WithProber(prober)),
        usage(env, probes, runtime),
        networks(env, std::move(network_options)),
        sessions(MakeGrpcSessionConnector(env.loop, tls)),
        logs(MakeGrpcLogConnector(env.loop, tls, [this] { return node.current_manager(); })),
        calls(MakeGrpcCallConnector(env.loop, tls, [this] { return node.current_manager(); })),
        node(env,
             {runtime, images, executor, worker, *sessions, *logs, *calls, call_threads, identities,
              &usage, &networks, &contents, &volumes},
             std::move(options)),
        supervisor(env, ManagerOptions(flags)),
        renewal(
            env, identities, RenewOverGrpc, [this] { return node.current_manager(); },
            [this](const NodeIdentity& identity) { UseCertificate(identity); }),
        membership(env, node, supervisor, identities, {flags.state_dir, flags.advertise_addr},
                   {[this](const NodeIdentity& identity) {
                      UseCertificate(identity);
                      renewal.Start(identity);
                    },
                    [this] { renewal.Stop(); }}) {
    executor.SetNetworks(&networks);
    const std::string files = flags.run_dir + "/files";
    FileMount::Sweep(files);
    executor.SetContents(&contents, files);
  }

  static WorkerOptions WithProber(Prober& prober) {
    WorkerOptions options;
    options.prober = &prober;
    return options;
  }

  void UseCertificate(const NodeIdentity& identity) {
    tls->Set({identity.root_ca_pem, identity.certificate_pem, identity.key_pem});
  }

  std::shared_ptr<edge::TlsSource> tls;
  std::unique_ptr<TaskDatabase> database;
  ContentBook contents;
  ContainerExecutor executor;
  ContainerProber prober;
  Worker worker;
  UsageSampler usage;
  NodeNetworks networks;
  std::unique_ptr<SessionConnector> sessions;
  std::unique_ptr<LogConnector> logs;
  std::unique_ptr<CallConnector> calls;
  Node node;
  ManagerSupervisor supervisor;
  CertificateRenewal renewal;
  ClusterMembership membership;
};

// Runs `work` on the loop and waits for it.
template <typename Work>
void OnLoop(EventLoop& loop, Work work) {
  std::promise<void> done;
  loop.Post([&] {
    work();
    done.set_value();
  });
  done.get_future().wait();
}

absl::Status StartNode(EventLoop& loop, Rooms& rooms) {
  std::promise<absl::Status> started;
  loop.Post([&] {
    rooms.node.Start([&](absl::Status status) {
      if (status.ok()) rooms.membership.Resume();
      started.set_value(std::move(status));
    });
  });
  return started.get_future().get();
}

absl::Status ServeUntil(std::future<void> terminated, const Flags& flags, const Env& env,
                        NodeLocalPools pools, Rooms& rooms, ImageStore& images) {
  ASSIGN_OR_RETURN(auto listener, edge::ListenUnix({flags.socket, 0600, ""}, {}));
  auto service = MakeNodeLocalService(env, pools, rooms.node, rooms.membership, images,
                                      {flags.state_dir + "/uploads"});
  ::grpc::ServerBuilder builder;
  edge::ConfigureServer(builder, edge::ServerKind::kLocal);
  builder.RegisterService(service.get());
  listener->AttachTo(builder, edge::LocalServerCredentials());
  auto server = builder.BuildAndStart();
  if (server == nullptr) return absl::InternalError("cannot serve the local socket");
  listener->Start();
  LogInfo("agent", StrCat("ready at ", listener->address()));
  terminated.wait();
  LogInfo("agent", "stopping; containers go on");
  listener->Stop();
  edge::ShutdownServer(*server, kShutdownGrace);
  return absl::OkStatus();
}

absl::Status Run(Flags flags) {
  auto clock = MakeSystemClock();
  auto random = MakeSystemRandom();
  auto loop = MakeAsioLoop();
  std::promise<void> terminated;
  loop->OnTerminationSignal([&, told = false]() mutable {
    if (!std::exchange(told, true)) terminated.set_value();
  });

  RETURN_IF_ERROR(FillDefaults(flags));
  RETURN_IF_ERROR(MakeDirectories(flags.run_dir, 0755));
  ASSIGN_OR_RETURN(UniqueFd lock, LockStateDirectory(flags.state_dir));
  ASSIGN_OR_RETURN(NodeOptions options, DescribeNode(flags, *random));
  NodeNetworksOptions network_options = NetworksOf(flags);
  ASSIGN_OR_RETURN(std::string owner, OwnerName(flags.state_dir, *random));
  ProtectFromOom();
  NeverDumpCore();  // it holds what secrets hold
  RuntimeOptions runtime_options{flags.state_dir + "/containers",
                                 flags.run_dir + "/containers",
                                 flags.cgroup_parent,
                                 flags.shim_binary,
                                 flags.boot_id,
                                 owner};
  runtime_options.open_files = RaiseOpenFilesLimit();
  ASSIGN_OR_RETURN(auto runtime, OpenRuntime(std::move(runtime_options)));
  IdentityStore identities(flags.state_dir);
  ImageStoreOptions image_options{flags.state_dir + "/images", {}};
  image_options.registry.ca_file = flags.registry_ca;
  image_options.registry.insecure_registries = flags.insecure_registries;
  ASSIGN_OR_RETURN(auto images, OpenImageStore(image_options));
  ASSIGN_OR_RETURN(auto volumes, VolumeStore::Open(flags.state_dir + "/volumes", *clock));

  auto pool = MakeThreadPool("agent-pool", kPoolThreads, kPoolQueue);
  auto transfers = MakeThreadPool("agent-transfer", kTransferThreads, kTransferQueue);
  auto probes = MakeThreadPool("agent-probe", kProbeThreads, kProbeQueue);
  auto calls = MakeThreadPool("agent-call", ContainerCalls::kMaxCalls, ContainerCalls::kMaxCalls);
  auto uploads = MakeThreadPool("agent-upload", kUploadThreads, kTransferQueue);
  const Env env{*loop, *clock, *random, *pool};
  std::thread loop_thread([&] { loop->Run(); });
  std::unique_ptr<Rooms> rooms;
  OnLoop(*loop, [&] {
    rooms = std::make_unique<Rooms>(env, *transfers, *probes, *calls, flags, std::move(options),
                                    std::move(network_options), *runtime, *images, *volumes,
                                    identities);
  });
  absl::Status result = StartNode(*loop, *rooms);
  if (result.ok()) {
    result =
        ServeUntil(terminated.get_future(), flags, env, {*transfers, *uploads}, *rooms, *images);
  }
  OnLoop(*loop, [&] {
    rooms->node.Disconnect();
    rooms.reset();
  });
  calls.reset();
  probes.reset();
  uploads.reset();
  transfers.reset();
  pool.reset();
  loop->Stop();
  loop_thread.join();
  return result;
}

}  // namespace
}  // namespace swarm::agent

int main(int argc, char** argv) {
  // Before gRPC makes threads: one that does not block them would be killed by them.
  sigset_t termination;
  ::sigemptyset(&termination);
  ::sigaddset(&termination, SIGTERM);
  ::sigaddset(&termination, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &termination, nullptr);
  swarm::edge::InitGrpcForTls13();
  ::signal(SIGPIPE, SIG_IGN);
  ::umask(0022);
  CLI::App app("swarm-agent: runs what the cluster wants on this node");
  swarm::agent::Flags flags;
  swarm::agent::Declare(app, flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  swarm::InitLog("swarm-agent", swarm::ParseLogLevel(flags.log_level));
  const absl::Status ended = swarm::agent::Run(std::move(flags));
  if (ended.ok()) return 0;
  ::dprintf(STDERR_FILENO, "error: %s\n", std::string(ended.message()).c_str());
  return 1;
}
