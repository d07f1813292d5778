#include "agent/image/image_store.h"

#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <thread>

#include "agent/image/testing.h"
#include "common/file_system.h"
#include "common/mutex.h"
#include "common/oci/digest.h"
#include "common/oci/manifest.h"
#include "common/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/http_server.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::HttpRequest;
using ::swarm::testing::HttpResponse;
using ::swarm::testing::HttpServer;
using ::swarm::testing::IsOk;
using ::swarm::testing::StatusIs;
using ::testing::ElementsAre;
using testing::Gzip;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::MakeImage;
using ::testing::Not;
using ::testing::SizeIs;
using testing::TarBuilder;
using testing::TemporaryFolder;
using testing::TestImage;
using testing::Zstd;
using Code = absl::StatusCode;

std::string TarOf(const std::string& name, const std::string& content) {
  TarBuilder tar;
  return tar.File(name, content).Finish();
}

class ImageStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: layers keep their owners";
    server_ = std::make_unique<HttpServer>([this](const HttpRequest& r) { return Answer(r); });
    Open();
  }

  void Open() {
    store_.reset();
    absl::StatusOr<std::unique_ptr<ImageStore>> store =
        OpenImageStore({.root = root(),
                        .registry = {.insecure_registries = {server_->host()},
                                     .retry_base = absl::Milliseconds(1)}});
    ASSERT_OK(store);
    store_ = *std::move(store);
  }
  std::string root() const { return folder_.path() + "/images"; }

  // The registry: what it has by path, and what a test wants to go wrong.
  HttpResponse Answer(const HttpRequest& request) {
    MutexLock lock(mu_);
    ++gets_[request.path];
    asked_.NotifyAll();
    const auto found = served_.find(request.path);
    if (found == served_.end()) return {.status = 404};
    return found->second;
  }
  void Serve(const TestImage& image, const std::string& tag) {
    MutexLock lock(mu_);
    for (const auto& [digest, bytes] : image.blobs) {
      served_["/v2/app/blobs/" + digest] = {.body = bytes};
      served_["/v2/app/manifests/" + digest] = {
          .headers = {{"Content-Type", std::string(oci::kOciManifestType)}}, .body = bytes};
    }
    served_["/v2/app/manifests/" + tag] = served_["/v2/app/manifests/" + image.manifest_digest];
  }
  HttpResponse& Served(const std::string& path) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return served_[path];
  }
  int Gets(const std::string& path) {
    MutexLock lock(mu_);
    return gets_[path];
  }
  void WaitForGet(const std::string& path) {
    MutexLock lock(mu_);
    while (gets_[path] == 0) asked_.Wait(mu_);
  }
  int BlobGets() {
    MutexLock lock(mu_);
    int count = 0;
    for (const auto& [path, gets] : gets_) {
      if (path.find("/blobs/") != std::string::npos) count += gets;
    }
    return count;
  }

  oci::Reference Ref(const std::string& rest = "app:1") {
    return *oci::Reference::Parse(StrCat(server_->host(), "/", rest));
  }
  absl::StatusOr<StoredImage> Pull(const std::string& rest = "app:1",
                                   const std::string& digest = "") {
    return store_->Pull(Ref(rest), digest, nullptr, cancelled_);
  }
  absl::StatusOr<std::vector<StoredImage>> Load(const std::string& bytes,
                                                const std::string& reference = "") {
    const std::string path = folder_.path() + "/archive";
    EXPECT_OK(WriteFileAtomically(path, bytes, 0600));
    return store_->Load(path, reference);
  }
  std::vector<std::string> Blobs() { return *ListDirectory(root() + "/blobs/sha256"); }
  std::vector<std::string> Layers() { return *ListDirectory(root() + "/layers"); }
  void ExpectEmptyStore() {
    EXPECT_THAT(Blobs(), IsEmpty());
    EXPECT_THAT(Layers(), IsEmpty());
    EXPECT_THAT(*ListDirectory(root() + "/ingest"), IsEmpty());
    EXPECT_THAT(store_->List(), IsEmpty());
  }
  // What a container would read at `name`: the topmost layer that has it.
  std::string Read(const UnpackedImage& image, const std::string& name) {
    for (const std::string& layer : image.lower_dirs) {
      absl::StatusOr<std::string> text = ReadFile(layer + "/" + name);
      if (text.ok()) return *text;
    }
    return "nothing";
  }

  TemporaryFolder folder_;
  Mutex mu_;
  CondVar asked_;
  std::map<std::string, HttpResponse> served_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, int> gets_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<ImageStore> store_;
  std::atomic<bool> cancelled_ = false;
};

TEST_F(ImageStoreTest, LoadsAnOciLayoutAndUnpacksItTopmostFirst) {
  const TestImage image = MakeImage({TarOf("a", "below"), TarOf("a", "above")});
  absl::StatusOr<std::vector<StoredImage>> loaded = Load(image.Layout("localhost/hello:1"));
  ASSERT_OK(loaded);
  ASSERT_THAT(*loaded, SizeIs(1));
  EXPECT_THAT((*loaded)[0].references, ElementsAre("localhost/hello:1"));
  EXPECT_EQ((*loaded)[0].digest, image.manifest_digest);
  EXPECT_EQ((*loaded)[0].config_digest, image.config_digest);
  EXPECT_EQ(absl::FormatTime((*loaded)[0].created_at, absl::UTCTimeZone()),
            "2020-01-02T03:04:05+00:00");
  absl::StatusOr<UnpackedImage> unpacked = store_->Unpack(image.manifest_digest);
  ASSERT_OK(unpacked);
  EXPECT_EQ(Read(*unpacked, "a"), "above");
  EXPECT_THAT(unpacked->config_json, HasSubstr("/bin/sh"));
  EXPECT_THAT(unpacked->lower_dirs, SizeIs(2));
}

TEST_F(ImageStoreTest, ArchivesMayBeCompressed) {
  const TestImage image = MakeImage({TarOf("a", "1")});
  EXPECT_OK(Load(Gzip(image.Layout("hello:1"))));
  EXPECT_OK(Load(Zstd(image.Layout("hello:2"))));
  EXPECT_THAT(store_->Find("hello:1")->references,
              ElementsAre("docker.io/library/hello:1", "docker.io/library/hello:2"));
}

TEST_F(ImageStoreTest, LoadsADockerSaveArchiveWithLinkedLayers) {
  const std::string tar = TarOf("a", "1");
  const TestImage image = MakeImage({tar, tar}, {tar, tar});
  absl::StatusOr<std::vector<StoredImage>> loaded = Load(image.DockerSave("hello:1"));
  ASSERT_OK(loaded);
  EXPECT_THAT((*loaded)[0].references, ElementsAre("docker.io/library/hello:1"));
  EXPECT_EQ((*loaded)[0].config_digest, image.config_digest);
  EXPECT_EQ(Read(*store_->Unpack("hello:1"), "a"), "1");
}

TEST_F(ImageStoreTest, AnArchiveWithoutANameTakesTheGivenOne) {
  const TestImage image = MakeImage({TarOf("a", "1")});
  ASSERT_OK(Load(image.Layout("latest"), "mine:2"));
  EXPECT_THAT(store_->Find("mine:2")->references, ElementsAre("docker.io/library/mine:2"));
  ASSERT_OK(Load(image.DockerSave("")));
  EXPECT_OK(store_->Find(image.config_digest));
  EXPECT_THAT(Load(image.Layout(""), "Not A Name"), StatusIs(Code::kInvalidArgument));
}

TEST_F(ImageStoreTest, ABrokenArchiveLeavesNothingBehind) {
  const std::string tar = TarOf("a", "1");
  TestImage wrong_blob = MakeImage({tar});
  wrong_blob.blobs[wrong_blob.layer_digests[0]] = Gzip(TarOf("a", "2"));
  EXPECT_THAT(Load(wrong_blob.Layout("a:1")),
              StatusIs(Code::kDataLoss,
                       HasSubstr(StrCat("blob ", wrong_blob.layer_digests[0], ": expected "))));
  ExpectEmptyStore();

  const TestImage wrong_diff_id = MakeImage({tar, tar}, {Gzip(tar), Gzip(TarOf("a", "2"))});
  EXPECT_THAT(
      Load(wrong_diff_id.Layout("a:1")),
      StatusIs(Code::kDataLoss, HasSubstr(StrCat("layer ", oci::DigestOf(tar), ": expected ",
                                                 oci::DigestOf(tar), ", got "))));
  ExpectEmptyStore();

  TestImage missing = MakeImage({tar});
  missing.blobs.erase(missing.layer_digests[0]);
  EXPECT_THAT(Load(missing.Layout("a:1")), StatusIs(Code::kDataLoss, HasSubstr("has no layer")));
  ExpectEmptyStore();

  TestImage hostile = MakeImage({TarOf("../../x", "1")});
  EXPECT_THAT(Load(hostile.Layout("a:1")),
              StatusIs(Code::kInvalidArgument, HasSubstr("leaves the image")));
  ExpectEmptyStore();

  const std::string whole = MakeImage({tar}).Layout("a:1");
  EXPECT_THAT(Load(whole.substr(0, whole.size() / 2)), Not(IsOk()));
  EXPECT_THAT(Load("hello"), StatusIs(Code::kDataLoss, HasSubstr("not a tar archive")));
  EXPECT_THAT(Load(tar), StatusIs(Code::kInvalidArgument, HasSubstr("neither an OCI layout")));
  EXPECT_THAT(store_->Load("/nonexistent", ""), StatusIs(Code::kNotFound));
  EXPECT_THAT(store_->Load("/tmp", ""), StatusIs(Code::kInvalidArgument));
  EXPECT_THAT(store_->Load("/dev/zero", ""), StatusIs(Code::kInvalidArgument));
  ExpectEmptyStore();
}

TEST_F(ImageStoreTest, HostileArchiveNamesStayInTheStore) {
  for (const char* name : {"../../x", "blobs/sha256/../../x"}) {
    TarBuilder tar;
    EXPECT_THAT(Load(tar.File(name, "x").Finish()), StatusIs(Code::kInvalidArgument)) << name;
  }
  TarBuilder link;
  link.Symlink("index.json", "/etc/passwd");
  EXPECT_THAT(Load(link.Finish()), StatusIs(Code::kInvalidArgument, HasSubstr("neither")));
  TarBuilder circle;
  circle.Symlink("index.json", "b").Symlink("b", "index.json");
  EXPECT_THAT(Load(circle.Finish()), StatusIs(Code::kInvalidArgument, HasSubstr("neither")));
  TarBuilder config;
  config.File("manifest.json", R"([{"Config":"../../../etc/passwd","Layers":[]}])");
  EXPECT_THAT(Load(config.Finish()), StatusIs(Code::kDataLoss, HasSubstr("has no file")));
  TarBuilder twice;
  twice.File("index.json", "{}").File("./index.json", "[]");
  EXPECT_THAT(Load(twice.Finish()), StatusIs(Code::kInvalidArgument, HasSubstr("twice")));
  ExpectEmptyStore();
}

TEST_F(ImageStoreTest, PullsUnpacksAndReportsProgress) {
  const TestImage image = MakeImage({TarOf("a", "1"), TarOf("b", "2")});
  Serve(image, "1");
  ImageProgress last;
  absl::StatusOr<StoredImage> pulled = store_->Pull(
      Ref(), "", [&last](const ImageProgress& progress) { last = progress; }, cancelled_);
  ASSERT_OK(pulled);
  EXPECT_EQ(pulled->digest, image.manifest_digest);
  EXPECT_THAT(pulled->references, ElementsAre(Ref().Name()));
  EXPECT_EQ(last.done_bytes, last.total_bytes);
  EXPECT_GT(last.total_bytes, 0);
  EXPECT_THAT(Layers(), SizeIs(2));
  EXPECT_EQ(Read(*store_->Unpack(pulled->digest), "b"), "2");
}

TEST_F(ImageStoreTest, ASecondPullTransfersNoBlob) {
  const TestImage image = MakeImage({TarOf("a", "1")});
  Serve(image, "1");
  ASSERT_OK(Pull());
  const int before = BlobGets();
  ASSERT_OK(Pull());
  EXPECT_EQ(BlobGets(), before);
  const int tags = Gets("/v2/app/manifests/1");
  // By digest the registry is not even asked.
  ASSERT_OK(Pull("app:1", image.manifest_digest));
  ASSERT_OK(Pull("app@" + image.manifest_digest));
  EXPECT_EQ(Gets("/v2/app/manifests/1"), tags);
}

TEST_F(ImageStoreTest, ImagesShareTheLayersTheyHaveInCommon) {
  const TestImage first = MakeImage({TarOf("base", "1"), TarOf("a", "1")});
  const TestImage second = MakeImage({TarOf("base", "1"), TarOf("b", "1")});
  Serve(first, "1");
  Serve(second, "2");
  ASSERT_OK(Pull("app:1"));
  ASSERT_OK(Pull("app:2"));
  EXPECT_EQ(Gets("/v2/app/blobs/" + first.layer_digests[0]), 1);
  EXPECT_THAT(Layers(), SizeIs(3));
  EXPECT_EQ(store_->Unpack(Ref("app:1").Name())->lower_dirs[1],
            store_->Unpack(Ref("app:2").Name())->lower_dirs[1]);
}

TEST_F(ImageStoreTest, AnIndexLeadsToTheImageOfThisPlatform) {
  const oci::Platform host = oci::HostPlatform();
  const TestImage ours = MakeImage({TarOf("a", "ours")});
  const TestImage other = MakeImage({TarOf("a", "other")});
  Serve(ours, "x");
  Serve(other, "y");
  const auto entry = [](const TestImage& image, const std::string& os, const std::string& arch) {
    return StrCat("{\"mediaType\":\"", oci::kOciManifestType, "\",\"digest\":\"",
                  image.manifest_digest,
                  "\",\"size\":", image.blobs.at(image.manifest_digest).size(),
                  ",\"platform\":{\"os\":\"", os, "\",\"architecture\":\"", arch, "\"}}");
  };
  const std::string index =
      StrCat("{\"schemaVersion\":2,\"manifests\":[", entry(other, "linux", "mips"), ",",
             entry(ours, host.os, host.architecture), "]}");
  Served("/v2/app/manifests/1") = {.headers = {{"Content-Type", std::string(oci::kOciIndexType)}},
                                   .body = index};
  absl::StatusOr<StoredImage> pulled = Pull();
  ASSERT_OK(pulled);
  EXPECT_EQ(pulled->digest, oci::DigestOf(index));
  EXPECT_EQ(Read(*store_->Unpack(pulled->digest), "a"), "ours");
  // The manifest's own digest finds it too.
  EXPECT_OK(store_->Find(ours.manifest_digest));
}

TEST_F(ImageStoreTest, AnImageForAnotherMachineIsRefusedBeforeItsLayersCome) {
  Serve(MakeImage({TarOf("a", "1")}, {}, "\"os\":\"linux\",\"architecture\":\"mips\","), "1");
  EXPECT_THAT(Pull(),
              StatusIs(Code::kFailedPrecondition, HasSubstr("the image is for linux/mips")));
  EXPECT_EQ(BlobGets(), 1);
}

TEST_F(ImageStoreTest, WrongAndTruncatedBlobsAreDataLoss) {
  const TestImage image = MakeImage({TarOf("a", "1")});
  Serve(image, "1");
  const std::string path = "/v2/app/blobs/" + image.layer_digests[0];
  const std::string good = Served(path).body;
  Served(path).body[10] ^= 1;
  EXPECT_THAT(Pull(), StatusIs(Code::kDataLoss,
                               HasSubstr(StrCat("expected ", image.layer_digests[0], ", got "))));
  Served(path).body = good.substr(0, good.size() - 1);
  EXPECT_THAT(Pull(), StatusIs(Code::kDataLoss, HasSubstr("truncated")));
  EXPECT_THAT(store_->List(), IsEmpty());
  Served(path).body = good;
  EXPECT_OK(Pull());
}

TEST_F(ImageStoreTest, AWrongDiffIdIsToldFromAWrongBlob) {
  const std::string tar = TarOf("a", "1");
  Serve(MakeImage({tar}, {Gzip(TarOf("a", "2"))}), "1");
  EXPECT_THAT(Pull(), StatusIs(Code::kDataLoss, HasSubstr(StrCat("layer ", oci::DigestOf(tar)))));
  EXPECT_THAT(Layers(), IsEmpty());
  EXPECT_THAT(*ListDirectory(root() + "/ingest"), IsEmpty());
}

TEST_F(ImageStoreTest, ManyWhoPullTheSameShareOneTransfer) {
  const TestImage image = MakeImage({TarOf("a", std::string(2 << 20, 'x')), TarOf("b", "1")});
  Serve(image, "1");
  std::vector<std::thread> threads;
  std::atomic<int> ok = 0;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      absl::StatusOr<StoredImage> pulled = Pull();
      EXPECT_OK(pulled);
      ok += pulled.ok() && store_->Unpack(pulled->digest).ok();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ok, 8);
  EXPECT_EQ(Gets("/v2/app/blobs/" + image.layer_digests[0]), 1);
  EXPECT_EQ(Gets("/v2/app/blobs/" + image.layer_digests[1]), 1);
}

TEST_F(ImageStoreTest, RemovingAndPullingAtTheSameTimeLeaveAWholeStore) {
  const TestImage first = MakeImage({TarOf("base", "1"), TarOf("a", "1")});
  const TestImage second = MakeImage({TarOf("base", "1"), TarOf("b", "1")});
  Serve(first, "1");
  Serve(second, "2");
  std::vector<std::thread> threads;
  for (const char* name : {"app:1", "app:2"}) {
    threads.emplace_back([this, name] {
      for (int i = 0; i < 20; ++i) {
        absl::StatusOr<StoredImage> pulled = Pull(name);
        EXPECT_OK(pulled);
        if (!pulled.ok()) continue;
        EXPECT_OK(store_->Unpack(pulled->digest));
        EXPECT_OK(store_->Remove(Ref(name).Name(), false, nullptr));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ExpectEmptyStore();
}

TEST_F(ImageStoreTest, ACancelledPullStopsAndALaterOneSucceeds) {
  const TestImage image = MakeImage({TarOf("a", "1"), TarOf("b", "1")});
  Serve(image, "1");
  const std::string path = "/v2/app/blobs/" + image.layer_digests[1];
  Served(path).send_only = 3;
  Served(path).stall = true;
  EXPECT_THAT(store_->Pull(
                  Ref(), "",
                  [this, &path](const ImageProgress&) {
                    if (Gets(path) > 0) cancelled_ = true;
                  },
                  cancelled_),
              StatusIs(Code::kCancelled));
  cancelled_ = false;
  Served(path).send_only = -1;
  Served(path).stall = false;
  EXPECT_OK(Pull());
}

TEST_F(ImageStoreTest, ATagThatMovedTakesItsNameAlong) {
  const TestImage old_image = MakeImage({TarOf("a", "old")});
  const TestImage new_image = MakeImage({TarOf("a", "new")});
  Serve(old_image, "1");
  ASSERT_OK(Pull());
  Serve(new_image, "1");
  ASSERT_OK(Pull());
  EXPECT_EQ(store_->Find(Ref().Name())->digest, new_image.manifest_digest);
  EXPECT_THAT(store_->Find(old_image.manifest_digest)->references, IsEmpty());
  // A task that is pinned to the old bytes does not turn the name back.
  ASSERT_OK(Pull("app:1", old_image.manifest_digest));
  EXPECT_EQ(store_->Find(Ref().Name())->digest, new_image.manifest_digest);
}

TEST_F(ImageStoreTest, FindsByNameDigestAndShortId) {
  const TestImage image = MakeImage({TarOf("a", "1")});
  ASSERT_OK(Load(image.Layout("hello:1")));
  for (const std::string& ref :
       {std::string("hello:1"), std::string("docker.io/library/hello:1"), image.manifest_digest,
        image.config_digest, image.config_digest.substr(7, 12), "hello@" + image.manifest_digest}) {
    EXPECT_OK(store_->Find(ref)) << ref;
  }
  for (const std::string& ref : {std::string("hello:2"), std::string("abc"), std::string(""),
                                 "sha256:" + std::string(64, '0'), std::string("../x")}) {
    EXPECT_THAT(store_->Find(ref), StatusIs(Code::kNotFound)) << ref;
  }
}

TEST_F(ImageStoreTest, RemovingTheLastNameRemovesWhatNobodyElseNeeds) {
  const TestImage first = MakeImage({TarOf("base", "1"), TarOf("a", "1")});
  const TestImage second = MakeImage({TarOf("base", "1"), TarOf("b", "1")});
  ASSERT_OK(Load(first.Layout("one:1")));
  ASSERT_OK(Load(first.Layout("one:2")));
  ASSERT_OK(Load(second.Layout("two:1")));
  absl::StatusOr<ImageStore::Removal> removal = store_->Remove("one:1", false, nullptr);
  ASSERT_OK(removal);
  EXPECT_THAT(removal->untagged, ElementsAre("docker.io/library/one:1"));
  EXPECT_THAT(removal->deleted, IsEmpty());
  removal = store_->Remove("one:2", false, nullptr);
  ASSERT_OK(removal);
  EXPECT_THAT(removal->deleted, ElementsAre(first.manifest_digest));
  EXPECT_THAT(Layers(), SizeIs(2));
  EXPECT_THAT(Blobs(), SizeIs(4));  // two layers, manifest, configuration
  EXPECT_OK(store_->Unpack("two:1"));
  ASSERT_OK(store_->Remove(second.manifest_digest, false, nullptr));
  ExpectEmptyStore();
}

TEST_F(ImageStoreTest, AnImageInUseIsNotRemovedAndByForceLosesItsNamesOnly) {
  const TestImage image = MakeImage({TarOf("a", "1")});
  ASSERT_OK(Load(image.Layout("one:1")));
  const auto in_use = [&](const std::string& digest) { return digest == image.manifest_digest; };
  EXPECT_THAT(store_->Remove("one:1", false, in_use),
              StatusIs(Code::kFailedPrecondition, HasSubstr("used by a container")));
  absl::StatusOr<ImageStore::Removal> removal = store_->Remove("one:1", true, in_use);
  ASSERT_OK(removal);
  EXPECT_THAT(removal->deleted, IsEmpty());
  EXPECT_THAT(store_->Find("one:1"), StatusIs(Code::kNotFound));
  EXPECT_OK(store_->Unpack(image.manifest_digest));
  EXPECT_THAT(store_->Remove("one:1", true, in_use), StatusIs(Code::kNotFound));
}

TEST_F(ImageStoreTest, EverythingIsThereAgainAfterARestart) {
  const TestImage image = MakeImage({TarOf("a", "1")});
  ASSERT_OK(Load(image.Layout("hello:1")));
  const StoredImage before = *store_->Find("hello:1");
  Open();
  absl::StatusOr<StoredImage> after = store_->Find("hello:1");
  ASSERT_OK(after);
  EXPECT_EQ(after->digest, before.digest);
  EXPECT_EQ(after->created_at, before.created_at);
  EXPECT_EQ(after->loaded_at, before.loaded_at);
  EXPECT_EQ(after->size_bytes, before.size_bytes);
  EXPECT_EQ(Read(*store_->Unpack("hello:1"), "a"), "1");
}

TEST_F(ImageStoreTest, WhatACrashLeftIsThrownAwayAtOpen) {
  const TestImage image = MakeImage({TarOf("a", "1")});
  ASSERT_OK(Load(image.Layout("hello:1")));
  const auto blobs = Blobs();
  const auto layers = Layers();
  store_.reset();
  ASSERT_OK(MakeDirectories(root() + "/ingest/7/half/done", 0700));
  ASSERT_OK(MakeDirectories(root() + "/layers/AAAAAAAAAAAAAAAAAAAAAA/x", 0700));
  ASSERT_OK(WriteFileAtomically(
      root() + "/blobs/sha256/" + oci::DigestHex(oci::DigestOf("whole, but nobody's")),
      "whole, but nobody's", 0600));
  Open();
  EXPECT_EQ(Blobs(), blobs);
  EXPECT_EQ(Layers(), layers);
  EXPECT_THAT(*ListDirectory(root() + "/ingest"), IsEmpty());
}

TEST_F(ImageStoreTest, ALostLayerFolderIsUnpackedAgain) {
  const TestImage image = MakeImage({TarOf("a", "1")});
  ASSERT_OK(Load(image.Layout("hello:1")));
  ASSERT_OK(RemoveTree(root() + "/layers/" + Layers()[0]));
  EXPECT_EQ(Read(*store_->Unpack("hello:1"), "a"), "1");
}

TEST_F(ImageStoreTest, ABlobThatTheDiskDamagedIsFetchedAgain) {
  const TestImage image = MakeImage({TarOf("a", "1")});
  Serve(image, "1");
  ASSERT_OK(Pull());
  ASSERT_OK(RemoveTree(root() + "/layers/" + Layers()[0]));
  ASSERT_OK(WriteFileAtomically(root() + "/blobs/sha256/" + oci::DigestHex(image.layer_digests[0]),
                                "damaged", 0600));
  EXPECT_THAT(store_->Unpack(image.manifest_digest),
              StatusIs(Code::kNotFound, HasSubstr("pull or load it again")));
  EXPECT_OK(Pull("app:1", image.manifest_digest));
  EXPECT_EQ(Read(*store_->Unpack(image.manifest_digest), "a"), "1");
}

TEST_F(ImageStoreTest, OneAgentAtATime) {
  EXPECT_THAT(OpenImageStore({.root = root()}),
              StatusIs(Code::kFailedPrecondition, HasSubstr("another agent")));
}

TEST_F(ImageStoreTest, ADamagedOrLostIndexIsMadeAgainWithoutNames) {
  const TestImage image = MakeImage({TarOf("a", "1")});
  ASSERT_OK(Load(image.Layout("hello:1")));
  store_.reset();
  ASSERT_OK(WriteFileAtomically(root() + "/images.json", "{\"version\":1", 0600));
  Open();
  EXPECT_THAT(store_->Find("hello:1"), StatusIs(Code::kNotFound));
  EXPECT_EQ(Read(*store_->Unpack(image.manifest_digest), "a"), "1");
  store_.reset();
  ASSERT_EQ(::unlink((root() + "/images.json").c_str()), 0);
  Open();
  EXPECT_EQ(Read(*store_->Unpack(image.manifest_digest), "a"), "1");
  Open();
  EXPECT_OK(store_->Find(image.manifest_digest));
}

TEST_F(ImageStoreTest, NobodyElseOnTheHostSeesIntoTheStore) {
  struct stat info = {};
  for (const char* folder : {"", "/blobs", "/layers", "/ingest"}) {
    ASSERT_EQ(::stat((root() + folder).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0700u) << folder;
  }
}

TEST_F(ImageStoreTest, FiftyLayersFitIntoTheOptionsOfAMount) {
  std::vector<std::string> tars;
  for (int i = 0; i < 50; ++i) tars.push_back(TarOf("f", StrCat(i)));
  const TestImage image = MakeImage(tars);
  ASSERT_OK(Load(image.Layout("deep:1")));
  absl::StatusOr<UnpackedImage> unpacked = store_->Unpack("deep:1");
  ASSERT_OK(unpacked);
  EXPECT_EQ(Read(*unpacked, "f"), "49");
  size_t options = 0;
  for (const std::string& layer : unpacked->lower_dirs) {
    options += std::string("/var/lib/swarm/agent/images").size() + layer.size() - root().size() + 1;
  }
  EXPECT_LT(options, 4096u);
}

TEST_F(ImageStoreTest, AFolderThatALayerLeftOutKeepsItsLooks) {
  TarBuilder base;
  base.Folder("tmp", {.mode = 01777});
  const TestImage image = MakeImage({base.Finish(), TarOf("tmp/f", "1")});
  ASSERT_OK(Load(image.Layout("hello:1")));
  struct stat info = {};
  ASSERT_EQ(::stat((store_->Unpack("hello:1")->lower_dirs[0] + "/tmp").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 01777u);
}

TEST_F(ImageStoreTest, ALayerWithAnOpaqueRootHidesAllBelow) {
  TarBuilder opaque;
  opaque.File(".wh..wh..opq", "").File("b", "2");
  const TestImage image = MakeImage({TarOf("a", "1"), opaque.Finish(), TarOf("c", "3")});
  ASSERT_OK(Load(image.Layout("hello:1")));
  EXPECT_THAT(store_->Unpack("hello:1")->lower_dirs, SizeIs(2));
}

TEST_F(ImageStoreTest, ARegistryThatHangsHoldsUpNobodyElse) {
  std::vector<std::string> tars;
  for (int i = 0; i < 6; ++i) tars.push_back(TarOf("hung", StrCat(i)));
  const TestImage hung = MakeImage(tars);
  Serve(hung, "hung");
  for (const std::string& digest : hung.layer_digests) {
    Served("/v2/app/blobs/" + digest).send_only = 1;
    Served("/v2/app/blobs/" + digest).stall = true;
  }
  Serve(MakeImage({TarOf("a", "1")}), "1");
  std::thread hanging([&] { EXPECT_THAT(Pull("app:hung"), StatusIs(Code::kCancelled)); });
  for (int i = 0; i < 4; ++i) WaitForGet("/v2/app/blobs/" + hung.layer_digests[i]);
  const std::atomic<bool> never = false;
  EXPECT_OK(store_->Pull(Ref("app:1"), "", nullptr, never));
  cancelled_ = true;
  hanging.join();
}

TEST_F(ImageStoreTest, APullStopsWhileTheRegistryHangsInItsManifest) {
  Serve(MakeImage({TarOf("a", "1")}), "1");
  const std::string path = "/v2/app/manifests/1";
  Served(path).send_only = 3;
  Served(path).stall = true;
  std::thread hanging([&] { EXPECT_THAT(Pull(), StatusIs(Code::kCancelled)); });
  WaitForGet(path);
  cancelled_ = true;
  hanging.join();
}

TEST_F(ImageStoreTest, DocumentsThatTheDiskDamagedAreFetchedAgain) {
  const TestImage image = MakeImage({TarOf("a", "1")});
  Serve(image, "1");
  ASSERT_OK(Pull());
  for (const std::string& digest : {image.manifest_digest, image.config_digest}) {
    ASSERT_OK(
        WriteFileAtomically(StrCat(root(), "/blobs/sha256/", oci::DigestHex(digest)), "?", 0600));
    EXPECT_THAT(store_->Unpack(image.manifest_digest), StatusIs(Code::kDataLoss));
    ASSERT_OK(Pull("app:1", image.manifest_digest));
    EXPECT_OK(store_->Unpack(image.manifest_digest));
  }
}

TEST_F(ImageStoreTest, LoadsThoughTheMachineHasNoThreadToGive) {
  const std::string layout = MakeImage({TarOf("a", "1"), TarOf("b", "2")}).Layout("app:1");
  // A stack that no address space holds: every new thread is refused, as at the limit of processes.
  pthread_attr_t before;
  pthread_attr_t huge;
  ASSERT_EQ(::pthread_getattr_default_np(&before), 0);
  ASSERT_EQ(::pthread_attr_init(&huge), 0);
  ASSERT_EQ(::pthread_attr_setstacksize(&huge, size_t{1} << 47), 0);
  ASSERT_EQ(::pthread_setattr_default_np(&huge), 0);
  const auto loaded = Load(layout);
  ASSERT_EQ(::pthread_setattr_default_np(&before), 0);
  ASSERT_OK(loaded);
  EXPECT_EQ(Read(*store_->Unpack("app:1"), "b"), "2");
}

TEST_F(ImageStoreTest, AnImageWithoutLayersHasNothingToRun) {
  ASSERT_OK(Load(MakeImage({}).Layout("empty:1")));
  EXPECT_THAT(store_->Unpack("empty:1"),
              StatusIs(Code::kFailedPrecondition, HasSubstr("no layers")));
}

}  // namespace
}  // namespace swarm::agent
