#include "cli/output/volumes.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_join.h"
#include "cli/output/json.h"
#include "cli/output/page.h"
#include "cli/output/words.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

std::string NameOf(const std::string& node_id, const NodeNames& nodes) {
  const auto found = nodes.find(node_id);
  return found == nodes.end() ? node_id : found->second;
}

std::vector<std::string> NamesOf(const v1::Volume& volume, const NodeNames& nodes) {
  std::vector<std::string> names;
  for (const v1::Volume::OnNode& place : volume.nodes()) {
    names.push_back(NameOf(place.node_id(), nodes));
  }
  std::sort(names.begin(), names.end());
  return names;
}

size_t CountTasks(const v1::Volume& volume) {
  size_t count = 0;
  for (const v1::Volume::OnNode& place : volume.nodes()) count += place.task_ids().size();
  return count;
}

}  // namespace

std::string VolumeDriverWord(const v1::Volume& volume) {
  return volume.spec().driver().empty() ? "local" : volume.spec().driver();
}

bool IsUsed(const v1::Volume& volume) { return CountTasks(volume) > 0; }

Listing VolumeListing(const std::vector<v1::Volume>& volumes, const NodeNames& nodes) {
  Listing listing({{"Driver"},
                   {"Name", "VOLUME NAME"},
                   {"Nodes"},
                   {"Tasks"},
                   {"CreatedAt", "", false},
                   {"Scope", "", false},
                   {"Labels", "", false}});
  for (const v1::Volume& volume : volumes) {
    const auto& labels = volume.spec().labels();
    listing.Add({VolumeDriverWord(volume), volume.spec().name(),
                 absl::StrJoin(NamesOf(volume, nodes), ","), StrCat(CountTasks(volume)),
                 Rfc3339(volume.meta().created_at()), "local",
                 absl::StrJoin(std::map<std::string, std::string>(labels.begin(), labels.end()),
                               ",", absl::PairFormatter("="))});
  }
  return listing;
}

JsonObject VolumeObject(const v1::Volume& volume, const NodeNames& nodes) {
  Json json;
  json["CreatedAt"] = Rfc3339(volume.meta().created_at());
  json["Driver"] = VolumeDriverWord(volume);
  json["Labels"] = Sorted(volume.spec().labels());
  json["Name"] = volume.spec().name();
  json["Options"] = Sorted(volume.spec().options());
  json["Scope"] = "local";
  PutText(json, "ID", volume.id());
  json["Nodes"] = Json::array();
  for (const v1::Volume::OnNode& place : volume.nodes()) {
    Json one;
    one["ID"] = place.node_id();
    one["Hostname"] = NameOf(place.node_id(), nodes);
    one["CreatedAt"] = Rfc3339(place.created_at());
    one["Tasks"] = Json::array();
    for (const std::string& task : place.task_ids()) one["Tasks"].push_back(task);
    json["Nodes"].push_back(std::move(one));
  }
  return Object(std::move(json));
}

std::string PrettyVolume(const v1::Volume& volume, const NodeNames& nodes) {
  Page page;
  page.Line("Name", volume.spec().name());
  page.Line("Driver", VolumeDriverWord(volume));
  page.Map("Options", volume.spec().options());
  page.Map("Labels", volume.spec().labels());
  page.Line("Nodes", volume.nodes().empty() ? "none yet" : "");
  for (const v1::Volume::OnNode& place : volume.nodes()) {
    page.Line(NameOf(place.node_id(), nodes),
              place.task_ids().empty() ? "not in use"
                                       : StrCat("in use by ", place.task_ids().size(),
                                                place.task_ids().size() == 1 ? " task" : " tasks"),
              1);
  }
  return page.Take();
}

}  // namespace swarm::cli
