#include <unistd.h>

#include <string_view>
#include <utility>

#include "common/file_system.h"
#include "common/log.h"
#include "common/mutex.h"
#include "common/proto_time.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/tls/certificates.h"
#include "manager/advertise.h"
#include "manager/black_box.h"
#include "manager/grpc_doors.h"
#include "manager/grpc_locked_door.h"
#include "manager/key_file.h"
#include "manager/key_keeper.h"
#include "manager/loop_watchdog.h"
#include "manager/manager.h"
#include "manager/on_loop.h"
#include "manager/rooms.h"
#include "manager/service_rules.h"

namespace swarm::manager {
namespace {

constexpr absl::Duration kJournalPatience = absl::Seconds(5);
constexpr absl::Duration kCertificateRetry = absl::Minutes(5);
constexpr std::string_view kRoomNames[] = {"store",      "orchestrator", "scheduler", "ca",
                                           "dispatcher", "allocator",    "api"};
// NOT_SERVING while the journal stalls.
constexpr std::string_view kJournalHealth = "manager/journal";
// NOT_SERVING, as "" is, while the loop does not come round.
constexpr std::string_view kLoopHealth = "manager/loop";

class GrpcManager final : public Manager {
 public:
  GrpcManager(ManagerOptions options, const Env& env)
      : options_(std::move(options)), env_(env), registry_(oci::MakeRegistry(options_.registry)) {}
  ~GrpcManager() override { Stop(); }

  absl::Status Begin(FatalCallback on_fatal) {
    RETURN_IF_ERROR(Annotate(MakeDirectories(options_.state_dir, 0700), "state folder"));
    RETURN_IF_ERROR(Annotate(MakeDirectories(options_.run_dir, 0755), "run folder"));
    on_fatal_ = std::move(on_fatal);
    ASSIGN_OR_RETURN(KeyFile key_file, KeyFile::ReadOrMake(KeyPath(), env_.random));
    key_is_new_ = key_file.is_new();
    if (key_file.locked()) return WaitForKey(std::move(key_file));
    MutexLock lock(mu_);
    return BeginUnlocked(key_file.Take());
  }

  void Stop() override {
    // Not under the lock, which its calls may want.
    std::unique_ptr<LockedDoor> locked_door;
    {
      MutexLock lock(mu_);
      if (std::exchange(stopped_, true)) return;
      locked_door = std::move(locked_door_);
      watchdog_.reset();
      if (doors_ != nullptr) doors_->Close();
      WaitForJournal();
      RunOnLoop(env_.loop, [this] {
        env_.loop.Cancel(certificate_timer_);
        rooms_.reset();
        return true;
      });
    }
    locked_door.reset();
    if (going_on_ != nullptr) going_on_->Wait();
  }

  Addresses addresses() const override {
    MutexLock lock(mu_);
    if (doors_ != nullptr) return doors_->addresses();
    // Also between the door of a locked one and its own.
    return {"", "", StrCat("unix:", options_.run_dir, "/manager.sock")};
  }

 private:
  std::string KeyPath() const { return StrCat(options_.state_dir, "/data.key"); }

  absl::Status WaitForKey(KeyFile key_file) {
    auto file = std::make_shared<const KeyFile>(std::move(key_file));
    // A key that comes at once waits in GoOn until the door is in its place.
    MutexLock lock(mu_);
    ASSIGN_OR_RETURN(locked_door_, LockedDoor::Open(options_, [this, file](std::string_view text) {
                       return TryKey(*file, text);
                     }));
    LogWarning("manager", "locked: nothing is decided until somebody says swarmctl swarm unlock");
    return absl::OkStatus();
  }

  // On one of gRPC's threads.
  absl::Status TryKey(const KeyFile& file, std::string_view text) {
    if (going_on_ != nullptr) return absl::OkStatus();
    ASSIGN_OR_RETURN(ManagerKeys keys, file.Unlock(text));
    auto kept = std::make_shared<ManagerKeys>(std::move(keys));
    auto gone_on = std::make_shared<Awaited<bool>>();
    RETURN_IF_ERROR(env_.pool.Submit([this, kept, gone_on] {
      GoOn(std::move(*kept));
      gone_on->Set(true);
    }));
    going_on_ = std::move(gone_on);
    return absl::OkStatus();
  }

  // On the pool.
  void GoOn(ManagerKeys keys) {
    std::unique_ptr<LockedDoor> locked_door;
    {
      MutexLock lock(mu_);
      if (stopped_) return;
      locked_door = std::move(locked_door_);
    }
    locked_door.reset();  // the socket is free
    absl::Status begun;
    {
      MutexLock lock(mu_);
      if (stopped_) return;
      begun = BeginUnlocked(std::move(keys));
    }
    if (begun.ok()) return LogInfo("manager", "unlocked");
    LogError("manager", StrCat("unlocked, and does not start: ", begun.message()));
    env_.loop.Post([this, begun] { on_fatal_(begun); });
  }

  absl::Status BeginUnlocked(ManagerKeys keys) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    ASSIGN_OR_RETURN(doors_, Doors::Bind(options_));
    RETURN_IF_ERROR(RunOnLoop(env_.loop, [&] { return OpenRooms(std::move(keys)); }));
    RETURN_IF_ERROR(MakeCluster());
    BlameService();
    if (options_.catch_crashes) WatchLoop();
    RETURN_IF_ERROR(RunOnLoop(env_.loop, [&] { return StartRooms(); }));
    return doors_->Serve(env_, *rooms_, tls_);
  }

  absl::Status OpenRooms(ManagerKeys keys) {
    Store::Options options;
    options.on_fatal = [this](absl::Status status) {
      failed_ = true;
      on_fatal_(std::move(status));
    };
    options.on_stall = [this](const absl::Status& stall) {
      doors_->health().Set(kJournalHealth, stall.ok());
    };
    OpenBlackBox();
    ASSIGN_OR_RETURN(rooms_, Rooms::Open(env_, options_.state_dir, std::move(options),
                                         std::make_unique<SecretVault>(std::move(keys.data))));
    RETURN_IF_ERROR(CheckKeyOpensWhatIsSealed());
    rooms_->keys =
        std::make_unique<KeyKeeper>(env_, KeyPath(), *rooms_->vault, std::move(keys.unlock));
    if (rooms_->store->view().GetCluster() != nullptr) return rooms_->ca->SealWhatIsClear();
    if (options_.initialise) return absl::OkStatus();
    return absl::FailedPreconditionError(
        StrCat("there is no cluster in ", options_.state_dir, ": make one with --init"));
  }

  // Fails closed: with another key old secrets are lost and new ones are sealed apart. One that
  // does not open alone is damaged, and only who mounts it suffers.
  absl::Status CheckKeyOpensWhatIsSealed() const {
    if (!rooms_->ca->CheckKey().ok()) {
      return WrongKey("the key of the cluster's certificates");
    }
    size_t closed = 0;
    bool opens = false;
    rooms_->store->view().EachSecret([&](const Ref<Secret>& secret) {
      opens = rooms_->vault->Open(*secret).ok();
      closed += opens ? 0 : 1;
      return !opens;
    });
    if (opens || closed == 0) return absl::OkStatus();
    return WrongKey(StrCat("any of the cluster's secrets (", closed, ")"));
  }

  absl::Status WrongKey(std::string_view what) const {
    if (key_is_new_) ::unlink(KeyPath().c_str());
    return absl::DataLossError(StrCat("the key in ", KeyPath(), " does not open ", what,
                                      ": put back the one that it was sealed with"));
  }

  // Without one nothing is quarantined, and all else goes on.
  void OpenBlackBox() {
    auto box = BlackBox::Open(StrCat(options_.run_dir, "/deciding"), {options_.crash_over});
    if (!box.ok()) {
      return LogWarning("manager", StrCat("crashes will not be noted: ", box.status().message()));
    }
    black_box_ = *std::move(box);
    env_.black_box = black_box_.get();
    if (options_.catch_crashes) black_box_->CatchCrashes();
  }

  // What the process before ended over. Returns once that is durable, as the rooms may crash again,
  // or when the disk is slow; then the next process finds it still noted.
  void BlameService() {
    if (black_box_ == nullptr || !black_box_->crash().has_value()) return;
    auto noted = std::make_shared<Awaited<absl::Status>>();
    env_.loop.Post([this, noted] {
      const absl::Status status = rooms_->store->Update(
          [this](WriteTx& tx) { return WriteBlame(tx, *black_box_->crash()); },
          [this, noted](absl::Status durable) {
            if (durable.ok()) black_box_->Forget();
            noted->Set(std::move(durable));
          });
      if (!status.ok()) noted->Set(status);
      env_.loop.RunAfter(kJournalPatience,
                         [noted] { noted->Set(absl::DeadlineExceededError("the disk is slow")); });
    });
    const absl::Status status = noted->Wait();
    if (!status.ok() && !absl::IsNotFound(status)) {
      LogError("manager", StrCat("note what crashed: ", status.message()));
    }
  }

  absl::Status WriteBlame(WriteTx& tx, const BlackBox::Crash& crash) {
    const Ref<Service> service = tx.view().GetService(crash.service);
    if (service == nullptr) {
      black_box_->Forget();
      return absl::NotFoundError("the service is gone");
    }
    Service blamed = Blamed(*service, crash.room, env_.clock.WallNow(), crash.crashes);
    LogError("manager", StrCat("service ", service->spec().name(), ": ",
                               blamed.quarantine().reason(), " (signal ", crash.signal, ")",
                               IsQuarantined(blamed) ? "; it is in quarantine now" : ""));
    return tx.Put(std::move(blamed));
  }

  void WatchLoop() {
    watchdog_ = std::make_unique<LoopWatchdog>(
        env_.loop,
        [&health = doors_->health()](bool well) {
          health.Set(kLoopHealth, well);
          health.Set("", well);
        },
        BlackBox::EndLoop);
    doors_->health().Set(kLoopHealth, true);
    watchdog_->Start();
  }

  // Returns once the cluster that was made is durable.
  absl::Status MakeCluster() {
    auto made = std::make_shared<Awaited<absl::Status>>();
    env_.loop.Post([this, made] {
      if (rooms_->store->view().GetCluster() != nullptr) return made->Set(absl::OkStatus());
      ClusterCa::BootstrapOptions bootstrap{.spec = options_.spec};
      bootstrap.advertise_addr =
          Advertised(options_.advertise_addr, "", doors_->addresses().control);
      bootstrap.join_addr = Advertised(options_.advertise_join_addr, "", doors_->addresses().join);
      rooms_->ca->Bootstrap(std::move(bootstrap),
                            [made](absl::Status status) { made->Set(std::move(status)); });
    });
    return Annotate(made->Wait(), "make the cluster");
  }

  // What was asked for, else the address that is bound if it says something, else what was used
  // before.
  static std::string Advertised(const std::string& asked, const std::string& before,
                                const std::string& bound) {
    if (!asked.empty()) return asked;
    if (!before.empty() && IsWildcard(bound)) return before;
    return DefaultAdvertiseAddress(bound);
  }

  absl::Status StartRooms() {
    RETURN_IF_ERROR(AdoptFlags());
    RETURN_IF_ERROR(RenewCertificate());
    edge::HealthService& health = doors_->health();
    rooms_->Start(registry_, [&health](const std::string& name, std::optional<bool> serving) {
      if (serving.has_value()) {
        health.Set(name, *serving);
      } else {
        health.Forget(name);
      }
    });
    const bool auto_lock = rooms_->store->view().GetCluster()->spec().auto_lock();
    rooms_->keys->Follow(auto_lock, [](const absl::Status& followed) {
      if (followed.ok()) return;
      LogError("manager", StrCat("the key file is not as auto_lock says: ", followed.message()));
    });
    if (auto_lock && !rooms_->keys->locked()) {
      LogWarning("manager",
                 "autolock is on, and nobody has its key yet: this manager locks itself once "
                 "somebody has asked for it with swarmctl swarm unlock-key");
    }
    for (std::string_view room : kRoomNames) health.Set(StrCat("manager/", room), true);
    health.Set(kJournalHealth, rooms_->store->stall().ok());
    health.Set("", true);
    return absl::OkStatus();
  }

  // What this start was told about the cluster and an earlier one was not.
  absl::Status AdoptFlags() {
    Cluster cluster = *rooms_->store->view().GetCluster();
    const std::string before = cluster.SerializeAsString();
    cluster.set_advertise_addr(
        Advertised(options_.advertise_addr, cluster.advertise_addr(), doors_->addresses().control));
    cluster.set_join_addr(
        Advertised(options_.advertise_join_addr, cluster.join_addr(), doors_->addresses().join));
    if (options_.heartbeat_period.has_value()) {
      *cluster.mutable_spec()->mutable_heartbeat_period() =
          swarm::ToProto(*options_.heartbeat_period);
    }
    if (cluster.SerializeAsString() == before) return absl::OkStatus();
    return rooms_->store->Update([&](WriteTx& tx) { return tx.Put(std::move(cluster)); });
  }

  // The servers' own certificate: a new one now and at each half of its life.
  absl::Status RenewCertificate() {
    ASSIGN_OR_RETURN(tls::KeyPair pair, rooms_->ca->IssueServerCertificate());
    ASSIGN_OR_RETURN(std::string root, rooms_->ca->RootPem());
    ASSIGN_OR_RETURN(tls::Lifetime life, tls::CertificateLifetime(pair.certificate_pem));
    edge::TlsMaterial material{std::move(root), std::move(pair.certificate_pem),
                               std::move(pair.key_pem)};
    if (tls_ == nullptr) {
      tls_ = std::make_shared<edge::TlsSource>(std::move(material));
    } else {
      tls_->Set(std::move(material));
    }
    RenewCertificateAfter((life.not_after - env_.clock.WallNow()) / 2);
    return absl::OkStatus();
  }
  void RenewCertificateAfter(absl::Duration delay) {
    certificate_timer_ = env_.loop.RunAfter(delay, [this] {
      absl::Status renewed = RenewCertificate();
      if (renewed.ok()) return;
      LogError("manager", StrCat("renew the servers' certificate: ", renewed.message()));
      RenewCertificateAfter(kCertificateRetry);
    });
  }

  void WaitForJournal() {
    auto durable = std::make_shared<Awaited<bool>>();
    env_.loop.Post([this, durable] {
      if (rooms_ == nullptr || failed_) return durable->Set(false);
      rooms_->store->WhenDurable(rooms_->store->version(), [durable] { durable->Set(true); });
      env_.loop.RunAfter(kJournalPatience, [durable] { durable->Set(false); });
    });
    durable->Wait();
  }

  const ManagerOptions options_;
  Env env_;
  std::unique_ptr<BlackBox> black_box_;  // null when the disk did not let us
  std::unique_ptr<LoopWatchdog> watchdog_;
  const std::shared_ptr<oci::Registry> registry_;
  FatalCallback on_fatal_;  // on the loop
  bool key_is_new_ = false;
  // Set by TryKey, and looked at when the door is closed: Stop waits for what it began.
  std::shared_ptr<Awaited<bool>> going_on_;
  // What begins and ends: Start's and Stop's thread, and the pool's that goes on when it is
  // unlocked.
  mutable Mutex mu_;
  std::unique_ptr<LockedDoor> locked_door_ ABSL_GUARDED_BY(mu_);  // null: not locked
  std::unique_ptr<Doors> doors_;
  std::unique_ptr<Rooms> rooms_;          // on the loop
  std::shared_ptr<edge::TlsSource> tls_;  // made on the loop before the doors open
  TimerId certificate_timer_ = 0;         // on the loop
  bool failed_ = false;                   // on the loop
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Manager>> Manager::Start(ManagerOptions options, const Env& env,
                                                        FatalCallback on_fatal) {
  auto manager = std::make_unique<GrpcManager>(std::move(options), env);
  // Destroyed when it fails, which takes down what had started.
  RETURN_IF_ERROR(manager->Begin(std::move(on_fatal)));
  return manager;
}

}  // namespace swarm::manager
