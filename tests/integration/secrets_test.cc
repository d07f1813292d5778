// Secrets of a manager over its ends and starts: sealed, locked, and with a key file that is wrong.
#include <unistd.h>

#include <map>
#include <string>

#include "common/event_loop.h"
#include "common/file_system.h"
#include "common/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/journal/journal.h"
#include "manager/store/objects.h"
#include "swarm/v1/unlock.grpc.pb.h"
#include "tests/integration/manager_harness.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace swarm::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using v1::Control;
constexpr auto kDataLoss = absl::StatusCode::kDataLoss;

class ManagerSecretsTest : public ::testing::Test {
 protected:
  ManagerSecretsTest() { EXPECT_OK(Start()); }

  // As after a restart when one runs already.
  absl::Status Start() {
    manager_.reset();
    manager::ManagerOptions options;
    options.state_dir = dir_ / "state";
    options.run_dir = dir_ / "run";
    options.listen_addr = "127.0.0.1:0";
    options.join_listen_addr = "127.0.0.1:0";
    options.initialise = true;
    auto started = RunningManager::Start(options);
    if (!started.ok()) return started.status();
    manager_ = *std::move(started);
    return absl::OkStatus();
  }
  ControlClient Client() { return LocalClient(*manager_); }

  absl::StatusOr<v1::Secret> Create(const std::string& name, const std::string& data,
                                    bool content_addressed = false) {
    v1::CreateSecretRequest request;
    request.mutable_spec()->set_name(name);
    request.mutable_spec()->set_data(data);
    request.set_content_addressed(content_addressed);
    return Client().Call(&Control::Stub::CreateSecret, request);
  }
  absl::Status SetAutoLock(bool on) {
    const auto cluster = Client().Call(&Control::Stub::GetCluster, v1::GetClusterRequest());
    if (!cluster.ok()) return cluster.status();
    v1::UpdateClusterRequest request;
    request.set_version(cluster->meta().version());
    *request.mutable_spec() = cluster->spec();
    request.mutable_spec()->set_auto_lock(on);
    return Client().Call(&Control::Stub::UpdateCluster, request).status();
  }
  absl::StatusOr<v1::UnlockKey> Key() {
    return Client().Call(&Control::Stub::GetUnlockKey, v1::GetUnlockKeyRequest());
  }
  absl::Status Confirm(const v1::UnlockKey& key) {
    auto stub = v1::UnlockKeys::NewStub(Client().channel());
    ::grpc::ClientContext context;
    ControlClient::SetDeadline(context);
    v1::ConfirmUnlockKeyRequest request;
    request.set_key(key.key());
    v1::ConfirmUnlockKeyResponse response;
    return ControlClient::Convert(stub->ConfirmUnlockKey(&context, request, &response));
  }
  absl::Status Unlock(const std::string& key) {
    auto stub = v1::Unlock::NewStub(Client().channel());
    ::grpc::ClientContext context;
    ControlClient::SetDeadline(context);
    v1::UnlockManagerRequest request;
    request.set_key(key);
    v1::UnlockManagerResponse response;
    return ControlClient::Convert(stub->UnlockManager(&context, request, &response));
  }
  absl::Status Ask() {
    return Client().Call(&Control::Stub::ListSecrets, v1::ListSecretsRequest()).status();
  }
  // Once it serves, which begins a moment after it took its key. The calls wait for connections.
  absl::Status WaitUntilItServes() {
    const auto stub = Control::NewStub(Client().channel());
    absl::Status status;
    do {
      ::grpc::ClientContext context;
      ControlClient::SetDeadline(context);
      context.set_wait_for_ready(true);
      v1::ListSecretsResponse response;
      status = ControlClient::Convert(stub->ListSecrets(&context, {}, &response));
    } while (absl::IsUnavailable(status) || absl::IsCancelled(status));  // as the door is closed
    return status;
  }
  // Whether what the key seals is what it was: the same content has the same name.
  bool KeyIsTheSame() {
    const auto name = [&] { return Create("probe", "x", /*content_addressed=*/true); };
    const auto made = name();
    EXPECT_OK(made);
    if (probe_.empty()) probe_ = made->id();
    return made->id() == probe_;
  }
  std::string KeyPath() const { return dir_ / "state/data.key"; }

  // Bytes of the disk: what was sealed of every secret, changed.
  void DamageSecret(const std::string& id) {
    const auto loop = MakeAsioLoop();
    auto journal = manager::OpenSqliteJournal({dir_ / "state/journal.db"}, *loop);
    ASSERT_OK(journal);
    manager::Secret record;
    const auto version = (*journal)->Load([&](const manager::Mutation& mutation) {
      manager::Secret secret;
      if (mutation.table != manager::JournalTable::kSecret) return absl::OkStatus();
      EXPECT_TRUE(secret.ParseFromString(*mutation.value));
      if (secret.id() == id) {
        record = secret;
        key_ = mutation.key;
      }
      return absl::OkStatus();
    });
    ASSERT_OK(version);
    record.mutable_sealed_data()->back() ^= 1;
    loop->Post([&] {
      manager::Batch batch;
      batch.version = *version + 1;
      batch.mutations.push_back({manager::JournalTable::kSecret, key_, record.SerializeAsString()});
      (*journal)->Commit(std::move(batch), 0, [&](const absl::Status& done) {
        EXPECT_OK(done);
        loop->Stop();
      });
    });
    loop->Run();
  }

  TempFolder dir_;
  std::string key_;  // in the journal
  std::string probe_;
  std::unique_ptr<RunningManager> manager_;
};

TEST_F(ManagerSecretsTest, ALockedOneServesNothingButItsUnlocking) {
  EXPECT_TRUE(KeyIsTheSame());
  ASSERT_OK(SetAutoLock(true));
  // Nobody has its key yet: it starts by itself.
  ASSERT_OK(Start());
  ASSERT_OK(Ask());
  const auto key = Key();
  ASSERT_OK(key);
  ASSERT_OK(Confirm(*key));
  EXPECT_EQ(Key()->key(), key->key());

  ASSERT_OK(Start());
  EXPECT_EQ(manager_->addresses().control, "");
  EXPECT_THAT(Ask(), StatusIs(absl::StatusCode::kUnavailable,
                              AllOf(HasSubstr("is locked"), HasSubstr("swarmctl swarm unlock"))));
  EXPECT_THAT(Unlock("SWMKEY-1-" + std::string(43, 'A')),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("does not unlock")));
  EXPECT_THAT(Unlock("swordfish"), StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_OK(Unlock(key->key()));
  EXPECT_OK(WaitUntilItServes());
  EXPECT_TRUE(KeyIsTheSame());

  // A rotation that nobody confirmed counts for nothing.
  const auto next = Client().Call(&Control::Stub::RotateUnlockKey, v1::RotateUnlockKeyRequest());
  ASSERT_OK(next);
  ASSERT_OK(Start());
  EXPECT_THAT(Unlock(next->key()), StatusIs(absl::StatusCode::kPermissionDenied));
  ASSERT_OK(Unlock(key->key()));
  EXPECT_OK(WaitUntilItServes());
  ASSERT_OK(SetAutoLock(false));
  ASSERT_OK(Start());
  EXPECT_OK(Ask());
}

// A locked one that is told to end, with the key just coming, ends.
TEST_F(ManagerSecretsTest, ALockedOneEndsAlsoWhileItIsUnlocked) {
  ASSERT_OK(SetAutoLock(true));
  const auto key = Key();
  ASSERT_OK(key);
  ASSERT_OK(Confirm(*key));
  ASSERT_OK(Start());
  ASSERT_OK(Start());  // ended while it was locked
  ASSERT_OK(Unlock(key->key()));
  ASSERT_OK(Start());  // ended at once
  ASSERT_OK(Unlock(key->key()));
  EXPECT_OK(WaitUntilItServes());
}

// S10, F5.
TEST_F(ManagerSecretsTest, WithAnotherKeyOrNoneOrHalfOfItItDoesNotStart) {
  ASSERT_OK(Create("pw", "swordfish-canary"));
  EXPECT_TRUE(KeyIsTheSame());
  const auto text = ReadFile(KeyPath());
  ASSERT_OK(text);
  const auto names = ListDirectory(dir_ / "state");
  ASSERT_OK(names);
  for (const std::string& name : *names) {
    const auto content = ReadFile(dir_ / "state/" + name);
    if (!content.ok()) continue;
    EXPECT_THAT(*content, Not(HasSubstr("swordfish-canary"))) << name;
    EXPECT_THAT(*content, Not(HasSubstr("PRIVATE KEY"))) << name;
  }
  std::string other = *text;
  other[other.size() - 10] = other[other.size() - 10] == 'A' ? 'B' : 'A';
  ASSERT_OK(WriteFileDurably(KeyPath(), other, 0600));
  EXPECT_THAT(Start(),
              StatusIs(kDataLoss, AllOf(HasSubstr("does not open the key of the cluster's"),
                                        HasSubstr(KeyPath()))));
  ASSERT_EQ(::unlink(KeyPath().c_str()), 0);
  EXPECT_THAT(Start(), StatusIs(kDataLoss, HasSubstr("put back")));
  EXPECT_FALSE(PathExists(KeyPath())) << "a new key would be taken for the right one";
  ASSERT_OK(WriteFileDurably(KeyPath(), text->substr(0, 30), 0600));
  EXPECT_THAT(Start(), StatusIs(kDataLoss, HasSubstr("put it back from a copy")));
  ASSERT_OK(WriteFileDurably(KeyPath(), *text, 0600));
  ASSERT_OK(Start());
  EXPECT_TRUE(KeyIsTheSame());
}

// F20.
TEST_F(ManagerSecretsTest, OneDamagedSecretHarmsNothingElse) {
  const auto bad = Create("bad", "x");
  ASSERT_OK(bad);
  ASSERT_OK(Create("good", "y"));
  manager_.reset();
  DamageSecret(bad->id());
  ASSERT_OK(Start());
  EXPECT_OK(Ask());
  EXPECT_OK(Create("more", "z"));
  v1::DeleteSecretRequest request;
  request.set_ref("bad");
  EXPECT_OK(Client().Call(&Control::Stub::DeleteSecret, request));
}

}  // namespace
}  // namespace swarm::testing
