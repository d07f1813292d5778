// The image store against Debian's docker-registry, with images made by umoci and pushed by skopeo.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <set>
#include <string>
#include <thread>

#include "agent/image/image_store.h"
#include "agent/image/testing.h"
#include "common/file_system.h"
#include "common/oci/digest.h"
#include "common/strings.h"
#include "common/unique_fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

extern char** environ;

namespace swarm::agent {
namespace {

using ::swarm::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using testing::TemporaryFolder;
using Code = absl::StatusCode;

// Runs a command in the shell; its output, and a failed test when it fails.
std::string Shell(const std::string& command) {
  FILE* pipe = ::popen(("exec 2>&1; " + command).c_str(), "re");
  EXPECT_NE(pipe, nullptr);
  std::string output;
  char buffer[4096];
  for (size_t got = 0; (got = ::fread(buffer, 1, sizeof(buffer), pipe)) > 0;) {
    output.append(buffer, got);
  }
  EXPECT_EQ(::pclose(pipe), 0) << command << "\n" << output;
  return output;
}

bool IsInstalled(const std::string& command) {
  return ::system(("command -v " + command + " >/dev/null").c_str()) == 0;
}

// docker-registry on a loopback port that the kernel chose; it dies with the test.
class RegistryProcess {
 public:
  RegistryProcess(const std::string& folder, const std::string& tls) {
    const std::string config = folder + "/config.yml";
    EXPECT_OK(WriteFileAtomically(
        config,
        StrCat("version: 0.1\nlog: {level: info, accesslog: {disabled: true}}\n",
               "storage: {filesystem: {rootdirectory: ", folder, "/data}}\n",
               "http: {addr: \"127.0.0.1:0\"", tls, "}\n"),
        0600));
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    log_.Reset(ends[0]);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
    std::string arguments[] = {"setpriv", "--pdeathsig=KILL", "docker-registry", "serve", config};
    char* argv[] = {arguments[0].data(), arguments[1].data(), arguments[2].data(),
                    arguments[3].data(), arguments[4].data(), nullptr};
    EXPECT_EQ(::posix_spawnp(&pid_, "setpriv", &actions, nullptr, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    WaitForPort();
    // A full pipe would stop the registry.
    drain_ = std::thread([this] {
      char buffer[4096];
      while (::read(log_.get(), buffer, sizeof(buffer)) > 0) {
      }
    });
  }

  ~RegistryProcess() { Stop(); }

  void Stop() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
    drain_.join();
  }

  const std::string& host() const { return host_; }

 private:
  void WaitForPort() {
    static constexpr std::string_view kSays = "listening on ";
    std::string text;
    char buffer[4096];
    while (true) {
      const ssize_t got = ::read(log_.get(), buffer, sizeof(buffer));
      ASSERT_GT(got, 0) << text;
      text.append(buffer, static_cast<size_t>(got));
      const size_t at = text.find(kSays);
      const size_t end = at == std::string::npos ? at : text.find_first_of(",\"", at);
      if (end == std::string::npos) continue;
      const std::string address = text.substr(at + kSays.size(), end - at - kSays.size());
      host_ = "localhost" + address.substr(address.rfind(':'));
      return;
    }
  }

  pid_t pid_ = -1;
  UniqueFd log_;
  std::thread drain_;
  std::string host_;
};

class ImageRegistryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    for (const char* command : {"docker-registry", "skopeo", "umoci", "busybox", "openssl"}) {
      if (!IsInstalled(command)) GTEST_SKIP() << command << " is not installed";
    }
    Shell(StrCat(SWARM_SOURCE_DIR, "/deploy/make-test-image ", path("/image.tar"),
                 " localhost/hello:1"));
    Shell(StrCat("mkdir ", path("/layout"), " && tar xf ", path("/image.tar"), " -C ",
                 path("/layout")));
  }

  std::string path(const std::string& rest) const { return folder_.path() + rest; }

  // hello:2 is hello:1 with /etc/added, another /etc/passwd and without /root and /bin/ls.
  void MakeSecondImage() {
    const std::string umoci = StrCat("umoci insert --image ", path("/layout"), ":localhost/hello:");
    ASSERT_OK(WriteFileAtomically(path("/added"), "added\n", 0644));
    Shell(StrCat(umoci, "1 --tag localhost/hello:2 ", path("/added"), " /etc/added"));
    Shell(StrCat(umoci, "2 ", path("/added"), " /etc/passwd"));
    Shell(StrCat(umoci, "2 --whiteout /root"));
    Shell(StrCat(umoci, "2 --whiteout /bin/ls"));
  }

  void Push(const RegistryProcess& registry, const std::string& tag, const std::string& more = "") {
    Shell(StrCat("skopeo copy --insecure-policy --dest-tls-verify=false ", more,
                 " oci:", path("/layout"), ":localhost/hello:", tag, " docker://", registry.host(),
                 "/hello:", tag));
  }

  std::unique_ptr<ImageStore> Open(oci::RegistryOptions options) {
    absl::StatusOr<std::unique_ptr<ImageStore>> store =
        OpenImageStore({.root = path("/images"), .registry = std::move(options)});
    EXPECT_OK(store);
    return store.ok() ? *std::move(store) : nullptr;
  }

  absl::StatusOr<StoredImage> Pull(ImageStore& store, const RegistryProcess& registry,
                                   const std::string& tag, const std::string& digest = "") {
    const oci::Reference reference =
        *oci::Reference::Parse(StrCat(registry.host(), "/hello:", tag));
    return store.Pull(reference, digest, nullptr, cancelled_);
  }

  // Runs a command of the image on an overlay of its layers, in a mount namespace of its own.
  std::string RunInImage(ImageStore& store, const std::string& digest, const std::string& command) {
    absl::StatusOr<UnpackedImage> image = store.Unpack(digest);
    EXPECT_OK(image);
    if (!image.ok()) return "";
    std::string lower;
    for (const std::string& layer : image->lower_dirs) {
      StrAppend(&lower, lower.empty() ? "" : ":", layer);
    }
    Shell(StrCat("mkdir -p ", path("/upper"), " ", path("/work"), " ", path("/merged")));
    return Shell(StrCat("unshare -m sh -ec 'mount -t overlay -o lowerdir=", lower,
                        ",upperdir=", path("/upper"), ",workdir=", path("/work"), " none ",
                        path("/merged"), "; exec chroot ", path("/merged"), " ", command, "'"));
  }

  // An own authority and a certificate for localhost.
  std::string MakeCertificates() {
    Shell(StrCat(
        "cd ", folder_.path(),
        " && openssl req -x509 -newkey ec -pkeyopt "
        "ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test-ca -keyout ca.key -out ca.pem "
        "&& openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "
        "/CN=localhost -keyout key.pem -out request.pem && printf "
        "'subjectAltName=DNS:localhost' > ext && openssl x509 -req -in request.pem -CA ca.pem "
        "-CAkey ca.key -CAcreateserial -days 2 -extfile ext -out cert.pem"));
    return StrCat(", tls: {certificate: ", path("/cert.pem"), ", key: ", path("/key.pem"), "}");
  }

  TemporaryFolder folder_;
  std::atomic<bool> cancelled_ = false;
};

TEST_F(ImageRegistryTest, PullsByHttpSharesLayersAndTransfersNothingTwice) {
  ASSERT_OK(MakeDirectories(path("/registry"), 0700));
  RegistryProcess registry(path("/registry"), "");
  MakeSecondImage();
  Push(registry, "1");
  Push(registry, "2");
  std::unique_ptr<ImageStore> store = Open({.insecure_registries = {registry.host()}});

  absl::StatusOr<StoredImage> first = Pull(*store, registry, "1");
  ASSERT_OK(first);
  EXPECT_EQ(first->os, "linux");
  EXPECT_EQ(RunInImage(*store, first->digest, "/bin/sh -c \"ls -d /root; id -un\""),
            "/root\nroot\n");

  absl::StatusOr<StoredImage> second = Pull(*store, registry, "2");
  ASSERT_OK(second);
  const auto one = store->Unpack(first->digest)->lower_dirs;
  const auto two = store->Unpack(second->digest)->lower_dirs;
  EXPECT_THAT(one, SizeIs(1));
  EXPECT_EQ(one.back(), two.back()) << "the layer of busybox is there once";
  EXPECT_EQ(RunInImage(*store, second->digest, "/bin/cat /etc/added /etc/passwd"),
            "added\nadded\n");
  EXPECT_EQ(RunInImage(*store, second->digest,
                       "/bin/sh -c \"test -e /root || test -e /bin/ls || echo gone\""),
            "gone\n");

  // With the registry's layers gone, any transfer of one would fail.
  Shell(StrCat("find ", path("/registry/data"), " -size +100k -name data -delete"));
  EXPECT_OK(Pull(*store, registry, "1"));
  EXPECT_OK(Pull(*store, registry, "2"));
  registry.Stop();
  EXPECT_OK(Pull(*store, registry, "1", first->digest)) << "pinned, and here";
  EXPECT_THAT(
      Pull(*store, registry, "1"),
      StatusIs(Code::kUnavailable, StrCat("registry ", registry.host(), ": connection refused")));
}

TEST_F(ImageRegistryTest, PullsByHttpsWithTheRegistrysOwnAuthority) {
  ASSERT_OK(MakeDirectories(path("/registry"), 0700));
  RegistryProcess registry(path("/registry"), MakeCertificates());
  Push(registry, "1");
  {
    std::unique_ptr<ImageStore> store = Open({.ca_file = path("/ca.pem")});
    absl::StatusOr<StoredImage> pulled = Pull(*store, registry, "1");
    ASSERT_OK(pulled);
    EXPECT_EQ(RunInImage(*store, pulled->digest, "/bin/echo hello"), "hello\n");
    EXPECT_THAT(Pull(*store, registry, "missing"), StatusIs(Code::kNotFound));
  }
  {
    std::unique_ptr<ImageStore> store = Open({});
    EXPECT_THAT(Pull(*store, registry, "1"),
                StatusIs(Code::kUnavailable, HasSubstr("certificate")));
  }
  std::unique_ptr<ImageStore> store = Open({.insecure_registries = {registry.host()}});
  EXPECT_THAT(Pull(*store, registry, "1"), StatusIs(Code::kUnavailable, HasSubstr("HTTP 400")));
}

TEST_F(ImageRegistryTest, PullsSchemaTwoAndManifestLists) {
  ASSERT_OK(MakeDirectories(path("/registry"), 0700));
  RegistryProcess registry(path("/registry"), "");
  Push(registry, "1", "--format v2s2");
  std::unique_ptr<ImageStore> store = Open({.insecure_registries = {registry.host()}});
  absl::StatusOr<StoredImage> pulled = Pull(*store, registry, "1");
  ASSERT_OK(pulled);
  EXPECT_EQ(RunInImage(*store, pulled->digest, "/bin/echo hello"), "hello\n");

  const std::string manifest = Shell(
      StrCat("skopeo inspect --raw --tls-verify=false docker://", registry.host(), "/hello:1"));
  EXPECT_EQ(oci::DigestOf(manifest), pulled->digest);
  const std::string type = "application/vnd.docker.distribution.manifest.";
  ASSERT_OK(WriteFileAtomically(
      path("/list"),
      StrCat("{\"schemaVersion\":2,\"mediaType\":\"", type,
             "list.v2+json\",\"manifests\":[{\"mediaType\":\"", type, "v2+json\",\"digest\":\"",
             pulled->digest, "\",\"size\":", manifest.size(),
             ",\"platform\":{\"os\":\"linux\",\"architecture\":\"", pulled->architecture, "\"}}]}"),
      0600));
  Shell(StrCat("curl -fsS -X PUT -H 'Content-Type: ", type, "list.v2+json' --data-binary @",
               path("/list"), " http://", registry.host(), "/v2/hello/manifests/list"));
  absl::StatusOr<StoredImage> by_list = Pull(*store, registry, "list");
  ASSERT_OK(by_list);
  EXPECT_EQ(by_list->config_digest, pulled->config_digest);
  EXPECT_EQ(by_list->digest, oci::DigestOf(*ReadFile(path("/list"))));
}

TEST_F(ImageRegistryTest, LoadsWhatOtherToolsWrite) {
  std::unique_ptr<ImageStore> store = Open({});
  absl::StatusOr<std::vector<StoredImage>> layout = store->Load(path("/image.tar"), "");
  ASSERT_OK(layout);
  EXPECT_EQ((*layout)[0].references[0], "localhost/hello:1");
  const std::string from = StrCat(" oci:", path("/layout"), ":localhost/hello:1 ");
  Shell(StrCat("skopeo copy --insecure-policy", from, "docker-archive:", path("/saved.tar"),
               ":saved:3"));
  ASSERT_OK(store->Load(path("/saved.tar"), ""));
  EXPECT_EQ(RunInImage(*store, "saved:3", "/bin/echo hello"), "hello\n");
  Shell(StrCat("skopeo copy --insecure-policy", from, "oci-archive:", path("/oci.tar")));
  absl::StatusOr<std::vector<StoredImage>> nameless = store->Load(path("/oci.tar"), "given:4");
  ASSERT_OK(nameless);
  EXPECT_OK(store->Find("given:4"));
  // One layer, however often it came.
  std::set<std::string> layers;
  for (const StoredImage& image : store->List()) {
    absl::StatusOr<UnpackedImage> unpacked = store->Unpack(image.digest);
    ASSERT_OK(unpacked);
    layers.insert(unpacked->lower_dirs.begin(), unpacked->lower_dirs.end());
  }
  EXPECT_THAT(layers, SizeIs(1));
}

}  // namespace
}  // namespace swarm::agent
