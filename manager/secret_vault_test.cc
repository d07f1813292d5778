#include "manager/secret_vault.h"

#include "common/tls/sealed_box.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::manager {
namespace {

using ::swarm::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(SecretVaultTest, OpensWhatItSealedAsTheSameSecretOnly) {
  const auto random = MakeSeededRandom(1);
  const SecretVault vault(tls::MakeSealKey(*random));
  Secret record;
  const Id id = Id::Make(*random);
  record.set_id(id.ToString());
  record.set_sealed_data(vault.Seal(id, "swordfish", *random));
  EXPECT_THAT(record.SerializeAsString(), Not(HasSubstr("swordfish")));
  const auto opened = vault.Open(record);
  ASSERT_OK(opened);
  EXPECT_EQ(opened->Reveal(), "swordfish");

  record.set_id(Id::Make(*random).ToString());
  EXPECT_THAT(vault.Open(record).status(), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(SecretVaultTest, AFingerprintIsOfNameDriverAndContentUnderTheKey) {
  const auto random = MakeSeededRandom(1);
  const SecretVault vault(tls::MakeSealKey(*random));
  const SecretVault other(tls::MakeSealKey(*random));
  const std::string print = vault.Fingerprint("shop_db", "", "swordfish");
  EXPECT_EQ(print.size(), 32u);
  EXPECT_EQ(print, vault.Fingerprint("shop_db", "", "swordfish"));
  EXPECT_NE(print, vault.Fingerprint("shop_db", "golang", "swordfish"));
  EXPECT_NE(print, vault.Fingerprint("shop_d", "", "bswordfish"));
  EXPECT_NE(print, other.Fingerprint("shop_db", "", "swordfish"));
}

}  // namespace
}  // namespace swarm::manager
