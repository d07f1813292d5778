#include "cli/output/file_objects.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_join.h"
#include "cli/output/json.h"
#include "cli/output/page.h"
#include "cli/output/words.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

std::string LabelWords(const google::protobuf::Map<std::string, std::string>& labels) {
  const std::map<std::string, std::string> sorted(labels.begin(), labels.end());
  return absl::StrJoin(sorted, ",", absl::PairFormatter("="));
}

template <typename T>
void SortByName(std::vector<T>& objects) {
  std::sort(objects.begin(), objects.end(), [](const T& a, const T& b) {
    return std::pair(a.spec().name(), a.id()) < std::pair(b.spec().name(), b.id());
  });
}

template <typename T>
Json CommonJson(const T& object) {
  Json json = Head(object.id(), object.meta());
  json["Spec"]["Name"] = object.spec().name();
  json["Spec"]["Labels"] = Sorted(object.spec().labels());
  if (!object.spec().template_driver().empty()) {
    json["Spec"]["Templating"]["Name"] = object.spec().template_driver();
  }
  return json;
}

template <typename T>
void CommonPage(const T& object, Page& page) {
  page.Line("ID", object.id());
  page.Line("Name", object.spec().name());
  page.Map("Labels", object.spec().labels());
  if (!object.spec().template_driver().empty()) {
    page.Line("Template Driver", object.spec().template_driver());
  }
  page.Line("Created at", Rfc3339(object.meta().created_at()));
  page.Line("Updated at", Rfc3339(object.meta().updated_at()));
}

}  // namespace

Listing SecretListing(std::vector<v1::Secret> secrets, absl::Time now) {
  Listing listing({{"ID"},
                   {"Name"},
                   {"Driver"},
                   {"CreatedAt", "CREATED"},
                   {"UpdatedAt", "UPDATED"},
                   {"Labels", "", false}});
  SortByName(secrets);
  for (const v1::Secret& secret : secrets) {
    listing.Add({secret.id(), secret.spec().name(), "",
                 Ago(now, ToTime(secret.meta().created_at())),
                 Ago(now, ToTime(secret.meta().updated_at())), LabelWords(secret.spec().labels())});
  }
  return listing;
}

Listing ConfigListing(std::vector<v1::Config> configs, absl::Time now) {
  Listing listing({{"ID"},
                   {"Name"},
                   {"CreatedAt", "CREATED"},
                   {"UpdatedAt", "UPDATED"},
                   {"Labels", "", false}});
  SortByName(configs);
  for (const v1::Config& config : configs) {
    listing.Add({config.id(), config.spec().name(), Ago(now, ToTime(config.meta().created_at())),
                 Ago(now, ToTime(config.meta().updated_at())), LabelWords(config.spec().labels())});
  }
  return listing;
}

JsonObject SecretObject(const v1::Secret& secret) { return Object(CommonJson(secret)); }

JsonObject ConfigObject(const v1::Config& config) {
  Json json = CommonJson(config);
  json["Spec"]["Data"] = absl::Base64Escape(config.spec().data());
  return Object(std::move(json));
}

std::string PrettySecret(const v1::Secret& secret) {
  Page page;
  CommonPage(secret, page);
  return page.Take();
}

std::string PrettyConfig(const v1::Config& config) {
  Page page;
  CommonPage(config, page);
  const std::string& data = config.spec().data();
  return StrCat(page.Take(), "Data:\n", data, data.empty() || data.back() != '\n' ? "\n" : "");
}

}  // namespace swarm::cli
