#include "tests/sim/sim_cluster.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "manager/allocator/network_planner.h"
#include "manager/network_rules.h"
#include "tests/sim/delayed_journal.h"

namespace swarm::testing {
namespace {

using manager::TaskState;

constexpr absl::Duration kFaultPhase = absl::Minutes(2);
constexpr absl::Duration kRestWithin = absl::Minutes(10);
constexpr char kWriteLabel[] = "write";
constexpr char kNetwork[] = "net";

double Chance(Random& random, double low, double high) {
  return low + (high - low) * random.Fraction();
}

uint64_t Mix(uint64_t hash, uint64_t value) { return (hash ^ value) * 0x100000001b3; }

std::string Name(const manager::Task& task) {
  return absl::StrCat(task.revision->revision().service_name(), ".", task.slot, " (",
                      task.id.ToString().substr(0, 6), ")");
}

}  // namespace

SimCluster::SimCluster(uint64_t seed)
    : seed_(seed), world_(seed), random_(MakeSeededRandom(seed * 7919 + 1)) {
  world_.Close();
  world_.SetJournalFront([this](manager::MemoryJournal& disk) {
    return std::make_unique<DelayedJournal>(world_.loop(), *random_, disk);
  });
  StartManager();
  world_.MustWrite([&](manager::WriteTx& tx) {
    manager::Cluster cluster;
    cluster.set_id(Id::Make(world_.random()).ToString());
    return tx.Put(std::move(cluster));
  });
  world_.MustWrite([&](manager::WriteTx& tx) {
    v1::NetworkSpec spec;
    spec.set_name(kNetwork);
    absl::StatusOr<manager::Network> network = manager::NetworkPlanner().Plan(tx.view(), spec);
    CHECK(network.ok()) << network.status();
    network->set_id(Id::Make(world_.random()).ToString());
    return tx.Put(*std::move(network));
  });
  const size_t nodes = 2 + random_->Below(5);
  for (size_t i = 0; i < nodes; ++i) AddNode();
  world_.loop().Advance(absl::Seconds(2));  // that they joined is durable
}

SimCluster::~SimCluster() { StopManager(); }

void SimCluster::StartManager() {
  world_.Open();
  CheckAcknowledged();
  watch_ = world_.store().Watch(manager::WatchSpeed::kApplied,
                                [this](const manager::ChangeSet& set) { OnChanges(set); });
  dispatcher_ = manager::MakeDispatcher(world_.env(), world_.store());
  const uint64_t refused_one_in = phase_ != "heal" && seed_ % 3 == 0 ? 20 : 0;
  refusing_store_ = std::make_unique<RefusingStore>(world_.store(), *random_, refused_one_in);
  orchestrator_ = manager::MakeOrchestrator(world_.env(), *refusing_store_);
  allocator_ = manager::MakeAllocator(world_.env(), *refusing_store_);
  scheduler_ = manager::MakeScheduler(world_.env(), *refusing_store_);
  dispatcher_->Start();
  orchestrator_->Start();
  allocator_->Start();
  scheduler_->Start();
  for (auto& agent : agents_) agent->Attach(dispatcher_.get());
}

void SimCluster::StopManager() {
  if (dispatcher_ == nullptr) return;
  for (auto& agent : agents_) agent->Attach(nullptr);
  scheduler_.reset();
  allocator_.reset();
  orchestrator_.reset();
  dispatcher_.reset();
  refusing_store_.reset();
  watch_.reset();
  world_.Close();
}

void SimCluster::AddNode() {
  const std::string hostname = absl::StrCat("n", agents_.size());
  const Id id = world_.AddNode(hostname, {{"zone", agents_.size() % 2 == 0 ? "a" : "b"}});
  world_.SetNodeState(id, v1::NodeStatus::STATE_UNKNOWN);
  agents_.push_back(std::make_unique<SimAgent>(world_.loop(), *random_, id, hostname));
  agents_.back()->Attach(dispatcher_.get());
}

// ---------------------------------------------------------------------------------- what happens

SimResult SimCluster::Run() {
  phase_ = "faults";
  for (auto& agent : agents_) agent->SetCrashRate(Chance(*random_, 0, 0.02));
  const absl::Duration end = world_.loop().Now() + kFaultPhase;
  while (world_.loop().Now() < end && result_.failure.empty()) {
    RandomAction();
    Pass(absl::Milliseconds(200 + random_->Below(3'000)));
  }
  phase_ = "heal";
  Heal();
  const absl::Duration limit = world_.loop().Now() + kRestWithin;
  std::string restless = "has not begun";
  while (world_.loop().Now() < limit && !restless.empty() && result_.failure.empty()) {
    Pass(absl::Seconds(1));
    restless = WhyNotAtRest();
  }
  if (!restless.empty()) Fail(8, restless);
  phase_ = "rest";
  Pass(absl::Seconds(30));
  if (result_.failure.empty()) CheckAtRest();
  return result_;
}

void SimCluster::Pass(absl::Duration time) {
  for (absl::Duration passed; passed < time; passed += absl::Milliseconds(100)) {
    world_.loop().Advance(absl::Milliseconds(100));
    CheckContainers();
  }
}

void SimCluster::RandomAction() {
  if (!world_.IsOpen()) {
    if (random_->Below(3) == 0) StartManager();
    return;
  }
  const uint64_t dice = random_->Below(100);
  if (dice < 8) {
    StopManager();
  } else if (dice < 60) {
    UserAction();
  } else {
    NodeAction();
  }
}

std::vector<Id> SimCluster::LiveServices() {
  std::vector<Id> services;
  world_.view().EachService([&](const auto& service) {
    if (!service->removing()) services.push_back(Id::ParseOrZero(service->id()));
    return true;
  });
  return services;
}

void SimCluster::UserAction() {
  const std::vector<Id> services = LiveServices();
  if (services.empty() || (services.size() < 4 && random_->Below(4) == 0)) return CreateService();
  const Id service = services[random_->Below(services.size())];
  if (random_->Below(12) == 0) {
    world_.RemoveService(service);
    expected_.erase(service);
    return;
  }
  ChangeService(service);
}

void SimCluster::CreateService() {
  const uint64_t write = ++last_write_;
  const Id id = world_.AddService(
      absl::StrCat("s", ++last_name_), random_->Below(7), [&](v1::ServiceSpec& spec) {
        v1::TaskSpec& task = *spec.mutable_task();
        task.mutable_resources()->mutable_reservations()->set_nano_cpus(
            static_cast<int64_t>(random_->Below(300)) * 1'000'000);
        task.mutable_restart()->mutable_delay()->set_seconds(random_->Below(6));
        if (random_->Below(3) == 0) {
          task.mutable_placement()->add_constraints("node.labels.zone==a");
        }
        if (random_->Below(2) == 0) task.add_networks()->set_target(kNetwork);
        (*spec.mutable_labels())[kWriteLabel] = std::to_string(write);
      });
  Acknowledge(id, write);
}

void SimCluster::ChangeService(Id service) {
  const uint64_t write = ++last_write_;
  world_.ChangeService(service, [&](v1::ServiceSpec& spec) {
    (*spec.mutable_labels())[kWriteLabel] = std::to_string(write);
    switch (random_->Below(4)) {
      case 0:
        spec.mutable_task()->mutable_container()->set_image(absl::StrCat("app:", write));
        break;
      case 1:
        spec.mutable_task()->set_force_update(write);
        break;
      case 2:
        spec.mutable_task()->mutable_placement()->clear_constraints();
        if (random_->Below(2) == 0) {
          spec.mutable_task()->mutable_placement()->add_constraints("node.labels.zone==a");
        }
        break;
      default:
        spec.mutable_replicated()->set_replicas(random_->Below(7));
    }
  });
  Acknowledge(service, write);
}

void SimCluster::Acknowledge(Id service, uint64_t write) {
  world_.store().WhenDurable(world_.store().version(), [this, service, write] {
    const auto now = world_.view().GetService(service);
    if (now != nullptr && !now->removing()) expected_[service].acknowledged_write = write;
  });
}

void SimCluster::NodeAction() {
  SimAgent& agent = *agents_[random_->Below(agents_.size())];
  const bool joined = world_.view().GetNode(agent.node()) != nullptr;
  switch (random_->Below(10)) {
    case 0:
    case 1:
      return agent.Cut();
    case 2:
    case 3:
      return agent.Mend();
    case 4:
      return agent.PowerOff();
    case 5:
      return agent.PowerOn();
    case 6:
      return agent.RestartProcess();
    case 7:
      if (joined) world_.SetAvailability(agent.node(), v1::NodeSpec::AVAILABILITY_DRAIN);
      return;
    case 8:
      if (joined) world_.SetAvailability(agent.node(), v1::NodeSpec::AVAILABILITY_ACTIVE);
      return;
    default:
      // The first two stay, so that every constraint can be satisfied in the end.
      if (joined && agents_.size() < 9 && &agent != agents_[0].get() &&
          &agent != agents_[1].get() && random_->Below(3) == 0) {
        agent.WriteOff();
        world_.RemoveNode(agent.node());
        AddNode();
      }
  }
}

// Every fault ends, and users ask for something that fits.
void SimCluster::Heal() {
  if (!world_.IsOpen()) StartManager();
  refusing_store_->Relent();
  for (auto& agent : agents_) {
    agent->SetCrashRate(0);
    agent->Mend();
    agent->PowerOn();
    if (world_.view().GetNode(agent->node()) != nullptr) {
      world_.SetAvailability(agent->node(), v1::NodeSpec::AVAILABILITY_ACTIVE);
    }
  }
  for (Id service : LiveServices()) {
    world_.ChangeService(service, [&](v1::ServiceSpec& spec) {
      spec.mutable_replicated()->set_replicas(random_->Below(3));
      // Some are only scaled: what was half done must be finished without a new update.
      if (random_->Below(2) == 0) spec.mutable_task()->mutable_container()->set_image("app:healed");
    });
  }
}

// ------------------------------------------------------------------------------------ invariants

void SimCluster::Fail(int invariant, const std::string& what) {
  if (!result_.failure.empty()) return;
  result_.failure = absl::StrCat("I", invariant, " in phase ", phase_, " at ",
                                 absl::FormatDuration(world_.loop().Now()), ": ", what);
}

void SimCluster::OnChanges(const manager::ChangeSet& set) {
  for (const manager::Change& change : set.changes) {
    ++result_.changes;
    if (change.Is<manager::Task>()) {
      CheckTask(change.Before<manager::Task>(), change.After<manager::Task>());
    }
    if (!change.Is<manager::Node>()) continue;
    const auto node = change.After<manager::Node>();
    const bool lost = node == nullptr || manager::IsDown(*node);
    const Id id = Id::ParseOrZero((node != nullptr ? node : change.Before<manager::Node>())->id());
    for (auto& agent : agents_) {
      if (lost && agent->node() == id) agent->WriteOff();
    }
  }
}

void SimCluster::CheckTask(const manager::Ref<manager::Task>& before,
                           const manager::Ref<manager::Task>& after) {
  const manager::Task& task = after != nullptr ? *after : *before;
  result_.trace = Mix(Mix(result_.trace, task.id.low), static_cast<uint64_t>(task.state) << 16 |
                                                           static_cast<uint64_t>(task.desired));
  if (before != nullptr && after != nullptr) {
    if (after->state < before->state) {
      Fail(2, absl::StrCat(Name(task), " went back from ", static_cast<int>(before->state), " to ",
                           static_cast<int>(after->state)));
    }
    if (after->desired < before->desired) Fail(2, absl::StrCat(Name(task), " is wanted again"));
    if (!before->node_id.IsZero() && after->node_id != before->node_id) {
      Fail(2, absl::StrCat(Name(task), " changed its node"));
    }
  }
  if (after == nullptr) {
    const bool never_placed = before->node_id.IsZero();
    const bool node_is_gone = world_.view().GetNode(before->node_id) == nullptr;
    if (!before->gone && !never_placed && !node_is_gone) {
      Fail(3, absl::StrCat("the record of ", Name(task), " went before its container"));
    }
    return;
  }
  CheckSlot(task.service_id, task.slot);
  CheckAddresses(task);
  if (!task.node_id.IsZero() && (before == nullptr || before->node_id.IsZero())) {
    CheckNode(task.node_id);
    const auto node = world_.view().GetNode(task.node_id);
    const manager::PlacementRules rules(task.revision->revision().task().placement());
    if (node != nullptr && !rules.BrokenConstraint(manager::SubjectOf(*node)).empty()) {
      Fail(6, absl::StrCat(Name(task), " was placed against its constraints"));
    }
  }
}

void SimCluster::CheckSlot(Id service, manager::Slot slot) {
  size_t active = 0;
  std::set<std::string> revisions;
  world_.view().EachTaskOfSlot(service, slot, [&](const auto& task) {
    if (!manager::IsWantedToRun(*task)) return true;
    ++active;
    revisions.insert(task->revision->revision().id());
    return true;
  });
  // While the slot is changed over: the old one runs, the new one prepares.
  if (active > 2 || active > revisions.size()) {
    Fail(1, absl::StrCat("slot ", slot, " has ", active, " tasks that should run"));
  }
}

void SimCluster::CheckAddresses(const manager::Task& task) {
  if (!manager::HoldsAddresses(task)) return;
  for (const manager::TaskAddress& address : task.addresses()) {
    const auto other = world_.view().GetTask(std::exchange(holders_[address.v4], task.id));
    // A restart of the manager takes back what was given to tasks that had no node yet.
    if (other == nullptr || other->id == task.id || !manager::HoldsAddresses(*other)) continue;
    if (other->addresses() != task.addresses()) continue;
    Fail(21,
         absl::StrCat(address.v4.ToString(), " is held by ", Name(task), " and ", Name(*other)));
  }
}

// What a node knows of networks that it has tasks in is what there is.
void SimCluster::CheckMembers() {
  std::map<Id, bool> members;
  std::set<Id> nodes;
  for (const manager::Task& task : world_.AllTasks()) {
    if (task.node_id.IsZero() || !manager::HoldsAddresses(task)) continue;
    members[task.id] = manager::IsServing(task);
    nodes.insert(task.node_id);
  }
  for (const auto& agent : agents_) {
    std::map<Id, bool> known;
    for (const auto& [id, member] : agent->members()) known[id] = member.serving;
    const bool right = nodes.contains(agent->node()) ? known == members : known.empty();
    if (!right) {
      Fail(22, absl::StrCat("a node knows ", known.size(), " members of ", members.size()));
    }
  }
}

void SimCluster::CheckNode(Id id) {
  const auto node = world_.view().GetNode(id);
  if (node == nullptr) return;
  manager::Reservation taken;
  world_.view().EachTaskOfNode(id, [&](const auto& task) {
    if (manager::IsRunnable(*task)) taken += manager::ReservationOf(*task->revision);
    return true;
  });
  if (taken.nano_cpus > manager::CapacityOf(*node).nano_cpus) {
    Fail(4, absl::StrCat(node->description().hostname(), " has ", taken.nano_cpus, " reserved"));
  }
}

void SimCluster::CheckContainers() {
  for (const auto& agent : agents_) {
    if (!agent->complaint().empty()) Fail(22, agent->complaint());
  }
  std::map<std::pair<Id, manager::Slot>, std::vector<Id>> executing;
  for (const auto& agent : agents_) {
    for (const auto& [id, task] : agent->tasks()) {
      if (task.Executes() && !task.written_off) executing[{task.service, task.slot}].push_back(id);
    }
  }
  if (!world_.IsOpen()) return;
  for (const auto& [slot, tasks] : executing) {
    if (tasks.size() < 2) continue;
    int64_t newest = 0;
    for (Id id : tasks) {
      const auto task = world_.view().GetTask(id);
      if (task != nullptr) newest = std::max(newest, task->created_unix_ms);
    }
    const absl::Duration age = world_.loop().WallNow() - absl::FromUnixMillis(newest);
    if (age < absl::Seconds(59)) {
      Fail(5, absl::StrCat("slot ", slot.second, " of ", slot.first.ToString().substr(0, 6),
                           " executes ", tasks.size(), " times"));
    }
  }
}

void SimCluster::CheckAcknowledged() {
  for (const auto& [id, expected] : expected_) {
    const auto service = world_.view().GetService(id);
    if (service == nullptr) {
      Fail(7, absl::StrCat("service ", id.ToString(), " was acknowledged and is lost"));
      continue;
    }
    const auto label = service->spec().labels().find(kWriteLabel);
    if (std::stoull(label->second) < expected.acknowledged_write) {
      Fail(7, absl::StrCat("write ", expected.acknowledged_write, " of ", service->spec().name(),
                           " was acknowledged and is lost"));
    }
  }
}

// Empty when the cluster is what its users asked for.
std::string SimCluster::WhyNotAtRest() {
  std::string why;
  std::set<Id> wanted;
  world_.view().EachService([&](const auto& service) {
    const std::string& name = service->spec().name();
    const Id id = Id::ParseOrZero(service->id());
    if (service->removing()) return why = absl::StrCat(name, " is still being removed"), false;
    const std::vector<manager::Task> active = world_.Active(id);
    if (active.size() != service->spec().replicated().replicas()) {
      why = absl::StrCat(name, " has ", active.size(), " active slots and asks for ",
                         service->spec().replicated().replicas());
    }
    for (const manager::Task& task : active) {
      wanted.insert(task.id);
      const bool runs = task.state == TaskState::kRunning && task.desired == TaskState::kRunning;
      if (!runs) {
        why = absl::StrCat(Name(task), " is ", std::string(manager::TaskStateName(task.state)),
                           ": ", task.error());
      }
      const bool paused = service->update_status().state() == v1::UpdateStatus::STATE_PAUSED;
      if (!paused && StoreWorld::ImageOf(task) != service->spec().task().container().image()) {
        why = absl::StrCat(Name(task), " runs ", StoreWorld::ImageOf(task),
                           "; update: ", service->update_status().message());
      }
    }
    if (service->update_status().state() == v1::UpdateStatus::STATE_UPDATING) {
      why = absl::StrCat(name, " is still being updated");
    }
    return why.empty();
  });
  if (!why.empty()) return why;
  std::set<Id> executing;
  for (const auto& agent : agents_) {
    for (const auto& [id, task] : agent->tasks()) {
      if (task.Executes()) executing.insert(id);
    }
  }
  return executing == wanted ? "" : "nodes run something else than what is wanted";
}

void SimCluster::CheckAtRest() {
  if (const std::string why = WhyNotAtRest(); !why.empty()) Fail(8, why);
  CheckMembers();
  for (const manager::Task& task : world_.AllTasks()) {
    if (task.desired == TaskState::kRemove) Fail(8, absl::StrCat(Name(task), " is not removed"));
    if (world_.view().GetService(task.service_id) == nullptr) {
      Fail(8, absl::StrCat(Name(task), " has no service"));
    }
  }
  for (Id service : LiveServices()) {
    size_t revisions = 0;
    world_.view().EachRevisionOfService(service, [&](const auto&) { return ++revisions, true; });
    const std::vector<manager::Task> tasks = world_.TasksOf(service);
    std::map<manager::Slot, size_t> finished;
    for (const manager::Task& task : tasks) {
      if (manager::IsTerminal(task.state) && ++finished[task.slot] > 5) {
        Fail(9, absl::StrCat("slot ", task.slot, " keeps more than 5 finished tasks"));
      }
    }
    if (revisions > 2 + 5 + tasks.size()) Fail(9, absl::StrCat(revisions, " revisions are kept"));
  }
}

}  // namespace swarm::testing
