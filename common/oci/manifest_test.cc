#include "common/oci/manifest.h"

#include <string>

#include "common/oci/digest.h"
#include "common/random.h"
#include "common/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::oci {
namespace {

using ::swarm::testing::IsOk;
using ::swarm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

std::string D(char c) { return "sha256:" + std::string(64, c); }

std::string DescriptorJson(std::string_view type, char c, std::string_view more = "") {
  return StrCat("{\"mediaType\":\"", type, "\",\"size\":7,\"digest\":\"", D(c), "\"", more, "}");
}

std::string ManifestJson(std::string_view more = "") {
  return StrCat("{\"schemaVersion\":2,\"config\":", DescriptorJson(kOciConfigType, 'c'),
                ",\"layers\":[", DescriptorJson(StrCat(kOciLayerType, "+gzip"), 'a'), "]", more,
                "}");
}

std::string PlatformJson(std::string_view os, std::string_view arch,
                         std::string_view variant = "") {
  return StrCat(",\"platform\":{\"os\":\"", os, "\",\"architecture\":\"", arch, "\",\"variant\":\"",
                variant, "\"}");
}

absl::StatusOr<Descriptor> Choose(const std::string& entries, const Platform& wanted) {
  const std::string body = StrCat("{\"schemaVersion\":2,\"manifests\":[", entries, "]}");
  absl::StatusOr<ManifestDocument> document = ParseManifest(body, kOciIndexType);
  if (!document.ok()) return document.status();
  return ChooseManifest(std::get<Index>(*document), wanted);
}

TEST(ManifestTest, ReadsAnOciManifest) {
  absl::StatusOr<ManifestDocument> document = ParseManifest(ManifestJson(), kOciManifestType);
  ASSERT_OK(document);
  const auto& manifest = std::get<Manifest>(*document);
  EXPECT_EQ(manifest.config.digest, D('c'));
  ASSERT_EQ(manifest.layers.size(), 1u);
  EXPECT_EQ(manifest.layers[0].size, 7);
}

TEST(ManifestTest, ReadsWhatItWritesItself) {
  const std::string body =
      MakeManifest({.digest = D('c'), .size = 3}, {{.digest = D('a'), .size = 4}});
  absl::StatusOr<ManifestDocument> document = ParseManifest(body, "");
  ASSERT_OK(document);
  EXPECT_EQ(std::get<Manifest>(*document).layers[0].digest, D('a'));
}

TEST(ManifestTest, TheBodyAndTheHeaderMustAgreeOnTheType) {
  EXPECT_THAT(ParseManifest(ManifestJson(StrCat(",\"mediaType\":\"", kOciManifestType, "\"")),
                            kDockerManifestType),
              StatusIs(kInvalid, HasSubstr("ambiguous")));
  EXPECT_THAT(ParseManifest(ManifestJson(), kOciIndexType),
              StatusIs(kInvalid, HasSubstr("ambiguous")));
  // A registry that does not know the type says something general.
  EXPECT_OK(ParseManifest(ManifestJson(), "application/json"));
}

// CVE-2021-41190: one document that is an index to one reader and a manifest to another.
TEST(ManifestTest, RefusesWhatCouldBeReadAsTwoKinds) {
  EXPECT_THAT(ParseManifest(ManifestJson(",\"manifests\":[]"), ""),
              StatusIs(kInvalid, HasSubstr("both")));
  EXPECT_THAT(ParseManifest(ManifestJson(",\"Layers\":[]"), ""),
              StatusIs(kInvalid, HasSubstr("could be read as layers")));
  EXPECT_THAT(ParseManifest(ManifestJson(",\"layers\":[]"), ""),
              StatusIs(kInvalid, HasSubstr("twice")));
  EXPECT_THAT(ParseManifest(ManifestJson(StrCat(",\"mediaType\":\"", kOciIndexType, "\"")), ""),
              StatusIs(kInvalid, HasSubstr("ambiguous")));
}

TEST(ManifestTest, NamesWhatIsNotSupported) {
  EXPECT_THAT(ParseManifest("{\"schemaVersion\":1,\"fsLayers\":[]}", ""),
              StatusIs(kInvalid, HasSubstr("schema 1")));
  const std::string helm =
      StrCat("{\"schemaVersion\":2,\"config\":",
             DescriptorJson("application/vnd.cncf.helm.config.v1+json", 'c'), ",\"layers\":[]}");
  EXPECT_THAT(ParseManifest(helm, ""), StatusIs(kInvalid, HasSubstr("helm")));
  const std::string foreign = StrCat(
      "{\"schemaVersion\":2,\"config\":", DescriptorJson(kOciConfigType, 'c'), ",\"layers\":[",
      DescriptorJson("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", 'a'), "]}");
  // CVE-2020-15157: such a layer names the host to fetch it from, which then gets the credentials.
  EXPECT_THAT(ParseManifest(foreign, ""), StatusIs(kInvalid, HasSubstr("layers[0]: layers of")));
}

TEST(ManifestTest, SaysWhichFieldIsWrong) {
  EXPECT_THAT(ParseManifest("{\"schemaVersion\":2,\"config\":{}}", ""),
              StatusIs(kInvalid, HasSubstr("config.digest: missing")));
  EXPECT_THAT(ParseManifest("{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"md5:1\"}]}", ""),
              StatusIs(kInvalid, HasSubstr("manifests[0].digest: ")));
  EXPECT_THAT(ParseManifest(StrCat("{\"schemaVersion\":2,\"manifests\":[{\"size\":-1,\"digest\":\"",
                                   D('a'), "\"}]}"),
                            ""),
              StatusIs(kInvalid, HasSubstr("size: negative")));
  EXPECT_THAT(ParseManifest("{\"schemaVersion\":2", ""), StatusIs(kInvalid, HasSubstr("at byte")));
  EXPECT_THAT(ParseManifest("[]", ""), StatusIs(kInvalid, HasSubstr("not an object")));
  EXPECT_THAT(ParseManifest("{\"schemaVersion\":2}", ""), StatusIs(kInvalid, HasSubstr("neither")));
}

// CVE-2023-25153: documents of an image read without a limit.
TEST(ManifestTest, DepthSizeAndCountAreBounded) {
  EXPECT_THAT(ParseManifest(std::string(100'000, '['), ""),
              StatusIs(kInvalid, HasSubstr("32 levels")));
  EXPECT_THAT(ParseManifest(std::string(kMaxManifestBytes + 1, ' '), ""),
              StatusIs(kInvalid, HasSubstr("bytes")));
  std::string wide = "[0";
  for (int i = 0; i < 200'000; ++i) wide += ",0";
  EXPECT_THAT(ParseManifest(wide + "]", ""), StatusIs(kInvalid, HasSubstr("values")));
  std::string layers = DescriptorJson(kOciLayerType, 'a');
  for (size_t i = 0; i < kMaxLayers; ++i)
    StrAppend(&layers, ",", DescriptorJson(kOciLayerType, 'a'));
  EXPECT_THAT(
      ParseManifest(StrCat("{\"schemaVersion\":2,\"config\":", DescriptorJson(kOciConfigType, 'c'),
                           ",\"layers\":[", layers, "]}"),
                    ""),
      StatusIs(kInvalid, HasSubstr("at most 128")));
}

TEST(ManifestTest, ChoosesTheEntryOfThePlatform) {
  const std::string entries =
      StrCat(DescriptorJson(kOciManifestType, '1', PlatformJson("windows", "amd64")), ",",
             DescriptorJson(kOciManifestType, '2', PlatformJson("linux", "arm64", "v8")), ",",
             DescriptorJson(kOciManifestType, '3', PlatformJson("linux", "amd64")), ",",
             DescriptorJson(kOciManifestType, '4', PlatformJson("unknown", "unknown")));
  EXPECT_EQ(Choose(entries, {"linux", "amd64", ""})->digest, D('3'));
  EXPECT_EQ(Choose(entries, {"linux", "arm64", ""})->digest, D('2'));
  EXPECT_THAT(Choose(entries, {"linux", "s390x", ""}),
              StatusIs(absl::StatusCode::kNotFound,
                       "no image for linux/s390x (there is: windows/amd64, linux/arm64/v8, "
                       "linux/amd64)"));
}

TEST(ManifestTest, PrefersTheHighestVariantThatRuns) {
  const std::string arm =
      StrCat(DescriptorJson(kOciManifestType, '5', PlatformJson("linux", "arm", "v5")), ",",
             DescriptorJson(kOciManifestType, '7', PlatformJson("linux", "arm", "v7")), ",",
             DescriptorJson(kOciManifestType, '6', PlatformJson("linux", "arm", "v6")));
  EXPECT_EQ(Choose(arm, {"linux", "arm", "v7"})->digest, D('7'));
  EXPECT_EQ(Choose(arm, {"linux", "arm", "v6"})->digest, D('6'));
  EXPECT_EQ(Choose(arm, {"linux", "arm", "v8"})->digest, D('7'));
  const std::string amd =
      StrCat(DescriptorJson(kOciManifestType, '3', PlatformJson("linux", "amd64", "v3")), ",",
             DescriptorJson(kOciManifestType, '1', PlatformJson("linux", "amd64", "v1")));
  EXPECT_EQ(Choose(amd, {"linux", "amd64", ""})->digest, D('1'));
}

TEST(ManifestTest, ASingleEntryNeedsNoPlatform) {
  const std::string one = DescriptorJson(kOciManifestType, '1');
  EXPECT_EQ(Choose(one, {"linux", "amd64", ""})->digest, D('1'));
  EXPECT_THAT(Choose(one + "," + one, {"linux", "amd64", ""}),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST(ManifestTest, AnImageOfAnotherPlatformIsRefusedInWords) {
  EXPECT_OK(CheckRunsOn({"linux", "amd64", "v1"}, {"linux", "amd64", ""}));
  EXPECT_OK(CheckRunsOn({"", "", ""}, {"linux", "amd64", ""}));
  EXPECT_THAT(CheckRunsOn({"linux", "arm64", ""}, {"linux", "amd64", ""}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       "the image is for linux/arm64, this node is linux/amd64"));
}

TEST(ImageConfigTest, ReadsWhatAContainerNeeds) {
  const std::string body = StrCat(
      R"({"created":"2023-01-02T03:04:05Z","os":"linux","architecture":"amd64","config":{"Env":["A=b"],)",
      R"("Cmd":["sh"],"Entrypoint":null,"User":"1000","WorkingDir":"/w","Labels":{"k":"v"},)",
      R"("Volumes":{"/data":{}}},"rootfs":{"type":"layers","diff_ids":[")", D('a'), R"("]}})");
  absl::StatusOr<ImageConfig> config = ParseImageConfig(body);
  ASSERT_OK(config);
  EXPECT_THAT(config->env, ElementsAre("A=b"));
  EXPECT_THAT(config->command, ElementsAre("sh"));
  EXPECT_TRUE(config->entrypoint.empty());
  EXPECT_THAT(config->diff_ids, ElementsAre(D('a')));
  EXPECT_THAT(config->volumes, ElementsAre("/data"));
}

TEST(ImageConfigTest, RefusesAWrongDiffId) {
  EXPECT_THAT(ParseImageConfig(R"({"rootfs":{"diff_ids":["../../x"]}})"),
              StatusIs(kInvalid, HasSubstr("rootfs.diff_ids: ")));
  EXPECT_THAT(ParseImageConfig("{}"), StatusIs(kInvalid, HasSubstr("rootfs: missing")));
}

TEST(ImageConfigTest, ChainIdsNameStacksOfLayers) {
  // The second by the image specification: SHA-256 of "first second".
  EXPECT_THAT(ChainIds({D('a'), D('b')}),
              ElementsAre(D('a'), DigestOf(StrCat(D('a'), " ", D('b')))));
}

TEST(SavedImagesTest, ReadsDockersManifestJson) {
  absl::StatusOr<std::vector<SavedImage>> images = ParseSavedImages(
      R"([{"Config":"c.json","RepoTags":["hello:1"],"Layers":["a/layer.tar"]},{"Config":"d.json","RepoTags":null,"Layers":null}])");
  ASSERT_OK(images);
  ASSERT_EQ(images->size(), 2u);
  EXPECT_THAT((*images)[0].references, ElementsAre("hello:1"));
  EXPECT_THAT(ParseSavedImages("[1]"), StatusIs(kInvalid, HasSubstr("[0]: not an object")));
}

TEST(FuzzTest, ChangedBytesNeverCrash) {
  auto random = MakeSeededRandom(1);
  const std::string seeds[] = {
      ManifestJson(),
      StrCat("{\"schemaVersion\":2,\"manifests\":[",
             DescriptorJson(kOciManifestType, '1', PlatformJson("linux", "amd64")), "]}"),
      R"({"rootfs":{"diff_ids":[]},"config":{"Env":["A"],"Volumes":{"/a":{}}}})"};
  for (int round = 0; round < 2000; ++round) {
    std::string bytes = seeds[random->Below(3)];
    for (uint64_t i = random->Below(4) + 1; i > 0; --i) {
      bytes[random->Below(bytes.size())] = static_cast<char>(random->Next());
    }
    ParseAnything(bytes.substr(0, random->Below(bytes.size() + 1)));
    ParseAnything(bytes);
  }
}

}  // namespace
}  // namespace swarm::oci
