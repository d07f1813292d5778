#include "manager/api/file_objects.h"

#include <vector>

#include "common/tls/sealed_box.h"
#include "manager/api/change_feed.h"
#include "tests/support/api_world.h"

namespace swarm::manager {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::StatusIs;

constexpr char kCanary[] = "swordfish-canary";

class FileObjectsTest : public ::testing::Test, public ApiWorld {
 protected:
  FileObjectsTest() { requests.Start(); }

  absl::StatusOr<v1::Secret> Create(const std::string& name, const std::string& data,
                                    bool content_addressed = false,
                                    const std::string& request_id = "") {
    v1::CreateSecretRequest request;
    request.mutable_spec()->set_name(name);
    request.mutable_spec()->set_data(data);
    request.set_content_addressed(content_addressed);
    request.set_request_id(request_id);
    return Await<v1::Secret>([&](auto reply) { secrets.Create(request, std::move(reply)); });
  }
  absl::StatusOr<v1::Config> CreateConfig(const std::string& name, const std::string& data) {
    v1::CreateConfigRequest request;
    request.mutable_spec()->set_name(name);
    request.mutable_spec()->set_data(data);
    return Await<v1::Config>([&](auto reply) { configs.Create(request, std::move(reply)); });
  }
  absl::StatusOr<v1::Secret> Get(const std::string& ref) {
    v1::GetSecretRequest request;
    request.set_ref(ref);
    return Await<v1::Secret>([&](auto reply) { secrets.Get(request, std::move(reply)); });
  }
  absl::Status Delete(const std::string& ref) {
    v1::DeleteSecretRequest request;
    request.set_ref(ref);
    return Await<v1::DeleteSecretResponse>(
               [&](auto reply) { secrets.Delete(request, std::move(reply)); })
        .status();
  }
  // A service that mounts the secret, by its spec and by its revision.
  Ref<Service> AddUser(const std::string& name, const std::string& secret_id) {
    const Ref<Service> service = AddService(name);
    Service changed = *service;
    Revision revision = *store->view().GetRevision(Id::ParseOrZero(service->revision_id()));
    for (v1::TaskSpec* task :
         {changed.mutable_spec()->mutable_task(), revision.mutable_revision()->mutable_task()}) {
      task->mutable_container()->add_secrets()->set_secret_id(secret_id);
    }
    EXPECT_OK(store->Update([&](WriteTx& tx) {
      EXPECT_OK(tx.Put(revision));
      return tx.Put(changed);
    }));
    return store->view().GetService(Id::ParseOrZero(service->id()));
  }

  const SecretVault vault{tls::MakeSealKey(*random)};
  RequestLog requests{env, *store};
  Secrets secrets{env, *store, vault, requests};
  Configs configs{env, *store, vault, requests};
};

// S5: no answer, no event and no byte of the journal has it.
TEST_F(FileObjectsTest, WhatASecretHoldsIsInNoAnswerNoEventAndNoJournal) {
  FakeSink<v1::WatchEvent> sink;
  auto feed = ChangeFeed::Open(env, *store, {}, sink);
  ASSERT_OK(feed);
  const auto made = Create("pw", kCanary, false, "request-1");
  ASSERT_OK(made);
  const auto again = Create("pw", kCanary, false, "request-1");
  ASSERT_OK(again);
  EXPECT_EQ(again->id(), made->id());
  const auto got = Get("pw");
  ASSERT_OK(got);
  const auto list =
      Await<v1::ListSecretsResponse>([&](auto reply) { secrets.List({}, std::move(reply)); });
  ASSERT_OK(list);
  EXPECT_EQ(list->secrets_size(), 1);
  std::string all =
      made->SerializeAsString() + got->SerializeAsString() + list->SerializeAsString();
  EXPECT_GE(sink.messages.size(), 2u);
  for (const v1::WatchEvent& event : sink.messages) all += event.SerializeAsString();
  EXPECT_THAT(all, HasSubstr("pw"));
  const Ref<Secret> kept = store->view().GetSecretByName("pw");
  EXPECT_EQ(vault.Open(*kept)->Reveal(), kCanary);
  // Nor the spare room of the field that brought it, for as long as the record is there.
  const std::string& brought = kept->spec().data();
  all.append(brought.data(), brought.capacity());
  for (const auto& [key, value] : journal.TakeContent().records) all += value;
  EXPECT_THAT(all, HasSubstr("request-1"));
  EXPECT_THAT(all, Not(HasSubstr(kCanary)));
}

TEST_F(FileObjectsTest, AConfigIsShownWholeByGetAlone) {
  ASSERT_OK(CreateConfig("nginx.conf", "worker 1;"));
  v1::GetConfigRequest request;
  request.set_ref("nginx.conf");
  const auto got = Await<v1::Config>([&](auto reply) { configs.Get(request, std::move(reply)); });
  ASSERT_OK(got);
  EXPECT_EQ(got->spec().data(), "worker 1;");
  const auto list =
      Await<v1::ListConfigsResponse>([&](auto reply) { configs.List({}, std::move(reply)); });
  ASSERT_OK(list);
  EXPECT_EQ(list->configs(0).spec().data(), "");
}

TEST_F(FileObjectsTest, ANameIsGivenOnceAmongSecretsAndConfigsMayHaveItToo) {
  ASSERT_OK(Create("a", "x"));
  EXPECT_THAT(Create("a", "y").status(),
              StatusIs(absl::StatusCode::kAlreadyExists, "secret name \"a\" is already in use"));
  EXPECT_OK(CreateConfig("a", "x"));
}

TEST_F(FileObjectsTest, AContentAddressedOneIsTheSameForTheSameContent) {
  const auto first = Create("shop_pw", "one", true);
  ASSERT_OK(first);
  EXPECT_THAT(first->spec().name(), ::testing::MatchesRegex("shop_pw-[0-9a-f]{8}"));
  const auto again = Create("shop_pw", "one", true);
  ASSERT_OK(again);
  EXPECT_EQ(again->id(), first->id());
  const auto other = Create("shop_pw", "two", true);
  ASSERT_OK(other);
  EXPECT_NE(other->spec().name(), first->spec().name());
  // Asked what it would be, it is not made.
  v1::CreateSecretRequest dry;
  dry.mutable_spec()->set_name("shop_pw");
  dry.mutable_spec()->set_data("never made");
  dry.set_content_addressed(true);
  dry.set_dry_run(true);
  const auto planned =
      Await<v1::Secret>([&](auto reply) { secrets.Create(dry, std::move(reply)); });
  ASSERT_OK(planned);
  EXPECT_EQ(planned->id(), "");
  EXPECT_THAT(Get(planned->spec().name()).status(), StatusIs(absl::StatusCode::kNotFound));
  // Somebody took the name for something else: longer digits.
  const std::string print = vault.Fingerprint("shop_pw", "", "three");
  ASSERT_OK(Create("shop_pw-" + print.substr(0, 8), "elsewhere"));
  const auto third = Create("shop_pw", "three", true);
  ASSERT_OK(third);
  EXPECT_EQ(third->spec().name(), "shop_pw-" + print);
}

TEST_F(FileObjectsTest, LabelsAloneChangeAndOnlyForWhoReadTheLastVersion) {
  const auto made = Create("a", "x");
  ASSERT_OK(made);
  v1::UpdateSecretRequest request;
  request.set_ref("a");
  (*request.mutable_labels())["env"] = "prod";
  const auto update = [&] {
    return Await<v1::Secret>([&](auto reply) { secrets.Update(request, std::move(reply)); });
  };
  EXPECT_THAT(update().status(), StatusIs(absl::StatusCode::kInvalidArgument));
  request.set_version(made->meta().version());
  const auto changed = update();
  ASSERT_OK(changed);
  EXPECT_EQ(changed->spec().labels().at("env"), "prod");
  EXPECT_THAT(update().status(), StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(vault.Open(*store->view().GetSecretByName("a"))->Reveal(), "x");
}

TEST_F(FileObjectsTest, OneInUseIsNotRemovedAndTheErrorNamesTheServices) {
  const auto made = Create("pw", "x");
  ASSERT_OK(made);
  const Ref<Service> web = AddUser("web", made->id());
  EXPECT_THAT(Delete("pw"), StatusIs(absl::StatusCode::kFailedPrecondition,
                                     "secret \"pw\" is in use by service \"web\""));
  const Id task = AddTask(*web, 1, TaskState::kRunning, AddNode("n", v1::NodeStatus::STATE_READY));
  // Its spec names it no more, and a task still runs with it.
  Service changed = *web;
  changed.mutable_spec()->mutable_task()->clear_container();
  ASSERT_OK(store->Update([&](WriteTx& tx) { return tx.Put(changed); }));
  EXPECT_THAT(Delete("pw"), StatusIs(absl::StatusCode::kFailedPrecondition));
  SetState(task, TaskState::kShutdown);
  // Its update goes on, and one that fails goes back to it.
  changed = *store->view().GetService(Id::ParseOrZero(web->id()));
  changed.set_previous_revision_id(changed.revision_id());
  changed.mutable_spec()->mutable_update()->set_failure_action(
      v1::UpdateConfig::FAILURE_ACTION_ROLLBACK);
  changed.set_update_of_revision_id(changed.revision_id());
  changed.mutable_update_status()->set_state(v1::UpdateStatus::STATE_UPDATING);
  ASSERT_OK(store->Update([&](WriteTx& tx) { return tx.Put(changed); }));
  EXPECT_THAT(Delete("pw"), StatusIs(absl::StatusCode::kFailedPrecondition));
  changed.mutable_update_status()->set_state(v1::UpdateStatus::STATE_COMPLETED);
  ASSERT_OK(store->Update([&](WriteTx& tx) { return tx.Put(changed); }));
  EXPECT_OK(Delete("pw"));
  EXPECT_THAT(Get("pw").status(), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace swarm::manager
