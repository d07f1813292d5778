#include "manager/api/reference_validation.h"

#include "common/strings.h"
#include "tests/support/api_world.h"

namespace swarm::manager {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::StatusIs;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

v1::SecretSpec SecretOf(const std::string& name, const std::string& data) {
  v1::SecretSpec spec;
  spec.set_name(name);
  spec.set_data(data);
  return spec;
}

TEST(ReferenceValidationTest, ASecretHasANameAndOneByteTo500KiB) {
  EXPECT_OK(ValidateSecretSpec(SecretOf("db_pw.v1-2", "x")));
  EXPECT_OK(ValidateSecretSpec(SecretOf(std::string(128, 'a'), std::string(500 << 10, 'x'))));
  for (const std::string name : {"", "-a", "a-", "a b", "a/b", "0123456789abcdefghijklmno"}) {
    EXPECT_THAT(ValidateSecretSpec(SecretOf(name, "x")), StatusIs(kInvalid, HasSubstr("name: ")))
        << name;
  }
  EXPECT_THAT(ValidateSecretSpec(SecretOf(std::string(129, 'a'), "x")), StatusIs(kInvalid));
  EXPECT_THAT(ValidateSecretSpec(SecretOf("a", "")), StatusIs(kInvalid, "data: is empty"));
  EXPECT_THAT(ValidateSecretSpec(SecretOf("a", std::string((500 << 10) + 1, 'x'))),
              StatusIs(kInvalid, HasSubstr("above the most of 512000 (500 KiB)")));
  v1::ConfigSpec config;
  config.set_name("c");
  config.set_data(std::string(1000 << 10, 'x'));
  EXPECT_OK(ValidateConfigSpec(config));
  config.mutable_data()->push_back('x');
  EXPECT_THAT(ValidateConfigSpec(config), StatusIs(kInvalid, HasSubstr("1000 KiB")));
}

TEST(ReferenceValidationTest, ATemplateMustBeOneAndASecretsErrorRepeatsNothingOfIt) {
  v1::SecretSpec spec = SecretOf("a", "user={{env \"U\"}} pw={{secret \"pw\"}}");
  spec.set_template_driver("golang");
  EXPECT_OK(ValidateSecretSpec(spec));
  spec.set_data("{{swordfish}}");
  EXPECT_THAT(ValidateSecretSpec(spec), StatusIs(kInvalid, Not(HasSubstr("swordfish"))));
  spec.set_template_driver("jinja");
  EXPECT_THAT(ValidateSecretSpec(spec), StatusIs(kInvalid, HasSubstr("golang is built")));
  // Without a driver it is not looked into.
  spec.clear_template_driver();
  EXPECT_OK(ValidateSecretSpec(spec));
}

std::string Complaint(const std::function<void(v1::ContainerSpec&)>& change) {
  v1::ContainerSpec spec;
  change(spec);
  return std::string(ValidateReferences(spec).message());
}

TEST(ReferenceValidationTest, ReferencesAreCleanPathsNumbersAndPermissions) {
  const auto with = [](const std::function<void(v1::FileTarget&)>& change) {
    return Complaint([&](v1::ContainerSpec& spec) {
      v1::SecretReference& secret = *spec.add_secrets();
      secret.set_secret_name("a");
      change(*secret.mutable_file());
    });
  };
  EXPECT_EQ(with([](auto& f) {
              f.set_name("/etc/ssl/key");
              f.set_uid("1000");
              f.set_gid("0");
              f.set_mode(0400);
            }),
            "");
  EXPECT_EQ(with([](auto& f) { f.set_name("sub/key"); }), "");
  for (const char* name : {"../x", "a/../b", "a//b", "a/", "./a", "/", "/etc/", "/proc/self/mem",
                           "/sys/x", "/dev/null", "/run/secrets", "a\nb"}) {
    EXPECT_THAT(with([&](auto& f) { f.set_name(name); }),
                HasSubstr("task.container.secrets[0].file.name: "))
        << name;
  }
  EXPECT_THAT(with([](auto& f) { f.set_uid("nginx"); }),
              HasSubstr("secrets[0].file.uid: \"nginx\" is not a number"));
  EXPECT_THAT(with([](auto& f) { f.set_gid("4294967295"); }), HasSubstr("file.gid"));
  EXPECT_THAT(with([](auto& f) { f.set_mode(04755); }),
              HasSubstr("file.mode: 04755 is more than the permissions"));
  EXPECT_THAT(Complaint([](v1::ContainerSpec& spec) { spec.add_configs(); }),
              HasSubstr("task.container.configs[0]: names nothing"));
  EXPECT_THAT(Complaint([](v1::ContainerSpec& spec) {
                for (int i = 0; i < 101; ++i) spec.add_configs()->set_config_name("a");
              }),
              HasSubstr("more than 100"));
}

class PinReferencesTest : public ::testing::Test, public ApiWorld {
 protected:
  std::string AddSecret(const std::string& name) {
    Secret secret;
    secret.set_id(Id::Make(*random).ToString());
    secret.mutable_spec()->set_name(name);
    EXPECT_OK(store->Update([&](WriteTx& tx) { return tx.Put(secret); }));
    return secret.id();
  }
  std::string AddConfig(const std::string& name) {
    Config config;
    config.set_id(Id::Make(*random).ToString());
    config.mutable_spec()->set_name(name);
    EXPECT_OK(store->Update([&](WriteTx& tx) { return tx.Put(config); }));
    return config.id();
  }
  v1::TaskSpec task;
  v1::ContainerSpec& container = *task.mutable_container();
};

TEST_F(PinReferencesTest, NamesAndIdsBecomeBoth) {
  const std::string a = AddSecret("a");
  const std::string b = AddSecret("b");
  const std::string c = AddConfig("c");
  container.add_secrets()->set_secret_name("a");
  container.add_secrets()->set_secret_id(b);
  container.add_configs()->set_config_name(c);  // as people write it
  const auto pinned = PinReferences(store->view(), task);
  ASSERT_OK(pinned);
  EXPECT_EQ(pinned->container().secrets(0).secret_id(), a);
  EXPECT_EQ(pinned->container().secrets(1).secret_name(), "b");
  EXPECT_EQ(pinned->container().configs(0).config_id(), c);
  EXPECT_EQ(pinned->container().configs(0).config_name(), "c");
  EXPECT_TRUE(Uses(task, *store->view().GetSecretByName("a")));
  EXPECT_TRUE(Uses(task, *store->view().GetConfigByName("c")));
  EXPECT_FALSE(Uses(task, *store->view().GetSecret(Id::ParseOrZero(AddSecret("d")))));
}

TEST_F(PinReferencesTest, WhatIsNotThereAndTwoFilesAtOnePathAreRefused) {
  container.add_secrets()->set_secret_name("gone");
  EXPECT_THAT(
      PinReferences(store->view(), task).status(),
      StatusIs(kInvalid, HasSubstr("task.container.secrets[0]: secret \"gone\" not found")));
  container.clear_secrets();
  const std::string a = AddSecret("a");
  AddConfig("c");
  container.add_secrets()->set_secret_name("a");
  container.add_configs()->set_config_name("c");
  container.mutable_configs(0)->mutable_file()->set_name("/run/secrets/a/b");
  EXPECT_THAT(PinReferences(store->view(), task).status(),
              StatusIs(kInvalid, HasSubstr("task.container.configs[0]: /run/secrets/a/b and "
                                           "/run/secrets/a of task.container.secrets[0]")));
  container.mutable_configs(0)->mutable_file()->set_name("/run/secrets/b");
  EXPECT_OK(PinReferences(store->view(), task));
  container.mutable_secrets(0)->set_secret_id(a);
  container.mutable_secrets(0)->set_secret_name("z");
  EXPECT_THAT(PinReferences(store->view(), task).status(),
              StatusIs(kInvalid, HasSubstr("is \"a\", not \"z\"")));
}

TEST_F(PinReferencesTest, WhatAServiceMountsIsBoundedTogether) {
  Config config;
  config.set_id(Id::Make(*random).ToString());
  config.mutable_spec()->set_name("big");
  config.mutable_spec()->set_data(std::string(kMostConfigBytes, 'x'));
  ASSERT_OK(store->Update([&](WriteTx& tx) { return tx.Put(config); }));
  for (int i = 0; i < 32; ++i) {
    v1::ConfigReference& reference = *container.add_configs();
    reference.set_config_name("big");
    reference.mutable_file()->set_name(StrCat("/etc/", i));
  }
  EXPECT_OK(PinReferences(store->view(), task));
  v1::ConfigReference& more = *container.add_configs();
  more.set_config_name("big");
  more.mutable_file()->set_name("/etc/more");
  EXPECT_THAT(PinReferences(store->view(), task).status(),
              StatusIs(kInvalid, HasSubstr("hold 32 MiB together, above the most of 32 MiB")));
}

}  // namespace
}  // namespace swarm::manager
