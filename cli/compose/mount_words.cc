#include "cli/compose/mount_words.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/quantity.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli::compose {
namespace {

using Propagation = v1::Mount::Propagation;

constexpr std::pair<std::string_view, Propagation> kPropagations[] = {
    {"rprivate", v1::Mount::PROPAGATION_RPRIVATE}, {"private", v1::Mount::PROPAGATION_PRIVATE},
    {"rshared", v1::Mount::PROPAGATION_RSHARED},   {"shared", v1::Mount::PROPAGATION_SHARED},
    {"rslave", v1::Mount::PROPAGATION_RSLAVE},     {"slave", v1::Mount::PROPAGATION_SLAVE}};

absl::Status Bad(std::string_view why) { return absl::InvalidArgumentError(ToAbsl(why)); }

// Fields of a line of CSV, as Go reads them.
absl::StatusOr<std::vector<std::string>> SplitFields(std::string_view text) {
  std::vector<std::string> fields(1);
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ',') {
      fields.emplace_back();
    } else if (text[i] == '"' && fields.back().empty()) {
      size_t end = i + 1;
      for (; end < text.size(); ++end) {
        if (text[end] != '"') {
          fields.back() += text[end];
        } else if (end + 1 < text.size() && text[end + 1] == '"') {
          fields.back() += text[end++];
        } else {
          break;
        }
      }
      if (end == text.size()) return Bad("a double quote is not closed");
      i = end;
      if (i + 1 < text.size() && text[i + 1] != ',') return Bad("a quoted field goes on");
    } else {
      fields.back() += text[i];
    }
  }
  return fields;
}

absl::StatusOr<bool> ParseSwitch(std::string_view key, bool has_value, std::string_view value) {
  if (!has_value || value == "true" || value == "1") return true;
  if (value == "false" || value == "0") return false;
  return Bad(StrCat(key, " is true or false, not ", value));
}

absl::Status PutPair(std::string_view key, std::string_view value,
                     google::protobuf::Map<std::string, std::string>& to) {
  const size_t equals = value.find('=');
  if (equals == 0 || value.empty()) return Bad(StrCat(key, " must be ", key, "=KEY=VALUE"));
  to[std::string(value.substr(0, equals))] =
      equals == value.npos ? "" : std::string(value.substr(equals + 1));
  return absl::OkStatus();
}

// One "key=value" of --mount.
class MountWriter {
 public:
  absl::Status Put(std::string_view field) {
    const size_t equals = field.find('=');
    const bool has_value = equals != field.npos;
    const std::string_view key = field.substr(0, equals);
    const std::string_view value = has_value ? field.substr(equals + 1) : std::string_view();
    if (key == "readonly" || key == "ro") {
      ASSIGN_OR_RETURN(const bool on, ParseSwitch(key, has_value, value));
      mount_.set_read_only(on);
      return absl::OkStatus();
    }
    if (key == "bind-nonrecursive") {
      ASSIGN_OR_RETURN(const bool on, ParseSwitch(key, has_value, value));
      mount_.mutable_bind()->set_non_recursive(on);
      return absl::OkStatus();
    }
    if (key == "bind-create-host-path") {
      ASSIGN_OR_RETURN(const bool on, ParseSwitch(key, has_value, value));
      mount_.mutable_bind()->set_create_host_path(on);
      return absl::OkStatus();
    }
    if (key == "volume-nocopy") {
      ASSIGN_OR_RETURN(const bool on, ParseSwitch(key, has_value, value));
      mount_.mutable_volume()->set_no_copy(on);
      return absl::OkStatus();
    }
    if (!has_value) return Bad(StrCat("\"", field, "\" must be KEY=VALUE"));
    return PutText(key, value);
  }
  v1::Mount Take() { return std::move(mount_); }

 private:
  absl::Status PutType(std::string_view value) {
    if (value == "volume") {
      mount_.set_type(v1::Mount::TYPE_VOLUME);
    } else if (value == "bind") {
      mount_.set_type(v1::Mount::TYPE_BIND);
    } else if (value == "tmpfs") {
      mount_.set_type(v1::Mount::TYPE_TMPFS);
    } else {
      return Bad(StrCat("type must be volume, bind or tmpfs, not ", value));
    }
    return absl::OkStatus();
  }

  absl::Status PutRecursive(std::string_view value) {
    if (value == "enabled" || value == "readonly") return absl::OkStatus();
    if (value != "disabled") {
      return Bad(StrCat("bind-recursive must be enabled, disabled or readonly, not ", value));
    }
    mount_.mutable_bind()->set_non_recursive(true);
    return absl::OkStatus();
  }

  absl::Status PutText(std::string_view key, std::string_view value) {
    const std::string text(value);
    if (key == "type") return PutType(value);
    if (key == "bind-recursive") return PutRecursive(value);
    if (key == "source" || key == "src") return mount_.set_source(text), absl::OkStatus();
    if (key == "target" || key == "destination" || key == "dst") {
      return mount_.set_target(CleanTarget(value)), absl::OkStatus();
    }
    if (key == "consistency") return absl::OkStatus();  // of Docker Desktop
    if (key == "bind-propagation") {
      ASSIGN_OR_RETURN(const Propagation propagation, ParsePropagation(value));
      return mount_.mutable_bind()->set_propagation(propagation), absl::OkStatus();
    }
    v1::Mount::VolumeOptions& volume = *mount_.mutable_volume();
    if (key == "volume-driver") return volume.set_driver(text), absl::OkStatus();
    if (key == "volume-subpath") return volume.set_subpath(text), absl::OkStatus();
    if (key == "volume-label") return PutPair(key, value, *volume.mutable_labels());
    if (key == "volume-opt") return PutPair(key, value, *volume.mutable_driver_options());
    if (volume.ByteSizeLong() == 0) mount_.clear_volume();
    if (key == "tmpfs-size") {
      ASSIGN_OR_RETURN(const int64_t bytes, ParseBytes(value));
      return mount_.mutable_tmpfs()->set_size_bytes(bytes), absl::OkStatus();
    }
    if (key == "tmpfs-mode") {
      ASSIGN_OR_RETURN(const uint32_t mode, ParseOctalMode(value));
      return mount_.mutable_tmpfs()->set_mode(mode), absl::OkStatus();
    }
    return Bad(StrCat("\"", key,
                      "\" is unknown; there are type, source, target, readonly, bind-…, ",
                      "volume-… and tmpfs-…"));
  }

  v1::Mount mount_;
};

absl::Status PutShortMode(std::string_view word, v1::Mount& mount,
                          std::vector<std::string>* ignored) {
  constexpr std::string_view kIgnored[] = {"z", "Z", "cached", "delegated", "consistent"};
  if (word == "rw") return absl::OkStatus();
  if (word == "ro") return mount.set_read_only(true), absl::OkStatus();
  if (std::find(std::begin(kIgnored), std::end(kIgnored), word) != std::end(kIgnored)) {
    ignored->emplace_back(word);
    return absl::OkStatus();
  }
  const bool is_bind = mount.type() == v1::Mount::TYPE_BIND;
  if (word == "nocopy" && !is_bind)
    return mount.mutable_volume()->set_no_copy(true), absl::OkStatus();
  const auto propagation = ParsePropagation(word);
  if (propagation.ok() && is_bind) {
    return mount.mutable_bind()->set_propagation(*propagation), absl::OkStatus();
  }
  return Bad(StrCat("\"", word, "\" is unknown; there are ro, rw, nocopy of volumes, and of paths ",
                    "rprivate, rshared, rslave and the like"));
}

}  // namespace

absl::StatusOr<Propagation> ParsePropagation(std::string_view word) {
  for (const auto& [name, propagation] : kPropagations) {
    if (name == word) return propagation;
  }
  return Bad(StrCat("must be rprivate, private, rshared, shared, rslave or slave, not ", word));
}

absl::StatusOr<uint32_t> ParseOctalMode(std::string_view text) {
  uint32_t mode = 0;
  if (text.empty() || text.size() > 5) return Bad(StrCat("\"", text, "\" is not an octal mode"));
  for (const char c : text) {
    if (c < '0' || c > '7') return Bad(StrCat("\"", text, "\" is not an octal mode"));
    mode = mode * 8 + static_cast<uint32_t>(c - '0');
  }
  if (mode > 07777) return Bad(StrCat("\"", text, "\" is above 7777"));
  return mode;
}

absl::StatusOr<v1::Mount> ParseMount(std::string_view text) {
  ASSIGN_OR_RETURN(const std::vector<std::string> fields, SplitFields(text));
  MountWriter writer;
  for (const std::string& field : fields) RETURN_IF_ERROR(writer.Put(field));
  v1::Mount mount = writer.Take();
  if (mount.type() == v1::Mount::TYPE_UNSPECIFIED) mount.set_type(v1::Mount::TYPE_VOLUME);
  if (mount.target().empty()) return Bad("target is missing");
  return mount;
}

absl::StatusOr<v1::Mount> ParseShortVolume(std::string_view text,
                                           std::vector<std::string>* ignored) {
  const std::vector<std::string> parts = absl::StrSplit(ToAbsl(text), ':');
  v1::Mount mount;
  mount.set_type(v1::Mount::TYPE_VOLUME);
  if (parts.size() > 3 || parts[0].empty()) return Bad("must be [SOURCE:]TARGET[:MODE]");
  if (parts.size() == 1) {
    mount.set_target(CleanTarget(parts[0]));
  } else {
    if (parts[0].find_first_of("/.~") == 0) mount.set_type(v1::Mount::TYPE_BIND);
    mount.set_source(parts[0]);
    mount.set_target(CleanTarget(parts[1]));
  }
  if (mount.target().empty() || mount.target()[0] != '/') {
    return Bad(StrCat("the target \"", mount.target(), "\" is not an absolute path"));
  }
  if (parts.size() < 3) return mount;
  for (const absl::string_view word : absl::StrSplit(parts[2], ',')) {
    RETURN_IF_ERROR(PutShortMode(ToStd(word), mount, ignored));
  }
  return mount;
}

absl::StatusOr<v1::Mount> ParseTmpfs(std::string_view text) {
  const size_t colon = text.find(':');
  v1::Mount mount;
  mount.set_type(v1::Mount::TYPE_TMPFS);
  mount.set_target(CleanTarget(text.substr(0, colon)));
  if (mount.target().empty() || mount.target()[0] != '/') {
    return Bad(StrCat("\"", mount.target(), "\" is not an absolute path"));
  }
  if (colon == text.npos) return mount;
  const std::vector<std::string> words =
      absl::StrSplit(ToAbsl(text.substr(colon + 1)), ',', absl::SkipEmpty());
  for (const std::string& word : words) {
    const size_t equals = word.find('=');
    const std::string key = word.substr(0, equals);
    const std::string value = equals == word.npos ? "" : word.substr(equals + 1);
    if (key == "size") {
      ASSIGN_OR_RETURN(const int64_t bytes, ParseBytes(value));
      mount.mutable_tmpfs()->set_size_bytes(bytes);
    } else if (key == "mode") {
      ASSIGN_OR_RETURN(const uint32_t mode, ParseOctalMode(value));
      mount.mutable_tmpfs()->set_mode(mode);
    } else if (word == "ro") {
      mount.set_read_only(true);
    } else if (word != "rw") {
      mount.mutable_tmpfs()->add_options(word);
    }
  }
  return mount;
}

absl::StatusOr<v1::Device> ParseDevice(std::string_view text) {
  const std::vector<std::string> parts = absl::StrSplit(ToAbsl(text), ':');
  v1::Device device;
  if (parts.size() > 3 || parts[0].empty() || parts[0][0] != '/') {
    return Bad("must be PATH[:PATH[:PERMISSIONS]], such as /dev/fuse:/dev/fuse:rw");
  }
  const auto is_access = [](const std::string& word) {
    return !word.empty() && word.find_first_not_of("rwm") == word.npos;
  };
  device.set_host_path(CleanTarget(parts[0]));
  // "/dev/fuse:rw" as Docker reads it.
  const bool short_form = parts.size() == 2 && is_access(parts[1]);
  if (parts.size() > 1 && !short_form) device.set_container_path(CleanTarget(parts[1]));
  if (short_form) device.set_permissions(parts[1]);
  if (parts.size() == 3) {
    if (!is_access(parts[2])) return Bad(StrCat("permissions are of r, w and m, not ", parts[2]));
    device.set_permissions(parts[2]);
  }
  return device;
}

std::string AbsolutePath(std::string_view path, std::string_view folder) {
  std::string whole(path);
  if (path.empty() || path[0] != '/') whole = StrCat(folder, "/", path);
  std::vector<std::string> out;
  for (const absl::string_view part : absl::StrSplit(whole, '/', absl::SkipEmpty())) {
    if (part == ".") continue;
    if (part != "..") {
      out.emplace_back(part);
    } else if (!out.empty()) {
      out.pop_back();
    }
  }
  return StrCat("/", absl::StrJoin(out, "/"));
}

std::string CleanTarget(std::string_view target) {
  while (target.size() > 1 && target.back() == '/') target.remove_suffix(1);
  return std::string(target);
}

}  // namespace swarm::cli::compose
