#include "agent/identity.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/file_system.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

using Json = nlohmann::json;

constexpr char kCertificateBegin[] = "-----BEGIN CERTIFICATE-----";

std::string ToJson(const NodeIdentity& identity) {
  Json json = {{"node_id", identity.node_id},
               {"role", v1::NodeSpec::Role_Name(identity.role)},
               {"advertise_addr", identity.advertise_addr}};
  if (identity.manager.has_value()) {
    json["manager"] = {{"listen", identity.manager->listen},
                       {"join_listen", identity.manager->join_listen},
                       {"advertise", identity.manager->advertise},
                       {"advertise_join", identity.manager->advertise_join}};
  }
  return json.dump(2) + "\n";
}

std::string Text(const Json& json, const char* key) {
  const auto it = json.find(key);
  return it != json.end() && it->is_string() ? it->get<std::string>() : "";
}

absl::Status FromJson(const std::string& text, NodeIdentity& identity) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return absl::DataLossError("is not JSON");
  identity.node_id = Text(json, "node_id");
  identity.advertise_addr = Text(json, "advertise_addr");
  if (identity.node_id.empty()) return absl::DataLossError("has no node_id");
  if (!v1::NodeSpec::Role_Parse(Text(json, "role"), &identity.role)) {
    return absl::DataLossError("has no role");
  }
  const auto manager = json.find("manager");
  if (manager != json.end() && manager->is_object()) {
    identity.manager =
        ManagerAddresses{Text(*manager, "listen"), Text(*manager, "join_listen"),
                         Text(*manager, "advertise"), Text(*manager, "advertise_join")};
  }
  return absl::OkStatus();
}

// The key first, then the certificate.
absl::Status SplitNodePem(const std::string& pem, NodeIdentity& identity) {
  const size_t certificate = pem.find(kCertificateBegin);
  if (certificate == 0 || certificate == std::string::npos) {
    return absl::DataLossError("does not hold a key and a certificate");
  }
  identity.key_pem = pem.substr(0, certificate);
  identity.certificate_pem = pem.substr(certificate);
  return absl::OkStatus();
}

std::string WithNewline(std::string text) {
  if (!text.empty() && text.back() != '\n') text += '\n';
  return text;
}

std::string ManagerLines(const std::vector<std::string>& managers) {
  return WithNewline(absl::StrJoin(managers, "\n"));
}

absl::Status Rename(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    return ErrnoStatus(errno, StrCat("rename ", from));
  }
  return absl::OkStatus();
}

absl::Status SyncFolder(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid() || ::fsync(fd.get()) != 0) return ErrnoStatus(errno, StrCat("sync ", path));
  return absl::OkStatus();
}

}  // namespace

IdentityStore::IdentityStore(std::string state_dir)
    : state_dir_(std::move(state_dir)), folder_(state_dir_ + "/identity") {}

std::string IdentityStore::File(const std::string& name) const { return folder_ + "/" + name; }

absl::StatusOr<std::optional<NodeIdentity>> IdentityStore::Load() const {
  if (!PathExists(folder_)) return std::nullopt;
  NodeIdentity identity;
  ASSIGN_OR_RETURN(std::string json, ReadFile(File("node.json")));
  RETURN_IF_ERROR(Annotate(FromJson(json, identity), File("node.json")));
  ASSIGN_OR_RETURN(std::string pem, ReadFile(File("node.pem")));
  RETURN_IF_ERROR(Annotate(SplitNodePem(pem, identity), File("node.pem")));
  ASSIGN_OR_RETURN(identity.root_ca_pem, ReadFile(File("ca.pem")));
  ASSIGN_OR_RETURN(std::string managers, ReadFile(File("managers")));
  identity.managers = absl::StrSplit(managers, '\n', absl::SkipWhitespace());
  if (identity.managers.empty()) {
    return absl::DataLossError(StrCat(File("managers"), " is empty"));
  }
  ASSIGN_OR_RETURN(std::string fence, ReadFile(File("fence")));
  if (!absl::SimpleAtoi(fence, &identity.fence)) {
    return absl::DataLossError(StrCat(File("fence"), " is not a number"));
  }
  return identity;
}

absl::Status IdentityStore::Create(const NodeIdentity& identity) const {
  if (PathExists(folder_)) {
    return absl::AlreadyExistsError("this node is already part of a cluster");
  }
  const std::string made = folder_ + ".new";
  RETURN_IF_ERROR(RemoveTree(made));
  RETURN_IF_ERROR(MakeDirectories(made, 0700));
  const std::pair<const char*, std::string> files[] = {
      {"node.pem", WithNewline(identity.key_pem) + WithNewline(identity.certificate_pem)},
      {"ca.pem", WithNewline(identity.root_ca_pem)},
      {"node.json", ToJson(identity)},
      {"managers", ManagerLines(identity.managers)},
      {"fence", StrCat(identity.fence, "\n")},
  };
  for (const auto& [name, content] : files) {
    RETURN_IF_ERROR(WriteFileDurably(StrCat(made, "/", name), content, 0600));
  }
  RETURN_IF_ERROR(Rename(made, folder_));
  return SyncFolder(state_dir_);
}

absl::Status IdentityStore::StoreFence(uint64_t fence) const {
  return WriteFileDurably(File("fence"), StrCat(fence, "\n"), 0600);
}

absl::Status IdentityStore::StoreManagers(const std::vector<std::string>& managers) const {
  return WriteFileDurably(File("managers"), ManagerLines(managers), 0600);
}

absl::Status IdentityStore::StoreCertificate(const std::string& key_pem,
                                             const std::string& certificate_pem) const {
  return WriteFileDurably(File("node.pem"), WithNewline(key_pem) + WithNewline(certificate_pem),
                          0600);
}

absl::Status IdentityStore::Forget() const {
  const std::string gone = folder_ + ".old";
  RETURN_IF_ERROR(RemoveTree(gone));
  if (!PathExists(folder_)) return absl::OkStatus();
  RETURN_IF_ERROR(Rename(folder_, gone));
  RETURN_IF_ERROR(SyncFolder(state_dir_));
  return RemoveTree(gone);
}

absl::StatusOr<UniqueFd> LockStateDirectory(const std::string& state_dir) {
  // The manager's user passes through the folder above.
  const size_t slash = state_dir.rfind('/');
  if (slash != std::string::npos && slash > 0) {
    RETURN_IF_ERROR(MakeDirectories(state_dir.substr(0, slash), 0755));
  }
  RETURN_IF_ERROR(MakeDirectories(state_dir, 0700));
  if (::chmod(state_dir.c_str(), 0700) != 0) {
    return ErrnoStatus(errno, StrCat("make ", state_dir, " private"));
  }
  const std::string path = state_dir + "/lock";
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) return ErrnoStatus(errno, StrCat("open ", path));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(StrCat("another agent uses ", state_dir));
  }
  return fd;
}

}  // namespace swarm::agent
