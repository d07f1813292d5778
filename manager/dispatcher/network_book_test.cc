#include "manager/dispatcher/network_book.h"

#include <map>
#include <set>
#include <string>

#include "common/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/dispatcher/drain_book.h"

namespace swarm::manager {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

// What one node knows, as the protocol says.
struct Known {
  std::map<std::string, v1::NodeNetwork> networks;
  std::map<std::pair<std::string, std::string>, std::string> peers;
  std::map<std::pair<std::string, std::string>, std::string> members;
  std::map<std::pair<std::string, std::string>, std::string> endpoints;
  std::map<std::pair<int, uint32_t>, std::string> ports;

  void Apply(const v1::NetworkChanges& c) {
    for (const auto& n : c.networks()) networks[n.network().id()] = n;
    for (const auto& p : c.peers()) {
      peers[{p.network_id(), p.node_id()}] = p.underlay_addr() + " " + p.node_address();
    }
    for (const auto& k : c.removed_peers()) peers.erase({k.network_id(), k.id()});
    for (const auto& m : c.members()) {
      members[{m.network_id(), m.task_id()}] =
          m.name() + " " + m.v4() + (m.serving() ? " serving" : "");
    }
    for (const auto& k : c.removed_members()) members.erase({k.network_id(), k.id()});
    for (const auto& e : c.endpoints()) {
      endpoints[{e.network_id(), e.service_id()}] = e.ShortDebugString();
    }
    for (const auto& k : c.removed_endpoints()) endpoints.erase({k.network_id(), k.id()});
    for (const auto& p : c.ports()) {
      ports[{p.protocol(), p.published_port()}] = p.ShortDebugString();
    }
    for (const auto& p : c.removed_ports()) ports.erase({p.protocol(), p.published_port()});
    for (const auto& id : c.removed_networks()) Forget(id);
  }
  void Forget(const std::string& network) {
    if (networks[network].network().spec().ingress()) ports.clear();
    networks.erase(network);
    for (auto* pieces : {&peers, &members, &endpoints}) {
      std::erase_if(*pieces, [&](const auto& piece) { return piece.first.first == network; });
    }
  }
  std::string Dump() const {
    std::string all;
    for (const auto& [id, n] : networks) all += n.ShortDebugString() + "\n";
    for (const auto* pieces : {&peers, &members, &endpoints}) {
      for (const auto& [key, text] : *pieces) {
        all += key.first + " " + key.second + " " + text + "\n";
      }
    }
    for (const auto& [key, text] : ports) all += text + "\n";
    return all;
  }
};

class NetworkBookTest : public ::testing::Test {
 protected:
  NetworkBookTest() {
    front_ = AddNetwork("front");
    for (int i = 0; i < 3; ++i) nodes_.push_back(AddNode("10.9.0." + std::to_string(i + 1)));
    web_ = AddService("web", {"front"}, "10.0.1.2");
  }

  Id MakeId() { return Id::Make(*random_); }
  Id AddNetwork(const std::string& name, const std::string& driver = "", bool ingress = false,
                const std::map<std::string, std::string>& options = {}) {
    auto network = std::make_shared<Network>();
    const Id id = MakeId();
    network->set_id(id.ToString());
    network->mutable_spec()->set_name(name);
    network->mutable_spec()->set_driver(driver);
    network->mutable_spec()->set_ingress(ingress);
    network->mutable_spec()->mutable_options()->insert(options.begin(), options.end());
    book_.PutNetwork(network, mark_);
    return id;
  }
  Id AddNode(const std::string& addr) {
    Node node;
    const Id id = MakeId();
    node.set_id(id.ToString());
    node.mutable_status()->set_addr(addr);
    node.mutable_status()->set_state(v1::NodeStatus::STATE_READY);
    records_[id] = node;
    book_.PutNode(node, mark_);
    return id;
  }
  void ChangeNode(Id id, const std::function<void(Node&)>& change) {
    change(records_[id]);
    book_.PutNode(records_[id], mark_);
  }
  Id AddService(const std::string& name, const std::vector<std::string>& networks,
                const std::string& vip) {
    const Id id = MakeId();
    Service& service = services_[id];
    service.set_id(id.ToString());
    service.mutable_spec()->set_name(name);
    for (const std::string& network : networks) {
      service.mutable_spec()->mutable_task()->add_networks()->set_target(network);
    }
    if (!vip.empty()) {
      v1::Endpoint::VirtualIp& ip = *service.mutable_endpoint()->add_virtual_ips();
      ip.set_network_id(front_.ToString());
      ip.set_v4(vip);
    }
    auto revision = std::make_shared<Revision>();
    revision->mutable_revision()->set_service_name(name);
    revisions_[id] = revision;
    PutService(id);
    return id;
  }
  void PutService(Id id) { book_.PutService(std::make_shared<Service>(services_[id]), mark_); }
  Task MakeTask(Id service, Id node, Id network, const std::string& v4) {
    Task task;
    task.id = MakeId();
    task.service_id = service;
    task.node_id = node;
    task.slot = ++slot_;
    task.revision = revisions_[service];
    task.state = TaskState::kRunning;
    auto extras = std::make_shared<TaskExtras>();
    extras->addresses.push_back({network, *IpAddress::Parse(v4), {}});
    task.extras = extras;
    return task;
  }
  Task AddTask(Id service, Id node, Id network, const std::string& v4) {
    Task task = MakeTask(service, node, network, v4);
    Put(task);
    return task;
  }
  void Put(const Task& task) { book_.PutTask(std::make_shared<Task>(task), mark_); }
  // What was marked since the last look.
  std::map<Id, NetworkPieces> Marked() { return std::exchange(marked_, {}); }
  std::set<Id> WhoWasMarked() {
    std::set<Id> nodes;
    for (const auto& [node, pieces] : Marked()) nodes.insert(node);
    return nodes;
  }
  Known All(Id node) {
    v1::NetworkChanges changes;
    book_.RenderAll(node, changes);
    Known known;
    known.Apply(changes);
    return known;
  }

  std::unique_ptr<Random> random_ = MakeSeededRandom(3);
  std::map<Id, NetworkPieces> marked_;
  std::function<void(Id, const NetworkPiece&)> mark_ = [this](Id node, const NetworkPiece& piece) {
    marked_[node].insert(piece);
  };
  NetworkBook book_;
  std::map<Id, Node> records_;
  std::map<Id, Service> services_;
  std::map<Id, Ref<Revision>> revisions_;
  std::vector<Id> nodes_;
  Id front_;
  Id web_;
  uint32_t slot_ = 0;
};

TEST_F(NetworkBookTest, NobodyHearsOfANetworkWithoutTasks) {
  EXPECT_THAT(Marked(), IsEmpty());
  EXPECT_EQ(All(nodes_[0]).Dump(), "");
}

TEST_F(NetworkBookTest, ANodeWithATaskKnowsTheNetworkItsMembersPeersAndServices) {
  const Task a = AddTask(web_, nodes_[0], front_, "10.0.1.3");
  Task b = AddTask(web_, nodes_[1], front_, "10.0.1.4");
  const Known known = All(nodes_[0]);
  EXPECT_EQ(known.networks.size(), 1u);
  EXPECT_THAT(known.peers,
              ElementsAre(Pair(Pair(front_.ToString(), nodes_[1].ToString()), "10.9.0.2 ")));
  EXPECT_THAT(known.members,
              UnorderedElementsAre(Pair(Pair(front_.ToString(), a.id.ToString()),
                                        "web.1." + a.id.ToString() + " 10.0.1.3 serving"),
                                   Pair(Pair(front_.ToString(), b.id.ToString()),
                                        "web.2." + b.id.ToString() + " 10.0.1.4 serving")));
  EXPECT_EQ(known.endpoints.size(), 1u);
  EXPECT_EQ(All(nodes_[2]).Dump(), "");
}

TEST_F(NetworkBookTest, AChangeIsForThoseWhoListenAndNobodyElse) {
  AddTask(web_, nodes_[0], front_, "10.0.1.3");
  Marked();
  Task b = AddTask(web_, nodes_[1], front_, "10.0.1.4");
  EXPECT_EQ(WhoWasMarked(), (std::set<Id>{nodes_[0], nodes_[1]}));
  Put(b);
  EXPECT_THAT(Marked(), IsEmpty()) << "that was known";
  b.desired = TaskState::kShutdown;
  Put(b);
  EXPECT_EQ(WhoWasMarked(), (std::set<Id>{nodes_[0], nodes_[1]}));
  EXPECT_FALSE(book_.Serves(b.id));
  b.state = TaskState::kShutdown;  // it has ended: its address is not its own any more
  Put(b);
  EXPECT_EQ(WhoWasMarked(), (std::set<Id>{nodes_[0], nodes_[1]}));
  EXPECT_EQ(All(nodes_[1]).Dump(), "");
  EXPECT_THAT(All(nodes_[0]).peers, IsEmpty());
  ChangeNode(nodes_[2], [](Node& node) { node.mutable_status()->set_addr("10.9.0.9"); });
  EXPECT_THAT(Marked(), IsEmpty());
}

TEST_F(NetworkBookTest, TasksOfANodeThatIsDownServeNoMore) {
  AddTask(web_, nodes_[0], front_, "10.0.1.3");
  const Task b = AddTask(web_, nodes_[1], front_, "10.0.1.4");
  ChangeNode(nodes_[1], [](Node& n) { n.mutable_status()->set_state(v1::NodeStatus::STATE_DOWN); });
  const Known known = All(nodes_[0]);
  EXPECT_THAT(known.peers, IsEmpty());
  EXPECT_EQ(known.members.at({front_.ToString(), b.id.ToString()}),
            "web.2." + b.id.ToString() + " 10.0.1.4");
  ChangeNode(nodes_[1],
             [](Node& n) { n.mutable_status()->set_state(v1::NodeStatus::STATE_UNKNOWN); });
  EXPECT_TRUE(book_.Serves(b.id));
}

TEST_F(NetworkBookTest, OfAMacvlanAllMembersAreKnownAndEachNodesOwnParent) {
  auto network = std::make_shared<Network>();
  const Id lan = MakeId();
  network->set_id(lan.ToString());
  network->mutable_spec()->set_name("lan");
  network->mutable_spec()->set_driver("macvlan");
  (*network->mutable_spec()->mutable_options())["parent"] = "eth0";
  (*network->mutable_spec()->mutable_options())["parent_label"] = "lan";
  book_.PutNetwork(network, mark_);
  const Id db = AddService("db", {"lan"}, "");
  AddTask(db, nodes_[0], lan, "192.0.2.5");
  AddTask(db, nodes_[1], lan, "192.0.2.6");
  EXPECT_EQ(All(nodes_[0]).members.size(), 2u);
  EXPECT_THAT(All(nodes_[0]).peers, IsEmpty()) << "there is no tunnel";
  Marked();
  ChangeNode(nodes_[1], [](Node& n) { (*n.mutable_spec()->mutable_labels())["lan"] = "eth1"; });
  EXPECT_EQ(WhoWasMarked(), (std::set<Id>{nodes_[1]}));
  const auto parent = [&](Id node) {
    return All(node).networks.at(lan.ToString()).network().spec().options().at("parent");
  };
  EXPECT_EQ(parent(nodes_[0]), "eth0");
  EXPECT_EQ(parent(nodes_[1]), "eth1");
}

TEST_F(NetworkBookTest, ABridgeIsKnownOnItsNodeOnly) {
  const Id lan = AddNetwork("lan", "bridge");
  const Id db = AddService("db", {"lan"}, "");
  const Task a = AddTask(db, nodes_[0], lan, "10.0.2.3");
  const Task b = AddTask(db, nodes_[1], lan, "10.0.2.4");
  EXPECT_THAT(All(nodes_[0]).peers, IsEmpty());
  EXPECT_THAT(All(nodes_[0]).members,
              ElementsAre(Pair(Pair(lan.ToString(), a.id.ToString()), ::testing::_)));
  EXPECT_THAT(book_.WhoKnow(b), ElementsAre(nodes_[1]));
}

TEST_F(NetworkBookTest, EveryNodeWithAnAddressThereKnowsTheIngressNetworkAndItsPorts) {
  const Id ingress = AddNetwork("ingress", "", true);
  ChangeNode(nodes_[0], [](Node& node) { node.set_ingress_v4("10.0.0.2"); });
  ChangeNode(nodes_[1], [](Node& node) { node.set_ingress_v4("10.0.0.3"); });
  const Id edge = AddService("edge", {}, "");
  v1::PortConfig port;
  port.set_target_port(80);
  port.set_published_port(8080);
  *services_[edge].mutable_spec()->mutable_endpoint()->add_ports() = port;
  *services_[edge].mutable_endpoint()->add_ports() = port;
  Marked();
  PutService(edge);
  EXPECT_EQ(WhoWasMarked(), (std::set<Id>{nodes_[0], nodes_[1]}));
  const Known known = All(nodes_[0]);
  EXPECT_EQ(known.networks.at(ingress.ToString()).node_address(), "10.0.0.2");
  EXPECT_THAT(known.peers, ElementsAre(Pair(Pair(ingress.ToString(), nodes_[1].ToString()),
                                            "10.9.0.2 10.0.0.3")));
  EXPECT_EQ(known.ports.size(), 1u);
  EXPECT_EQ(known.endpoints.size(), 1u);
  EXPECT_EQ(All(nodes_[2]).Dump(), "");
  book_.RemoveService(edge, mark_);
  EXPECT_THAT(All(nodes_[0]).ports, IsEmpty());
}

TEST_F(NetworkBookTest, S11AnEncryptedNetworksPeersComeWithTheirKeysAndANewKeyIsToldToItsNodes) {
  AddNetwork("ingress", "", true);
  const Id secret = AddNetwork("secret", "", false, {{"encrypted", ""}});
  for (size_t i = 0; i < 3; ++i) {
    ChangeNode(nodes_[i], [&](Node& node) {
      node.set_ingress_v4("10.0.0." + std::to_string(i + 2));
      node.mutable_description()->set_wireguard_key(std::string(32, static_cast<char>('a' + i)));
    });
  }
  const Id db = AddService("db", {"secret", "front"}, "");
  for (size_t i = 0; i < 2; ++i) {
    AddTask(db, nodes_[i], secret, "10.0.2." + std::to_string(i + 3));
    AddTask(web_, nodes_[i], front_, "10.0.1." + std::to_string(i + 3));
  }
  const auto key_of_second = [&](Id network) {
    v1::NetworkChanges changes;
    book_.RenderAll(nodes_[0], changes);
    for (const v1::NetworkPeer& peer : changes.peers()) {
      if (peer.network_id() == network.ToString() && peer.node_id() == nodes_[1].ToString()) {
        return peer.wireguard_key();
      }
    }
    return std::string("no such peer");
  };
  EXPECT_EQ(key_of_second(secret), std::string(32, 'b'));
  EXPECT_EQ(key_of_second(front_), "") << "it is nobody's business there";
  Marked();
  // It has rebooted.
  ChangeNode(nodes_[1], [](Node& node) {
    node.mutable_description()->set_wireguard_key(std::string(32, 'B'));
  });
  EXPECT_THAT(Marked(),
              ElementsAre(Pair(nodes_[0], ElementsAre(NetworkPiece{NetworkPiece::Kind::kPeer,
                                                                   secret, nodes_[1]}))))
      << "the ingress network's many listeners have nothing to hear";
  EXPECT_EQ(key_of_second(secret), std::string(32, 'B'));
}

TEST_F(NetworkBookTest, AServiceIsFoundOnceItsNetworkIsMade) {
  const Id db = AddService("db", {"later"}, "");
  const Id later = AddNetwork("later");
  AddTask(db, nodes_[0], later, "10.0.2.3");
  EXPECT_EQ(All(nodes_[0]).endpoints.size(), 1u);
}

// Whatever happens in whatever order: a node that is told the marked pieces knows what one that
// asks for all is told.
TEST_F(NetworkBookTest, PiecesAddUpToTheWhole) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    random_ = MakeSeededRandom(seed);
    book_ = NetworkBook();
    records_.clear();
    services_.clear();
    nodes_.clear();
    marked_.clear();
    std::map<Id, Known> known;
    std::vector<Id> networks = {AddNetwork("a"), AddNetwork("b"), AddNetwork("lan", "bridge"),
                                AddNetwork("ingress", "", true)};
    front_ = networks[0];
    for (int i = 0; i < 4; ++i) nodes_.push_back(AddNode("10.9.0." + std::to_string(i + 1)));
    std::vector<Id> services = {AddService("web", {"a"}, "10.0.1.2"),
                                AddService("db", {"a", "b", "lan"}, "")};
    std::vector<Task> tasks;
    for (int step = 0; step < 300; ++step) {
      const Id node = nodes_[random_->Below(nodes_.size())];
      const Id service = services[random_->Below(services.size())];
      switch (random_->Below(8)) {
        case 0:
        case 1:
          tasks.push_back(AddTask(service, node, networks[random_->Below(networks.size())],
                                  "10.0.1." + std::to_string(step % 250)));
          break;
        case 2:
          if (tasks.empty()) break;
          tasks.back().desired = TaskState::kShutdown;
          Put(tasks.back());
          break;
        case 3:
          if (tasks.empty()) break;
          book_.RemoveTask(tasks.back().id, mark_);
          tasks.pop_back();
          break;
        case 4:
          ChangeNode(node, [&](Node& n) {
            n.mutable_status()->set_state(random_->Below(10) < 5 ? v1::NodeStatus::STATE_DOWN
                                                                 : v1::NodeStatus::STATE_READY);
          });
          break;
        case 5:
          ChangeNode(node, [&](Node& n) {
            n.set_ingress_v4(
                random_->Below(10) < 3 ? "" : "10.0.0." + std::to_string(random_->Below(99)));
          });
          break;
        case 6: {
          v1::PortConfig port;
          port.set_published_port(static_cast<uint32_t>(8000 + random_->Below(3)));
          port.set_target_port(80);
          services_[service].mutable_endpoint()->clear_ports();
          services_[service].mutable_spec()->mutable_endpoint()->clear_ports();
          if (random_->Below(10) < 6) {
            *services_[service].mutable_endpoint()->add_ports() = port;
            *services_[service].mutable_spec()->mutable_endpoint()->add_ports() = port;
          }
          PutService(service);
          break;
        }
        case 7:
          if (services_[service].spec().task().networks_size() > 1) {
            services_[service].mutable_spec()->mutable_task()->mutable_networks()->RemoveLast();
          } else {
            services_[service].mutable_spec()->mutable_task()->add_networks()->set_target("b");
          }
          PutService(service);
          break;
      }
      if (random_->Below(10) < 5) continue;
      for (const auto& [listener, pieces] : Marked()) {
        v1::NetworkChanges changes;
        book_.Render(listener, pieces, changes);
        // As the dispatcher does: who joins again asks for all.
        for (const NetworkPiece& piece : pieces) {
          if (piece.kind == NetworkPiece::Kind::kWhole) {
            known[listener].Forget(piece.network.ToString());
          }
        }
        known[listener].Apply(changes);
      }
      for (const Id listener : nodes_) {
        ASSERT_EQ(known[listener].Dump(), All(listener).Dump())
            << "seed " << seed << " step " << step;
      }
    }
  }
}

TEST(DrainBookTest, ATaskIsDoneWhenAllWhoKnewItHaveAppliedThat) {
  const auto random = MakeSeededRandom(1);
  auto task = std::make_shared<Task>();
  task->id = Id::Make(*random);
  DrainBook drains;
  drains.Begin(task, TaskState::kRunning, {1, 2});
  EXPECT_THAT(drains.Applied(1, 9), IsEmpty()) << "not sent yet";
  EXPECT_THAT(drains.Sent(1, 10, 9), IsEmpty());
  EXPECT_THAT(drains.Sent(2, 5, 4), IsEmpty());
  EXPECT_THAT(drains.Applied(1, 12), IsEmpty());
  EXPECT_THAT(drains.Applied(2, 4), IsEmpty());
  EXPECT_THAT(drains.Applied(2, 5), ElementsAre(task->id));
  EXPECT_NE(drains.Find(task->id), nullptr);
  drains.End(task->id);
  EXPECT_EQ(drains.Find(task->id), nullptr);
}

TEST(DrainBookTest, ASessionThatEndsIsWaitedForNoMore) {
  const auto random = MakeSeededRandom(1);
  auto task = std::make_shared<Task>();
  task->id = Id::Make(*random);
  DrainBook drains;
  drains.Begin(task, TaskState::kRunning, {1, 2});
  EXPECT_THAT(drains.Forget(2), IsEmpty());
  EXPECT_THAT(drains.Sent(1, 3, 0), IsEmpty());
  EXPECT_THAT(drains.Forget(1), ElementsAre(task->id));
}

}  // namespace
}  // namespace swarm::manager
