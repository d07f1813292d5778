#include "agent/generic_resource.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"

namespace swarm::agent {
namespace {

constexpr size_t kMaxName = 128;
constexpr int kMaxIds = 1000;
constexpr int64_t kMaxCount = 1'000'000'000;

absl::Status Bad(const std::string& flag, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", flag, "\": ", why, "; write gpu=4 or gpu=GPU-1,GPU-2"));
}

// It becomes part of an environment variable's name, or of its value.
bool IsName(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxName &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' ||
                  c == '.' || c == ':' || c == '/';
         });
}

absl::Status AddCount(const std::string& flag, int64_t count, v1::GenericResource* resource) {
  if (resource->count() > 0) return Bad(flag, "this kind is said twice");
  if (count < 1 || count > kMaxCount) return Bad(flag, "the number is not from 1 to 1000000000");
  resource->set_count(count);
  return absl::OkStatus();
}

absl::Status AddIds(const std::string& flag, absl::string_view value,
                    v1::GenericResource* resource) {
  if (resource->count() > 0 && resource->ids().empty()) {
    return Bad(flag, "this kind has a number already");
  }
  for (const absl::string_view id : absl::StrSplit(value, ',')) {
    if (!IsName(id))
      return Bad(flag, absl::StrCat("\"", id, "\" is not an id of letters and digits"));
    if (std::find(resource->ids().begin(), resource->ids().end(), id) != resource->ids().end()) {
      return Bad(flag, absl::StrCat("\"", id, "\" is there twice"));
    }
    if (resource->ids_size() == kMaxIds) return Bad(flag, "a kind has at most 1000 ids");
    resource->add_ids(std::string(id));
  }
  resource->set_count(resource->ids_size());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<v1::GenericResource>> ParseGenericResources(
    const std::vector<std::string>& flags) {
  std::map<std::string, v1::GenericResource> kinds;
  for (const std::string& flag : flags) {
    const size_t equals = flag.find('=');
    if (equals == std::string::npos) return Bad(flag, "is not KIND=NUMBER or KIND=ID,ID");
    const std::string kind = flag.substr(0, equals);
    const std::string value = flag.substr(equals + 1);
    if (!IsName(kind) || kind.find_first_of(":/") != std::string::npos) {
      return Bad(flag, "the kind is not of letters, digits, '-', '_' and '.'");
    }
    v1::GenericResource& resource = kinds[kind];
    resource.set_kind(kind);
    if (value.size() > 18 && value.find_first_not_of("0123456789") == std::string::npos) {
      return Bad(flag, "the number is not from 1 to 1000000000");
    }
    int64_t count = 0;
    RETURN_IF_ERROR(absl::SimpleAtoi(value, &count) ? AddCount(flag, count, &resource)
                                                    : AddIds(flag, value, &resource));
  }
  std::vector<v1::GenericResource> out;
  for (auto& [kind, resource] : kinds) out.push_back(std::move(resource));
  return out;
}

}  // namespace swarm::agent
