#include "agent/container_executor.h"

#include <signal.h>
#include <sys/utsname.h>

#include <set>
#include <utility>

#include "agent/container_mounts.h"
#include "agent/file_mount.h"
#include "agent/health/health_check.h"
#include "agent/log_destination.h"
#include "agent/logs/log_compressor.h"
#include "agent/on_pool.h"
#include "agent/runtime/image_config.h"
#include "agent/runtime/oci_config.h"
#include "agent/signal_name.h"
#include "agent/task_files.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

constexpr char kComponent[] = "executor";
constexpr Backoff::Options kExitRetry = {absl::Milliseconds(20), absl::Milliseconds(40),
                                         absl::Seconds(5)};
constexpr absl::Duration kReleaseRetry = absl::Seconds(1);

// On the transfers' pool.
absl::Status PullAndUnpack(ImageStore& images, const v1::Revision& revision,
                           const std::atomic<bool>& cancelled, bool* brought) {
  const std::string& digest = revision.image_digest();
  if (images.Find(digest).ok()) {
    const absl::Status here = images.Unpack(digest).status();
    // The index knows it, the disk has lost some of it: as good as never pulled.
    if (!absl::IsNotFound(here) && !absl::IsDataLoss(here)) return here;
    LogWarning(kComponent,
               StrCat("image ", digest, " is not whole, pulling it again: ", here.message()));
  }
  ASSIGN_OR_RETURN(oci::Reference reference, oci::Reference::Parse(revision.image_reference()));
  RETURN_IF_ERROR(images.Pull(reference, digest, nullptr, cancelled).status());
  *brought = true;
  return images.Unpack(digest).status();
}

// What a container is prepared with, beside its task.
struct Surroundings {
  Runtime& runtime;
  ImageStore& images;
  VolumeStore* volumes;  // may be null
  NodeFacts facts;
  TaskContents contents;
  std::string files_folder;
  std::string log_host;  // its address, when it is a name
};

void LogIfBad(const absl::Status& status, const std::string& task_id) {
  if (status.ok()) return;
  LogWarning(kComponent, StrCat("release volumes of task ", task_id, ": ", status.message()));
}

absl::Status ReleaseVolumes(VolumeStore* volumes, const std::string& task_id) {
  return volumes == nullptr ? absl::OkStatus() : volumes->Release(task_id);
}

OciConfigInput ConfigInputOf(const TaskSpecOnNode& task, const NodeFacts& facts,
                             const JoinedNetworks& joined) {
  OciConfigInput input;
  input.task_id = task.task_id;
  input.slot = task.slot;
  input.revision = task.revision.get();
  input.node_id = facts.node_id;
  input.node_hostname = facts.hostname;
  input.node_platform = facts.platform;
  utsname machine;
  if (uname(&machine) == 0) input.kernel_release = machine.release;
  input.generic_resources = task.generic_resources;
  input.network_path = joined.path;
  input.addresses = joined.addresses;
  input.resolv_conf = joined.resolv_conf;
  return input;
}

absl::Status PrepareContainer(const Surroundings& around, const TaskSpecOnNode& task,
                              const JoinedNetworks& joined) {
  Runtime& runtime = around.runtime;
  const v1::ContainerSpec& container = task.revision->task().container();
  ASSIGN_OR_RETURN(UnpackedImage image, around.images.Unpack(task.revision->image_digest()));
  ASSIGN_OR_RETURN(const ImageConfig config, ParseImageConfig(image.config_json));
  // What an agent before us, or another boot, left half-made under this name.
  if (runtime.State(task.task_id).ok()) {
    RETURN_IF_ERROR(runtime.Remove(task.task_id));
    RETURN_IF_ERROR(ReleaseVolumes(around.volumes, task.task_id));
  }
  OciConfigInput input = ConfigInputOf(task, around.facts, joined);
  input.image_config_json = std::move(image.config_json);
  const TemplateValues values = TemplateValuesFor(input);
  ASSIGN_OR_RETURN(input.devices, FindDevices(container));
  ASSIGN_OR_RETURN(input.mounts,
                   SettleMounts(around.volumes, task, {config.volumes, image.lower_dirs}, values));
  ASSIGN_OR_RETURN(const std::vector<TaskFile> files,
                   PlanTaskFiles(container, around.contents, values));
  // Of the host for as long as the container takes it over.
  ASSIGN_OR_RETURN(const FileMount mount,
                   FileMount::Make(around.files_folder, task.task_id, files));
  input.files = mount.Binds();
  RuntimeContainerSpec spec;
  spec.id = task.task_id;
  ASSIGN_OR_RETURN(spec.config_json, BuildOciConfig(input));
  spec.lower_dirs = std::move(image.lower_dirs);
  if (joined.sockets.udp.valid()) {
    spec.kept_fds = {joined.sockets.udp.get(), joined.sockets.tcp.get()};
  }
  ASSIGN_OR_RETURN(spec.log, LogDestinationOf(task, around.facts.hostname, around.log_host));
  spec.image_digest = task.revision->image_digest();
  if (const auto check = EffectiveHealthCheck(container.health_check(), config.health_check)) {
    spec.note = check->SerializeAsString();
  }
  RETURN_IF_ERROR(runtime.Prepare(spec));
  if (CompressesLogs(task)) MarkCompressed(runtime.LogDirectory(spec.id));
  return absl::OkStatus();
}

// The task's, else the image's, else SIGTERM. A bad name in an image is the image's fault, not
// ours.
int StopSignal(ImageStore& images, const TaskSpecOnNode& task) {
  if (task.revision == nullptr) return SIGTERM;
  std::string name = task.revision->task().container().stop_signal();
  if (name.empty()) {
    auto image = images.Unpack(task.revision->image_digest());
    if (image.ok()) {
      auto config = ParseImageConfig(image->config_json);
      if (config.ok()) name = config->stop_signal;
    }
  }
  return name.empty() ? SIGTERM : ParseSignal(name).value_or(SIGTERM);
}

ContainerExit ExitOf(const RuntimeExit& exit) {
  ContainerExit out;
  out.exit_code = exit.exit_code;
  out.oom_killed = exit.oom_killed;
  if (exit.supervisor_lost) out.error = "supervisor lost";
  return out;
}

// A container's note is its health check, so that it is known for as long as the container is.
std::shared_ptr<const v1::HealthCheck> HealthCheckOf(const RuntimeContainer& container) {
  auto check = std::make_shared<v1::HealthCheck>();
  if (container.note.empty() || !check->ParseFromString(container.note)) return nullptr;
  return check;
}

FoundContainer ToFound(const RuntimeContainer& container) {
  FoundContainer found;
  found.task_id = container.id;
  found.running = container.phase == RuntimeContainer::Phase::kRunning;
  found.created = container.phase == RuntimeContainer::Phase::kCreated;
  found.process.shim = {container.shim.pid, container.shim.start_ticks};
  found.process.init = {container.init.pid, container.init.start_ticks};
  found.process.health_check = HealthCheckOf(container);
  found.exit = ExitOf(container.exit);
  found.image_digest = container.image_digest;
  return found;
}

}  // namespace

ContainerExecutor::ContainerExecutor(const Env& env, WorkerPool& transfers, Runtime& runtime,
                                     ImageStore& images, HostLookup::LookUp look_up)
    : env_(env),
      transfers_pool_(transfers),
      runtime_(runtime),
      images_(images),
      hosts_(env.loop, transfers, std::move(look_up)) {}

ContainerExecutor::~ContainerExecutor() {
  *alive_ = false;
  for (auto& [digest, transfer] : transfers_) transfer->cancelled = true;
  for (auto& [id, watched] : watched_) env_.loop.Unwatch(watched.watch);
}

void ContainerExecutor::Run(absl::AnyInvocable<absl::Status()> work, Done done) {
  OnPool<absl::Status>(env_.loop, env_.pool, std::move(work), std::move(done));
}

void ContainerExecutor::Later(Done done, absl::Status status) {
  env_.loop.Post(
      [done = std::move(done), status = std::move(status)]() mutable { done(std::move(status)); });
}

// ------------------------------------------------------------------------------------ transfers

void ContainerExecutor::Pull(const TaskSpecOnNode& task, Done done) {
  const std::string digest = task.revision->image_digest();
  if (absl::Status here = ContentsOf(task).status(); !here.ok()) {
    return Later(std::move(done), std::move(here));
  }
  if (digest.empty()) {
    return Later(std::move(done),
                 absl::UnavailableError(StrCat("image ", task.revision->image_reference(),
                                               " is not resolved to a digest yet")));
  }
  const std::string host = LogHostToLookUp(task);
  if (host.empty()) return PullImage(task, std::move(done));
  hosts_.Find(host, task.task_id,
              [this, task, done = std::move(done)](HostLookup::Address address) mutable {
                if (!address.ok()) {
                  return Later(std::move(done), Annotate(address.status(), "syslog-address"));
                }
                log_hosts_[task.task_id] = *std::move(address);
                PullImage(task, std::move(done));
              });
}

void ContainerExecutor::PullImage(const TaskSpecOnNode& task, Done done) {
  const std::string& digest = task.revision->image_digest();
  std::shared_ptr<Transfer>& transfer = transfers_[digest];
  if (transfer != nullptr) {
    transfer->waiting.emplace(task.task_id, std::move(done));
    return;
  }
  transfer = std::make_shared<Transfer>();
  transfer->digest = digest;
  transfer->waiting.emplace(task.task_id, std::move(done));
  auto brought = std::make_shared<bool>(false);
  OnPool<absl::Status>(
      env_.loop, transfers_pool_,
      [&images = images_, revision = task.revision, transfer = transfer, brought] {
        return PullAndUnpack(images, *revision, transfer->cancelled, brought.get());
      },
      [this, alive = alive_, transfer = transfer, brought](absl::Status status) {
        if (!*alive) return;
        if (*brought && images_changed_) images_changed_();
        FinishTransfer(transfer, std::move(status));
      });
}

void ContainerExecutor::FinishTransfer(const std::shared_ptr<Transfer>& transfer,
                                       absl::Status status) {
  const auto it = transfers_.find(transfer->digest);
  if (it != transfers_.end() && it->second == transfer) transfers_.erase(it);
  for (auto& [task, done] : std::exchange(transfer->waiting, {})) done(status);
}

bool ContainerExecutor::EndTransferFor(const std::string& task_id) {
  for (auto it = transfers_.begin(); it != transfers_.end(); ++it) {
    auto node = it->second->waiting.extract(task_id);
    if (node.empty()) continue;
    Later(std::move(node.mapped()), absl::CancelledError("the pull was stopped"));
    if (it->second->waiting.empty()) {
      it->second->cancelled = true;
      transfers_.erase(it);  // the next task that wants it begins anew
    }
    return true;
  }
  return false;
}

// ----------------------------------------------------------------------------------------- verbs

void ContainerExecutor::Prepare(const TaskSpecOnNode& task, Done done) {
  releases_.Withdraw(task.task_id);
  TaskNetworks::Join join = [] { return JoinedNetworks(); };
  if (!task.networks.empty()) {
    absl::StatusOr<TaskNetworks::Join> planned =
        networks_ == nullptr ? absl::UnimplementedError("this node has no networks")
                             : networks_->PlanJoin(task);
    if (!planned.ok()) return Later(std::move(done), planned.status());
    join = *std::move(planned);
  }
  absl::StatusOr<TaskContents> contents = ContentsOf(task);
  if (!contents.ok()) return Later(std::move(done), contents.status());
  const auto log_host = log_hosts_.find(task.task_id);
  // A server that hangs must not hold up the pool that stops containers.
  const bool may_hang = MountsOverNetwork(task.revision->task().container());
  OnPool<absl::StatusOr<JoinedNetworks>>(
      env_.loop, may_hang ? transfers_pool_ : env_.pool,
      [around = Surroundings{runtime_, images_, volumes_, facts_, *std::move(contents),
                             files_folder_, log_host == log_hosts_.end() ? "" : log_host->second},
       task, join = std::move(join),
       leave = PlanLeave()]() mutable -> absl::StatusOr<JoinedNetworks> {
        ASSIGN_OR_RETURN(JoinedNetworks joined, join());
        const absl::Status prepared = PrepareContainer(around, task, joined);
        if (prepared.ok()) return joined;
        LogIfBad(ReleaseVolumes(around.volumes, task.task_id), task.task_id);
        if (!task.networks.empty()) leave(task.task_id).IgnoreError();
        return prepared;
      },
      [this, alive = alive_, task, done = std::move(done)](auto joined) mutable {
        if (*alive && !joined.ok() && !task.networks.empty()) networks_->StopServing(task.task_id);
        if (*alive && joined.ok() && !task.networks.empty()) {
          networks_->Serve(task, std::move(joined->sockets));
        }
        if (*alive && volumes_changed_ && UsesNamedVolumes(task.revision->task().container())) {
          volumes_changed_();
        }
        done(joined.status());
      });
}

absl::StatusOr<TaskContents> ContainerExecutor::ContentsOf(const TaskSpecOnNode& task) const {
  static const auto* const kNothing = new ContentBook;
  return (contents_ == nullptr ? kNothing : contents_)->Of(*task.revision);
}

TaskNetworks::Leave ContainerExecutor::PlanLeave() const {
  if (networks_ != nullptr) return networks_->PlanLeave();
  return [](const std::string&) { return absl::OkStatus(); };
}

// The resolver's sockets are where the agent before us left them.
void ContainerExecutor::Adopt(const TaskSpecOnNode& task) {
  if (task.networks.empty() || networks_ == nullptr) return;
  OnPool<absl::StatusOr<ResolverSockets>>(
      env_.loop, env_.pool,
      [&runtime = runtime_, id = task.task_id,
       resume = networks_->PlanResume(task.task_id)]() -> absl::StatusOr<ResolverSockets> {
        ResolverSockets kept;
        ASSIGN_OR_RETURN(kept.udp, runtime.KeptFd(id, 0));
        ASSIGN_OR_RETURN(kept.tcp, runtime.KeptFd(id, 1));
        RETURN_IF_ERROR(resume(kept));
        return kept;
      },
      [this, alive = alive_, task](auto kept) {
        if (!*alive || !watched_.contains(task.task_id)) return;  // it has ended meanwhile
        if (kept.ok()) return networks_->Serve(task, *std::move(kept));
        if (absl::IsNotFound(kept.status())) return;  // likewise
        LogError(kComponent, StrCat("task ", task.task_id,
                                    " has lost its resolver: ", kept.status().message()));
      });
}

void ContainerExecutor::Start(const std::string& task_id,
                              absl::AnyInvocable<void(absl::StatusOr<RunningContainer>)> done) {
  OnPool<absl::StatusOr<RunningContainer>>(
      env_.loop, env_.pool,
      [&runtime = runtime_, task_id]() -> absl::StatusOr<RunningContainer> {
        ASSIGN_OR_RETURN(RuntimeContainer started, runtime.Start(task_id));
        return ToFound(started).process;
      },
      std::move(done));
}

void ContainerExecutor::Stop(const TaskSpecOnNode& task, Done done) {
  Run([&runtime = runtime_, &images = images_,
       task] { return runtime.Signal(task.task_id, StopSignal(images, task)); },
      std::move(done));
}

void ContainerExecutor::Kill(const std::string& task_id, Done done) {
  if (hosts_.Cancel(task_id) || EndTransferFor(task_id)) {
    return Later(std::move(done), absl::OkStatus());
  }
  Run(
      [&runtime = runtime_, task_id] {
        const absl::Status status = runtime.Kill(task_id);
        return absl::IsNotFound(status) ? absl::OkStatus() : status;
      },
      std::move(done));
}

void ContainerExecutor::Remove(const std::string& task_id, Done done) {
  log_hosts_.erase(task_id);
  releases_.Withdraw(task_id);
  if (networks_ != nullptr) networks_->StopServing(task_id);  // also of one that never started
  Run(
      [&runtime = runtime_, volumes = volumes_, task_id, leave = PlanLeave()]() -> absl::Status {
        RETURN_IF_ERROR(runtime.Remove(task_id));
        RETURN_IF_ERROR(ReleaseVolumes(volumes, task_id));
        return leave(task_id);
      },
      std::move(done));
}

void ContainerExecutor::Inventory(
    absl::AnyInvocable<void(absl::StatusOr<std::vector<FoundContainer>>)> done) {
  OnPool<absl::StatusOr<std::vector<FoundContainer>>>(
      env_.loop, env_.pool,
      [&runtime = runtime_, volumes = volumes_]() -> absl::StatusOr<std::vector<FoundContainer>> {
        ASSIGN_OR_RETURN(std::vector<RuntimeContainer> containers, runtime.List());
        std::vector<FoundContainer> found;
        std::set<std::string> ids;
        for (const RuntimeContainer& container : containers) {
          found.push_back(ToFound(container));
          ids.insert(container.id);
        }
        // Of tasks whose containers are gone: they ended with another agent, or another boot.
        if (volumes != nullptr) LogIfBad(volumes->ReleaseAllBut(ids), "of before");
        return found;
      },
      [this, alive = alive_, done = std::move(done)](auto found) mutable {
        if (!*alive) return;
        if (found.ok()) {
          for (const FoundContainer& one : *found) {
            if (!one.running && !one.created) Release(one.task_id);
          }
        }
        done(std::move(found));
      });
}

void ContainerExecutor::ListIds(
    absl::AnyInvocable<void(absl::StatusOr<std::vector<std::string>>)> done) {
  OnPool<absl::StatusOr<std::vector<std::string>>>(
      env_.loop, env_.pool, [&runtime = runtime_] { return runtime.ListIds(); }, std::move(done));
}

// ------------------------------------------------------------------------------------------ exits

void ContainerExecutor::Wait(const std::string& task_id,
                             absl::AnyInvocable<void(ContainerExit)> exited) {
  watched_[task_id].exited = std::move(exited);
  OnPool<absl::StatusOr<UniqueFd>>(
      env_.loop, env_.pool, [&runtime = runtime_, task_id] { return runtime.OpenExitFd(task_id); },
      [this, alive = alive_, task_id](absl::StatusOr<UniqueFd> fd) {
        if (*alive) WatchExit(task_id, std::move(fd));
      });
}

void ContainerExecutor::WatchExit(const std::string& task_id, absl::StatusOr<UniqueFd> fd) {
  // The shim has ended already, or cannot be watched: ask.
  if (!fd.ok()) return AskForExit(task_id);
  Watched& watched = watched_[task_id];
  watched.again.reset();
  watched.fd = *std::move(fd);
  watched.watch = env_.loop.WatchReadable(watched.fd.get(), [this, task_id] {
    Watched& watched = watched_[task_id];
    watched.watch = 0;
    watched.fd.Reset();
    AskForExit(task_id);
  });
}

void ContainerExecutor::AskForExit(const std::string& task_id) {
  OnPool<absl::StatusOr<RuntimeContainer>>(
      env_.loop, env_.pool, [&runtime = runtime_, task_id] { return runtime.State(task_id); },
      [this, alive = alive_, task_id](absl::StatusOr<RuntimeContainer> state) {
        if (*alive) TellExit(task_id, std::move(state));
      });
}

void ContainerExecutor::Release(const std::string& task_id) {
  releases_.Add(task_id, [this, task_id] {
    Run(
        [&runtime = runtime_, volumes = volumes_, task_id, leave = PlanLeave()]() -> absl::Status {
          RETURN_IF_ERROR(runtime.Release(task_id));
          RETURN_IF_ERROR(ReleaseVolumes(volumes, task_id));
          return leave(task_id);
        },
        [this, alive = alive_, task_id](absl::Status status) {
          if (!*alive) return;
          releases_.Finished();
          // Removed or prepared anew meanwhile is as good.
          if (status.ok() || absl::IsNotFound(status) || absl::IsFailedPrecondition(status)) return;
          if (!absl::IsUnavailable(status)) {
            LogWarning(kComponent, StrCat("release task ", task_id, ": ", status.message()));
            return;
          }
          env_.loop.RunAfter(kReleaseRetry, [this, alive, task_id] {
            if (*alive) Release(task_id);
          });
        });
  });
}

void ContainerExecutor::TellExit(const std::string& task_id,
                                 absl::StatusOr<RuntimeContainer> state) {
  const auto it = watched_.find(task_id);
  if (it == watched_.end()) return;
  const bool runs = state.ok() && state->phase == RuntimeContainer::Phase::kRunning;
  // Its fd could not be had, the pool was full, no descriptor was left: only the runtime's word
  // that there is none ends a container that nobody saw end (F23).
  const bool unknown = !state.ok() && !absl::IsNotFound(state.status());
  if (runs || unknown) {
    if (unknown && it->second.again == nullptr) {
      LogWarning(kComponent,
                 StrCat("task ", task_id, ", asking again: ", state.status().message()));
    }
    return WaitAgainLater(task_id);
  }
  auto exited = std::move(it->second.exited);
  watched_.erase(it);
  if (networks_ != nullptr) networks_->StopServing(task_id);
  if (state.ok()) {
    exited(ExitOf(state->exit));
    if (state->phase == RuntimeContainer::Phase::kExited) Release(task_id);
    return;
  }
  LogWarning(kComponent, StrCat("task ", task_id, ": ", state.status().message()));
  exited({0, false, "container is gone"});
}

void ContainerExecutor::WaitAgainLater(const std::string& task_id) {
  std::unique_ptr<Backoff>& again = watched_[task_id].again;
  if (again == nullptr) again = std::make_unique<Backoff>(kExitRetry, env_.random);
  env_.loop.RunAfter(again->Next(), [this, alive = alive_, task_id] {
    if (!*alive) return;
    const auto it = watched_.find(task_id);
    if (it != watched_.end()) Wait(task_id, std::move(it->second.exited));
  });
}

}  // namespace swarm::agent
