#include "cli/compose/volume_reader.h"

#include <optional>
#include <utility>

#include "cli/compose/external.h"
#include "cli/compose/mount_words.h"
#include "cli/compose/security_words.h"
#include "common/local_volume.h"
#include "common/stack_label.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/task_template.h"

namespace swarm::cli::compose {
namespace {

void ReadBindOptions(const Fields& bind, v1::Mount& mount) {
  if (bind.value() == nullptr) return;
  v1::Mount::BindOptions& to = *mount.mutable_bind();
  if (const auto propagation = bind.With("propagation", ParsePropagation)) {
    to.set_propagation(*propagation);
  }
  to.set_create_host_path(bind.Switch("create_host_path").value_or(false));
  const std::string recursive = bind.Text("recursive").value_or("enabled");
  if (recursive == "disabled") {
    to.set_non_recursive(true);
  } else if (recursive != "enabled" && recursive != "readonly") {
    bind.Refuse("recursive", StrCat("must be enabled, disabled or readonly, not ", recursive));
  }
}

void ReadVolumeOptions(const Fields& volume, v1::Mount& mount) {
  if (volume.value() == nullptr) return;
  v1::Mount::VolumeOptions& to = *mount.mutable_volume();
  to.set_no_copy(volume.Switch("nocopy").value_or(false));
  to.set_subpath(volume.Text("subpath").value_or(""));
  for (const auto& [name, value] : volume.Map("labels")) {
    (*to.mutable_labels())[name] = value.value_or("");
  }
}

void ReadTmpfsOptions(const Fields& tmpfs, v1::Mount& mount) {
  if (tmpfs.value() == nullptr) return;
  v1::Mount::TmpfsOptions& to = *mount.mutable_tmpfs();
  to.set_size_bytes(tmpfs.Bytes("size").value_or(0));
  // As people write it in YAML: 755 and 0755 are both octal.
  if (const auto mode = tmpfs.With("mode", ParseOctalMode)) to.set_mode(*mode);
}

absl::StatusOr<v1::Device> ReadDevice(const Fields& device) {
  if (device.value()->IsScalar()) return ParseDevice(device.value()->text);
  v1::Device out;
  out.set_host_path(device.Text("source").value_or(""));
  out.set_container_path(device.Text("target").value_or(""));
  out.set_permissions(device.Text("permissions").value_or(""));
  if (out.host_path().empty()) {
    return absl::InvalidArgumentError("needs source, such as {source: /dev/fuse}");
  }
  return out;
}

bool IsTemplate(const std::string& name) { return name.find("{{") != name.npos; }

absl::Status CheckName(const std::string& name) {
  return IsTemplate(name) ? CheckTemplate(name, TemplatePlace::kSpec) : CheckVolumeName(name);
}

// Of a volume whose name is a template each task has its own, so that the cluster cannot be told
// what it is: the mounts say it.
void DescribeInMounts(const v1::VolumeSpec& spec, Stack& stack) {
  for (StackService& service : stack.services) {
    if (!service.spec.task().has_container()) continue;
    for (v1::Mount& mount : *service.spec.mutable_task()->mutable_container()->mutable_mounts()) {
      if (mount.type() != v1::Mount::TYPE_VOLUME || mount.source() != spec.name()) continue;
      v1::Mount::VolumeOptions& options = *mount.mutable_volume();
      options.set_driver(spec.driver());
      *options.mutable_driver_options() = spec.options();
      options.mutable_labels()->insert(spec.labels().begin(), spec.labels().end());
    }
  }
}

}  // namespace

// ------------------------------------------------------------------------ what services mount

const Value* VolumeReader::Declared(std::string_view key) const {
  const Value* volumes = root_.Find("volumes");
  return volumes == nullptr ? nullptr : volumes->Find(key);
}

std::string VolumeReader::NameOf(const std::string& key) const {
  if (const Value* volume = Declared(key)) {
    if (const auto external = ExternalName(key, *volume)) return *external;
    const Value* name = volume->Find("name");
    if (name != nullptr && name->IsScalar() && !name->text.empty()) return name->text;
  }
  return StrCat(options_.name, "_", key);
}

std::string VolumeReader::FolderOf(const Value& value) const {
  for (const SourceFile& source : files_) {
    if (value.file != nullptr && source.name == *value.file) {
      return AbsolutePath(source.folder, options_.working_folder);
    }
  }
  return options_.working_folder;
}

// A path becomes absolute, a volume gets the name that it has in the cluster.
absl::Status VolumeReader::Settle(const Value& at, v1::Mount& mount) {
  if (mount.type() == v1::Mount::TYPE_BIND) {
    std::string path = mount.source();
    if (path == "~" || path.starts_with("~/")) {
      const std::optional<std::string> home = options_.env("HOME");
      if (!home) return absl::InvalidArgumentError("~ stands for HOME, which is not set");
      path = StrCat(*home, path.substr(1));
    }
    if (path.empty()) return absl::InvalidArgumentError("a bind needs source, a path on the node");
    mount.set_source(AbsolutePath(path, FolderOf(at)));
    return absl::OkStatus();
  }
  if (mount.type() != v1::Mount::TYPE_VOLUME || mount.source().empty()) return absl::OkStatus();
  const std::string key = mount.source();
  if (Declared(key) == nullptr) {
    return absl::InvalidArgumentError(StrCat("the volume ", key, " is not declared; declare it ",
                                             "under the file's own volumes:"));
  }
  mounted_.insert(key);
  mount.set_source(NameOf(key));
  return absl::OkStatus();
}

absl::StatusOr<v1::Mount> VolumeReader::ReadLong(const Fields& from) {
  v1::Mount mount;
  const std::string type = from.Text("type").value_or("volume");
  if (type == "volume") {
    mount.set_type(v1::Mount::TYPE_VOLUME);
  } else if (type == "bind") {
    mount.set_type(v1::Mount::TYPE_BIND);
  } else if (type == "tmpfs") {
    mount.set_type(v1::Mount::TYPE_TMPFS);
  } else {
    return absl::InvalidArgumentError(StrCat("its type must be volume, bind or tmpfs, not ", type));
  }
  mount.set_source(from.Text("source").value_or(""));
  mount.set_target(CleanTarget(from.Text("target").value_or("")));
  mount.set_read_only(from.Switch("read_only").value_or(false));
  if (mount.target().empty()) {
    return absl::InvalidArgumentError("needs target, a path in the container");
  }
  ReadBindOptions(from.Section("bind"), mount);
  ReadVolumeOptions(from.Section("volume"), mount);
  ReadTmpfsOptions(from.Section("tmpfs"), mount);
  return mount;
}

absl::StatusOr<v1::Mount> VolumeReader::ReadMount(const Fields& from, const std::string& path) {
  std::vector<std::string> ignored;
  ASSIGN_OR_RETURN(v1::Mount mount, from.value()->IsScalar()
                                        ? ParseShortVolume(from.value()->text, &ignored)
                                        : ReadLong(from));
  for (const std::string& word : ignored) {
    problems_.Warn(from.value()->Where(), path,
                   StrCat(word, " has no meaning in a swarm and is left out"));
  }
  RETURN_IF_ERROR(Settle(*from.value(), mount));
  return mount;
}

void VolumeReader::ReadMounts(const Fields& service, v1::ContainerSpec& container) {
  const auto add = [&](const Value& at, const std::string& path, absl::StatusOr<v1::Mount> mount) {
    if (mount.ok()) {
      *container.add_mounts() = *std::move(mount);
    } else {
      problems_.Invalid(at.Where(), path, ToStd(mount.status().message()));
    }
  };
  const std::vector<Fields> items = service.Items("volumes");
  for (size_t i = 0; i < items.size(); ++i) {
    const Value& value = *items[i].value();
    if (!value.IsScalar() && !value.IsMap()) continue;  // told with the keys
    const std::string path = StrCat(service.Path("volumes"), "[", i, "]");
    add(value, path, ReadMount(items[i], path));
  }
  for (const Value* text : service.Texts("tmpfs")) {
    add(*text, service.Path("tmpfs"), ParseTmpfs(text->text));
  }
}

// --------------------------------------------------------------------------- the file's volumes

void VolumeReader::CheckExternal(const Entry& entry) {
  const Fields volume(&entry.value, StrCat("volumes.", entry.key), problems_);
  for (const Entry& key : entry.value.entries) {
    if (key.key == "external" || key.key == "name" || key.key.starts_with("x-")) continue;
    volume.RefuseAt(key, "an external volume is as it is; leave this out, or external");
  }
}

v1::VolumeSpec VolumeReader::ReadVolume(const Entry& entry) {
  const Fields volume(&entry.value, StrCat("volumes.", entry.key), problems_);
  v1::VolumeSpec spec;
  spec.set_name(NameOf(entry.key));
  spec.set_driver(volume.Text("driver").value_or(std::string(kLocalDriver)));
  for (const auto& [name, option] : volume.Map("driver_opts")) {
    (*spec.mutable_options())[name] = option.value_or("");
  }
  for (const auto& [name, label] : volume.Map("labels")) {
    if (name == kNamespaceLabel) volume.Refuse("labels", StrCat(kNamespaceLabel, " is reserved"));
    (*spec.mutable_labels())[name] = label.value_or("");
  }
  (*spec.mutable_labels())[std::string(kNamespaceLabel)] = options_.name;
  if (const absl::Status named = CheckName(spec.name()); !named.ok()) {
    problems_.Invalid(entry.Where(), StrCat("volumes.", entry.key), ToStd(named.message()));
  }
  if (spec.driver() == kLocalDriver) {
    const absl::Status options =
        ParseLocalVolume({spec.options().begin(), spec.options().end()}).status();
    if (!options.ok()) volume.Refuse("driver_opts", ToStd(options.message()));
  }
  return spec;
}

void VolumeReader::Finish(Stack& stack) {
  const Value* volumes = root_.Find("volumes");
  if (volumes == nullptr || !volumes->IsMap()) return;
  for (const Entry& entry : volumes->entries) {
    if (entry.key.starts_with("x-") || (!entry.value.IsMap() && !entry.value.IsNull())) continue;
    const bool mounted = mounted_.contains(entry.key);
    if (const auto external = ExternalName(entry.key, entry.value)) {
      CheckExternal(entry);
      if (mounted && !IsTemplate(*external)) {
        stack.external_volumes.push_back({entry.key, entry.Where(), *external});
      }
      continue;
    }
    v1::VolumeSpec spec = ReadVolume(entry);
    for (const StackVolume& other : stack.volumes) {
      if (!mounted || other.spec.name() != spec.name()) continue;
      problems_.Invalid(entry.Where(), StrCat("volumes.", entry.key),
                        StrCat("has the name ", spec.name(), ", as volumes.", other.name,
                               "; leave one of them out"));
    }
    if (IsTemplate(spec.name())) {
      DescribeInMounts(spec, stack);
    } else if (mounted) {
      stack.volumes.push_back({entry.key, entry.Where(), std::move(spec)});
    }
  }
}

// --------------------------------------------------------------------------- devices and rights

void ReadRights(
    const Fields& service,
    const std::function<absl::StatusOr<std::string>(const Value&, const std::string&)>& read_file,
    Problems& problems, v1::ContainerSpec& container) {
  const std::vector<Fields> devices = service.Items("devices");
  for (size_t i = 0; i < devices.size(); ++i) {
    const Value& value = *devices[i].value();
    if (!value.IsScalar() && !value.IsMap()) continue;  // told with the keys
    const absl::StatusOr<v1::Device> device = ReadDevice(devices[i]);
    if (device.ok()) {
      *container.add_devices() = *device;
    } else {
      problems.Invalid(value.Where(), StrCat(service.Path("devices"), "[", i, "]"),
                       ToStd(device.status().message()));
    }
  }
  container.set_privileged(service.Switch("privileged").value_or(false));
  for (const Value* text : service.Texts("security_opt")) {
    absl::StatusOr<std::string> option = ReadSecurityOption(
        text->text, [&](const std::string& path) { return read_file(*text, path); });
    if (option.ok()) {
      container.add_security_opt(*std::move(option));
    } else {
      service.RefuseAt("security_opt", *text, ToStd(option.status().message()));
    }
  }
  container.set_shm_size_bytes(service.Bytes("shm_size").value_or(0));
}

}  // namespace swarm::cli::compose
