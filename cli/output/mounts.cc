#include "cli/output/mounts.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/strip.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

std::string TypeWord(const v1::Mount& mount) {
  switch (mount.type()) {
    case v1::Mount::TYPE_BIND:
      return "bind";
    case v1::Mount::TYPE_TMPFS:
      return "tmpfs";
    default:
      return "volume";
  }
}

Json BindJson(const v1::Mount::BindOptions& bind) {
  Json json = Json::object();
  if (bind.propagation() != v1::Mount::PROPAGATION_UNSPECIFIED) {
    const std::string name = v1::Mount::Propagation_Name(bind.propagation());
    json["Propagation"] = absl::AsciiStrToLower(absl::StripPrefix(name, "PROPAGATION_"));
  }
  if (bind.non_recursive()) json["NonRecursive"] = true;
  if (bind.create_host_path()) json["CreateMountpoint"] = true;
  return json;
}

Json VolumeJson(const v1::Mount::VolumeOptions& volume) {
  Json json = Json::object();
  if (volume.no_copy()) json["NoCopy"] = true;
  if (!volume.labels().empty()) json["Labels"] = Sorted(volume.labels());
  PutText(json, "Subpath", volume.subpath());
  if (!volume.driver().empty() || !volume.driver_options().empty()) {
    Json driver = Json::object();
    PutText(driver, "Name", volume.driver());
    if (!volume.driver_options().empty()) driver["Options"] = Sorted(volume.driver_options());
    json["DriverConfig"] = std::move(driver);
  }
  return json;
}

Json TmpfsJson(const v1::Mount::TmpfsOptions& tmpfs) {
  Json json = Json::object();
  if (tmpfs.size_bytes() > 0) json["SizeBytes"] = tmpfs.size_bytes();
  if (tmpfs.has_mode()) json["Mode"] = tmpfs.mode();
  PutTexts(json, "Options", tmpfs.options());
  return json;
}

Json MountJson(const v1::Mount& mount) {
  Json json;
  json["Type"] = TypeWord(mount);
  PutText(json, "Source", mount.source());
  json["Target"] = mount.target();
  if (mount.read_only()) json["ReadOnly"] = true;
  if (mount.has_bind()) json["BindOptions"] = BindJson(mount.bind());
  if (mount.has_volume()) json["VolumeOptions"] = VolumeJson(mount.volume());
  if (mount.has_tmpfs()) json["TmpfsOptions"] = TmpfsJson(mount.tmpfs());
  return json;
}

std::string PathInside(const v1::Device& device) {
  return device.container_path().empty() ? device.host_path() : device.container_path();
}

std::string AccessOf(const v1::Device& device) {
  return device.permissions().empty() ? "rwm" : device.permissions();
}

}  // namespace

void PutMountsAndRights(const v1::ContainerSpec& spec, Json& json) {
  for (const v1::Mount& mount : spec.mounts()) json["Mounts"].push_back(MountJson(mount));
  for (const v1::Device& device : spec.devices()) {
    json["Devices"].push_back({{"PathOnHost", device.host_path()},
                               {"PathInContainer", PathInside(device)},
                               {"CgroupPermissions", AccessOf(device)}});
  }
  if (spec.privileged()) json["Privileged"] = true;
  PutTexts(json, "SecurityOpt", spec.security_opt());
  if (spec.shm_size_bytes() > 0) json["ShmSize"] = spec.shm_size_bytes();
  if (spec.host_pid()) json["PidMode"] = "host";
  if (spec.host_ipc()) json["IpcMode"] = "host";
  if (spec.host_uts()) json["UTSMode"] = "host";
}

std::string MountWords(const v1::Mount& mount) {
  const std::string source = mount.source().empty() ? "" : StrCat(" ", mount.source());
  const std::string& part = mount.volume().subpath();
  return StrCat(TypeWord(mount), source, part.empty() ? "" : StrCat(" (", part, ")"), " at ",
                mount.target(), mount.read_only() ? ", read-only" : "");
}

std::string DeviceWords(const v1::Device& device) {
  const std::string inside = PathInside(device);
  return StrCat(device.host_path(), inside == device.host_path() ? "" : StrCat(" as ", inside),
                " (", AccessOf(device), ")");
}

}  // namespace swarm::cli
