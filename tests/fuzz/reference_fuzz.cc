#include <string>

#include "common/check.h"
#include "common/oci/reference.h"
#include "tests/fuzz/fuzz.h"

namespace swarm {

std::vector<std::string> fuzz::MoreSeeds() {
  const std::string digest = "@sha256:" + std::string(64, 'a');
  return {"nginx" + digest, "reg:5000/a/b:1" + digest, "[::1]:5000/x" + digest};
}

}  // namespace swarm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace swarm;  // NOLINT(google-build-using-namespace)
  const std::string_view text = fuzz::Text(data, size);
  const auto parsed = oci::Reference::Parse(text);
  if (!parsed.ok()) return fuzz::CheckRefusal(parsed.status());
  CHECK(!parsed->host.empty() && !parsed->repository.empty()) << text;
  CHECK(!parsed->tag.empty() || !parsed->digest.empty()) << text;
  CHECK(parsed->digest.empty() || oci::CheckDigest(parsed->digest).ok()) << text;
  const auto again = oci::Reference::Parse(parsed->ToString());
  CHECK(again.ok()) << text << " became " << parsed->ToString() << ": " << again.status();
  CHECK(again->ToString() == parsed->ToString()) << text << ", " << again->ToString();
  const auto familiar = oci::Reference::Parse(parsed->Familiar());
  CHECK(familiar.ok()) << text << " is shown as " << parsed->Familiar();
  CHECK(familiar->Name() == parsed->Name()) << text << ", " << familiar->Name();
  return 0;
}
