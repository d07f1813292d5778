#include "agent/network_records.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <string>

#include "agent/network_changes.h"
#include "common/file_system.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kAll[] = R"pb(
  networks {
    network {
      id: "front"
      vni: 4097
      spec { name: "front" }
    }
  }
  networks {
    network {
      id: "in"
      vni: 4098
      spec { name: "in" ingress: true }
    }
  }
  peers { network_id: "front" node_id: "n2" underlay_addr: "192.0.2.2" wireguard_key: "k" }
  members { network_id: "front" task_id: "t1" node_id: "n1" v4: "10.0.1.2" serving: true }
  members { network_id: "front" task_id: "t2" node_id: "n2" v4: "10.0.1.3" serving: true }
  endpoints { network_id: "front" service_id: "web" name: "web" vip4: "10.0.1.9" }
  ports { protocol: PROTOCOL_TCP published_port: 8080 target_port: 80 service_id: "web" }
  ports { protocol: PROTOCOL_UDP published_port: 8080 target_port: 81 service_id: "web" }
)pb";

v1::NetworkChanges Changes(const std::string& text) {
  v1::NetworkChanges changes;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &changes));
  return changes;
}

class NetworkRecordsTest : public ::testing::Test {
 protected:
  NetworkRecordsTest() {
    char name[] = "/tmp/network_records_test.XXXXXX";
    folder_ = mkdtemp(name);
    path_ = folder_ + "/networks.db";
  }
  ~NetworkRecordsTest() override { (void)RemoveTree(folder_); }

  // As a node would: everything that went is in the update.
  static void Change(NetworkRecords& records, const v1::NetworkChanges& changes) {
    records.Change(changes, Translate(changes).update);
  }
  // As the next agent sees it.
  absl::StatusOr<v1::NetworkChanges> Reload() { return NetworkRecords(path_).Load(owner_); }

  const NetworkRecords::Owner owner_{"n1", "boot1"};
  std::string folder_, path_;
};

TEST_F(NetworkRecordsTest, TheNextAgentIsToldEveryPieceAsItCame) {
  {
    NetworkRecords records(path_);
    records.Replace(owner_, Changes(kAll));
    ASSERT_OK(records.Flush());
    EXPECT_FALSE(records.HasPending());
  }
  const auto known = Reload();
  ASSERT_OK(known);
  google::protobuf::util::MessageDifferencer differencer;
  differencer.set_repeated_field_comparison(google::protobuf::util::MessageDifferencer::AS_SET);
  EXPECT_TRUE(differencer.Compare(*known, Changes(kAll))) << known->DebugString();
}

TEST_F(NetworkRecordsTest, ChangesTakeThePlaceOfWhatHadTheirKeyAndTakePiecesAway) {
  NetworkRecords records(path_);
  records.Replace(owner_, Changes(kAll));
  ASSERT_OK(records.Flush());
  Change(records, Changes(R"pb(
           members { network_id: "front" task_id: "t1" node_id: "n1" v4: "10.0.1.2" }
           removed_members { network_id: "front" id: "t2" }
           removed_peers { network_id: "front" id: "n2" }
           removed_ports { protocol: PROTOCOL_UDP published_port: 8080 }
         )pb"));
  Change(records, Changes(R"pb(removed_networks: "in")pb"));
  ASSERT_OK(records.Flush());
  const auto known = Reload();
  ASSERT_OK(known);
  ASSERT_THAT(known->members(), SizeIs(1));
  EXPECT_EQ(known->members(0).task_id(), "t1");
  EXPECT_FALSE(known->members(0).serving());
  EXPECT_THAT(known->peers(), IsEmpty());
  EXPECT_THAT(known->networks(), SizeIs(1));
  ASSERT_THAT(known->ports(), SizeIs(1));
  EXPECT_EQ(known->ports(0).protocol(), v1::PortConfig::PROTOCOL_TCP);
}

TEST_F(NetworkRecordsTest, ACompleteSetLeavesNothingOfTheOneBefore) {
  NetworkRecords records(path_);
  records.Replace(owner_, Changes(kAll));
  ASSERT_OK(records.Flush());
  records.Replace(owner_, Changes(R"pb(networks { network { id: "other" } })pb"));
  ASSERT_OK(records.Flush());
  const auto known = Reload();
  ASSERT_OK(known);
  EXPECT_EQ(known->DebugString(),
            Changes(R"pb(networks { network { id: "other" } })pb").DebugString());
}

TEST_F(NetworkRecordsTest, ANodeWithoutNetworksHasNoFileUntilItsFirstNetworkComes) {
  NetworkRecords records(path_);
  records.Replace(owner_, {});
  ASSERT_OK(records.Flush());
  EXPECT_FALSE(PathExists(path_));
  Change(records, Changes(R"pb(networks { network { id: "front" } })pb"));
  ASSERT_OK(records.Flush());
  const auto known = Reload();
  ASSERT_OK(known);
  EXPECT_THAT(known->networks(), SizeIs(1));
}

TEST_F(NetworkRecordsTest, WhatAnotherNodeOrAnotherBootRecordedIsNotBelievedAndIsRemoved) {
  for (const NetworkRecords::Owner& other :
       {NetworkRecords::Owner{"n1", "boot2"}, NetworkRecords::Owner{"n2", "boot1"}}) {
    {
      NetworkRecords records(path_);
      records.Replace(other, Changes(kAll));
      ASSERT_OK(records.Flush());
    }
    EXPECT_THAT(Reload(), StatusIs(absl::StatusCode::kNotFound));
    EXPECT_FALSE(PathExists(path_));
  }
}

TEST_F(NetworkRecordsTest, BytesThatAreDamagedAreForgottenAndSaidAndTheNextSetIsRecorded) {
  ASSERT_OK(WriteFileDurably(path_, std::string(8192, 'x'), 0600));
  NetworkRecords records(path_);
  EXPECT_THAT(records.Load(owner_), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_FALSE(PathExists(path_));
  records.Replace(owner_, Changes(kAll));
  ASSERT_OK(records.Flush());
  EXPECT_OK(Reload());
}

TEST_F(NetworkRecordsTest, APieceThatDoesNotParseForgetsAllOfThem) {
  {
    NetworkRecords records(path_);
    records.Replace(owner_, Changes(kAll));
    ASSERT_OK(records.Flush());
    auto db = SqliteDatabase::Open(path_, {});
    ASSERT_OK(db);
    ASSERT_OK(db->Exec("UPDATE pieces SET piece = x'ff' WHERE id = 't2'"));
  }
  EXPECT_THAT(Reload(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("does not parse")));
  EXPECT_FALSE(PathExists(path_));
}

TEST_F(NetworkRecordsTest, AFormatThatIsNotOursIsForgotten) {
  {
    NetworkRecords records(path_);
    records.Replace(owner_, Changes(kAll));
    ASSERT_OK(records.Flush());
    auto db = SqliteDatabase::Open(path_, {});
    ASSERT_OK(db);
    ASSERT_OK(db->Exec("PRAGMA user_version = 2"));
  }
  EXPECT_THAT(Reload(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("format")));
}

TEST_F(NetworkRecordsTest, LeavingLeavesNothingOnDiskAndNothingPending) {
  NetworkRecords records(path_);
  records.Replace(owner_, Changes(kAll));
  ASSERT_OK(records.Flush());
  Change(records, Changes(R"pb(networks { network { id: "more" } })pb"));
  ASSERT_OK(records.Forget());
  ASSERT_OK(records.Flush());
  EXPECT_THAT(*ListDirectory(folder_), IsEmpty());
}

TEST_F(NetworkRecordsTest, WhatCannotBeWrittenIsForgottenUntilTheNextCompleteSet) {
  const std::string nowhere = folder_ + "/no/networks.db";
  NetworkRecords records(nowhere);
  records.Replace(owner_, Changes(kAll));
  EXPECT_FALSE(records.Flush().ok());
  Change(records, Changes(R"pb(networks { network { id: "more" } })pb"));
  EXPECT_FALSE(records.HasPending());
  ASSERT_OK(MakeDirectories(folder_ + "/no", 0700));
  records.Replace(owner_, Changes(kAll));
  ASSERT_OK(records.Flush());
  EXPECT_OK(NetworkRecords(nowhere).Load(owner_));
}

// What a flush costs is what changed, not what is there.
TEST_F(NetworkRecordsTest, OneChangeAmongAThousandServicesWritesOneRow) {
  v1::NetworkChanges many = Changes(kAll);
  for (int i = 0; i < 1000; ++i) {
    v1::NetworkEndpoint* endpoint = many.add_endpoints();
    endpoint->set_network_id("front");
    endpoint->set_service_id("service" + std::to_string(i));
    endpoint->set_vip4("10.0.1.9");
  }
  NetworkRecords records(path_);
  records.Replace(owner_, many);
  ASSERT_OK(records.Flush());
  const auto written = [&] {
    struct stat there = {};
    EXPECT_EQ(stat((path_ + "-wal").c_str(), &there), 0);
    return there.st_size;
  };
  const auto before = written();
  many.mutable_endpoints(500)->set_vip4("10.0.1.10");
  records.Replace(owner_, many);  // also when all is said once more
  ASSERT_OK(records.Flush());
  EXPECT_LT(written() - before, 64 << 10);
  const auto known = Reload();
  ASSERT_OK(known);
  EXPECT_THAT(known->endpoints(), SizeIs(1001));
}

}  // namespace
}  // namespace swarm::agent
