// Secrets of a manager over its ends and starts: sealed, locked, and with a key file that is wrong.
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "common/event_loop.h"
#include "common/file_system.h"
#include "common/random.h"
#include "common/secret_bytes.h"
#include "common/tls/join_token.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/journal/journal.h"
#include "manager/key_file.h"
#include "manager/secret_vault.h"
#include "manager/store/objects.h"
#include "swarm/v1/unlock.grpc.pb.h"
#include "tests/integration/manager_harness.h"
#include "tests/support/fake_agent.h"
#include "tests/support/killed_journal.h"
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

  // What a manager that was killed just then left: the record that `edit` takes, changed. One that
  // it does not take it leaves alone.
  template <typename Record>
  void Rewrite(manager::JournalTable table, absl::FunctionRef<bool(Record&)> edit) {
    const std::string path = dir_ / "state/journal.db";
    const auto loop = MakeAsioLoop();
    auto journal = manager::OpenSqliteJournal({path}, *loop);
    ASSERT_OK(journal);
    manager::Batch batch;
    const auto version = (*journal)->Load([&](const manager::Mutation& mutation) {
      Record record;
      if (mutation.table != table) return absl::OkStatus();
      EXPECT_TRUE(record.ParseFromString(*mutation.value));
      if (edit(record))
        batch.mutations.push_back({table, mutation.key, record.SerializeAsString()});
      return absl::OkStatus();
    });
    ASSERT_OK(version);
    ASSERT_EQ(batch.mutations.size(), 1u);
    batch.version = *version + 1;
    loop->Post([&] {
      (*journal)->Commit(std::move(batch), 0, [&](const absl::Status& done) {
        EXPECT_OK(done);
        loop->Stop();
      });
    });
    loop->Run();
    const KilledJournal killed(path);
    journal->reset();
    killed.PutBack();
  }
  void DamageSecret(const std::string& id) {
    Rewrite<manager::Secret>(manager::JournalTable::kSecret, [&](manager::Secret& secret) {
      if (secret.id() != id) return false;
      secret.mutable_sealed_data()->back() ^= 1;
      return true;
    });
  }
  // As the version that knew of no sealing had it.
  void LeaveInTheClear(const manager::ManagerKeys& keys) {
    const manager::SecretVault vault(SecretBytes::Copy(keys.data.Reveal()));
    const auto open = [&](std::string_view about, std::string& sealed) {
      const auto text = vault.OpenText(about, sealed);
      EXPECT_OK(text);
      sealed.clear();
      return std::string(text->Reveal());
    };
    Rewrite<manager::Cluster>(manager::JournalTable::kCluster, [&](manager::Cluster& cluster) {
      cluster.set_root_ca_key_pem(open("authority", *cluster.mutable_sealed_root_ca_key()));
      auto& worker = *cluster.mutable_worker_token();
      worker.set_secret(open("worker token", *worker.mutable_sealed_secret()));
      auto& manager = *cluster.mutable_manager_token();
      manager.set_secret(open("manager token", *manager.mutable_sealed_secret()));
      return true;
    });
    MakeJournalOfFormat1(dir_ / "state/journal.db");
  }
  absl::StatusOr<manager::KeyFile> ReadKeyFile() {
    return manager::KeyFile::ReadOrMake(KeyPath(), *MakeSystemRandom());
  }
  // Of all files of the state folder.
  std::string Disk() {
    const auto names = ListDirectory(dir_ / "state");
    EXPECT_OK(names);
    std::string all;
    for (const std::string& name : *names) all += ReadFile(dir_ / "state/" + name).value_or("");
    return all;
  }
  // After a start over what LeaveInTheClear left.
  void ExpectSealedAndTheSame(const v1::JoinTokens& before) {
    const auto tokens = Client().Tokens();
    ASSERT_OK(tokens);
    EXPECT_EQ(tokens->worker(), before.worker());
    EXPECT_EQ(tokens->manager(), before.manager());
    // The new node is durable, and so is what came before it.
    const auto joined = FakeAgent::Join(manager_->addresses().join, before.worker());
    ASSERT_OK(joined);
    EXPECT_THAT(Disk(), ShowsNeitherKeyNorTokens(before));
    auto agent = FakeAgent::Start(*joined, {.control_addr = manager_->addresses().control});
    EXPECT_TRUE(agent->WaitUntil([](const FakeAgent::State& state) { return state.connected; }));
    agent->Stop();
    manager_.reset();
    EXPECT_THAT(Disk(), ShowsNeitherKeyNorTokens(before));
  }
  static std::string SecretOf(const std::string& token) {
    return tls::JoinToken::Parse(token)->secret;
  }
  static ::testing::Matcher<const std::string&> ShowsNeitherKeyNorTokens(
      const v1::JoinTokens& tokens) {
    return AllOf(Not(HasSubstr("PRIVATE KEY")), Not(HasSubstr(SecretOf(tokens.worker()))),
                 Not(HasSubstr(SecretOf(tokens.manager()))));
  }

  TempFolder dir_;
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
  EXPECT_THAT(Disk(), AllOf(Not(HasSubstr("swordfish-canary")), Not(HasSubstr("PRIVATE KEY"))));
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

TEST_F(ManagerSecretsTest, WhatTheVersionBeforeLeftInTheClearIsSealedAndGoneFromTheDisk) {
  const auto tokens = Client().Tokens();
  ASSERT_OK(tokens);
  manager_.reset();
  auto file = ReadKeyFile();
  ASSERT_OK(file);
  LeaveInTheClear(file->Take());
  ASSERT_THAT(Disk(), AllOf(HasSubstr("PRIVATE KEY"), HasSubstr(SecretOf(tokens->worker())),
                            HasSubstr(SecretOf(tokens->manager()))));
  ASSERT_OK(Start());
  ExpectSealedAndTheSame(*tokens);
  EXPECT_OK(Start());
}

TEST_F(ManagerSecretsTest, ALockedOneSealsWhatIsInTheClearOnceItIsUnlocked) {
  const auto tokens = Client().Tokens();
  ASSERT_OK(tokens);
  ASSERT_OK(SetAutoLock(true));
  const auto key = Key();
  ASSERT_OK(key);
  ASSERT_OK(Confirm(*key));
  manager_.reset();
  const auto file = ReadKeyFile();
  ASSERT_OK(file);
  const auto keys = file->Unlock(key->key());
  ASSERT_OK(keys);
  LeaveInTheClear(*keys);
  ASSERT_OK(Start());
  ASSERT_EQ(manager_->addresses().control, "") << "it is locked";
  ASSERT_OK(Unlock(key->key()));
  ASSERT_OK(WaitUntilItServes());
  ExpectSealedAndTheSame(*tokens);
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
