#include "manager/dispatcher/description_check.h"

#include <string_view>

#include "common/ip_address.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::manager {
namespace {

// Far above any machine: what is larger would only overflow sums.
constexpr int64_t kMostNanoCpus = int64_t{1'000'000} * 1'000'000'000;
constexpr int64_t kMostMemoryBytes = int64_t{1} << 53;  // 8 PiB
constexpr int64_t kMostPids = int64_t{1} << 32;
constexpr size_t kMostHostname = 253;
constexpr size_t kMostText = 4096;
constexpr size_t kWireguardKeyBytes = 32;
// Above what an agent sends; each network's subnets are looked for beside the routes of all nodes.
constexpr int kMostRoutes = 500;
constexpr int kMostFeatures = 300;

absl::Status CheckAmount(std::string_view path, int64_t amount, int64_t most) {
  if (amount >= 0 && amount <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat(path, ": ", amount, " is not between 0 and ", most));
}

// C0, DEL and, in UTF-8, C1: what a terminal would obey.
bool HasControlCharacter(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x20 || c == 0x7f) return true;
    if (c == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0) {
      return true;
    }
  }
  return false;
}

absl::Status CheckText(std::string_view path, std::string_view text, size_t most = kMostText) {
  if (text.size() > most) {
    return absl::InvalidArgumentError(StrCat(path, ": is longer than ", most, " bytes"));
  }
  if (HasControlCharacter(text)) {
    return absl::InvalidArgumentError(StrCat(path, ": has control characters"));
  }
  return absl::OkStatus();
}

absl::Status CheckCount(std::string_view path, int count, int most) {
  if (count <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat(path, ": are ", count, ", more than ", most));
}

absl::Status CheckLists(const v1::NodeDescription& description) {
  RETURN_IF_ERROR(CheckCount("description.features", description.features_size(), kMostFeatures));
  for (const std::string& feature : description.features()) {
    RETURN_IF_ERROR(CheckText("description.features", feature));
  }
  RETURN_IF_ERROR(CheckCount("description.routes", description.routes_size(), kMostRoutes));
  for (const std::string& route : description.routes()) {
    RETURN_IF_ERROR(CheckText("description.routes", route));
    RETURN_IF_ERROR(Annotate(IpPrefix::Parse(route).status(), "description.routes"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckDescription(const v1::NodeDescription& description) {
  if (description.ByteSizeLong() > kMaxDescriptionBytes) {
    return absl::InvalidArgumentError("the node's description is above 1 MiB");
  }
  const v1::Resources& resources = description.resources();
  RETURN_IF_ERROR(
      CheckAmount("description.resources.nano_cpus", resources.nano_cpus(), kMostNanoCpus));
  RETURN_IF_ERROR(CheckAmount("description.resources.memory_bytes", resources.memory_bytes(),
                              kMostMemoryBytes));
  RETURN_IF_ERROR(CheckAmount("description.resources.pids", resources.pids(), kMostPids));
  RETURN_IF_ERROR(CheckText("description.hostname", description.hostname(), kMostHostname));
  RETURN_IF_ERROR(CheckText("description.engine_version", description.engine_version()));
  RETURN_IF_ERROR(CheckText("description.platform.os", description.platform().os()));
  RETURN_IF_ERROR(
      CheckText("description.platform.architecture", description.platform().architecture()));
  RETURN_IF_ERROR(CheckText("description.platform.variant", description.platform().variant()));
  for (const auto& [key, value] : description.engine_labels()) {
    RETURN_IF_ERROR(CheckText("description.engine_labels", key));
    RETURN_IF_ERROR(CheckText("description.engine_labels", value));
  }
  for (const v1::NodeImage& image : description.images()) {
    RETURN_IF_ERROR(CheckText("description.images.reference", image.reference()));
    RETURN_IF_ERROR(CheckText("description.images.digest", image.digest()));
  }
  RETURN_IF_ERROR(CheckLists(description));
  for (const v1::NodeVolume& volume : description.volumes()) {
    RETURN_IF_ERROR(CheckText("description.volumes.name", volume.name()));
    RETURN_IF_ERROR(CheckText("description.volumes.driver", volume.driver()));
    for (const auto* texts : {&volume.labels(), &volume.options()}) {
      for (const auto& [key, value] : *texts) {
        RETURN_IF_ERROR(CheckText("description.volumes", key));
        RETURN_IF_ERROR(CheckText("description.volumes", value));
      }
    }
  }
  const size_t key = description.wireguard_key().size();
  if (key != 0 && key != kWireguardKeyBytes) {
    return absl::InvalidArgumentError(
        StrCat("description.wireguard_key: has ", key, " bytes and not ", kWireguardKeyBytes));
  }
  return absl::OkStatus();
}

absl::Status CheckWireguardKey(const View& view, const Node& node,
                               const v1::NodeDescription& description) {
  const std::string& key = description.wireguard_key();
  if (key.empty() || key == node.description().wireguard_key()) return absl::OkStatus();
  std::string holder;
  view.EachNode([&](const Ref<Node>& other) {
    const bool same = other->id() != node.id() && other->description().wireguard_key() == key;
    if (same) holder = other->id();
    return !same;
  });
  if (holder.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat("description.wireguard_key: is that of node ", holder,
             "; remove wireguard.key in the agent's run folder and start it again"));
}

absl::Status CheckHello(const v1::Hello& hello) {
  RETURN_IF_ERROR(CheckText("boot_id", hello.boot_id()));
  RETURN_IF_ERROR(CheckText("instance", hello.instance()));
  RETURN_IF_ERROR(CheckText("addr", hello.addr(), kMostHostname));
  return CheckDescription(hello.description());
}

}  // namespace swarm::manager
