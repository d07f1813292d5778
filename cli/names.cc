#include "cli/names.h"

#include <set>

#include "absl/strings/ascii.h"
#include "cli/output/networks.h"
#include "cli/output/views.h"
#include "cli/output/words.h"
#include "common/stack_label.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

using Names = std::vector<Candidate>;

// Page after page, until there are enough.
template <typename Request, typename List, typename Take>
void EachPage(Request request, const List& list, const Names& names, const Take& take) {
  while (names.size() < kMostNames) {
    const auto page = list(request);
    if (!page.ok()) return;
    take(*page);
    request.set_page_token(page->next_page_token());
    if (request.page_token().empty()) return;
  }
}

void Services(ManagerClient& manager, Names& names) {
  EachPage(
      v1::ListServicesRequest(), [&](const auto& r) { return manager.ListServices(r); }, names,
      [&](const v1::ListServicesResponse& page) {
        for (const v1::Service& service : page.services()) {
          names.push_back({service.spec().name(),
                           StrCat(ModeWord(service.spec()), " ", service.status().running_tasks(),
                                  "/", service.status().desired_tasks())});
        }
      });
}

void Stacks(ManagerClient& manager, Names& names) {
  std::set<std::string> seen;
  EachPage(
      v1::ListServicesRequest(), [&](const auto& r) { return manager.ListServices(r); }, names,
      [&](const v1::ListServicesResponse& page) {
        for (const v1::Service& service : page.services()) {
          const auto& labels = service.spec().labels();
          const auto label = labels.find(kNamespaceLabel);
          if (label != labels.end() && seen.insert(label->second).second) {
            names.push_back({label->second, ""});
          }
        }
      });
}

void Nodes(ManagerClient& manager, Names& names) {
  EachPage(
      v1::ListNodesRequest(), [&](const auto& r) { return manager.ListNodes(r); }, names,
      [&](const v1::ListNodesResponse& page) {
        for (const v1::Node& node : page.nodes()) {
          names.push_back({node.description().hostname(),
                           StrCat(NodeStateWord(node.status().state()), ", ",
                                  AvailabilityWord(node.spec().availability()))});
        }
      });
}

void Networks(ManagerClient& manager, Names& names) {
  EachPage(
      v1::ListNetworksRequest(), [&](const auto& r) { return manager.ListNetworks(r); }, names,
      [&](const v1::ListNetworksResponse& page) {
        for (const v1::Network& network : page.networks()) {
          names.push_back({network.spec().name(), DriverWord(network)});
        }
      });
}

void Tasks(ManagerClient& manager, Names& names) {
  v1::ListTasksRequest running;
  running.set_desired_running_only(true);
  EachPage(
      running, [&](const auto& r) { return manager.ListTasks(r); }, names,
      [&](const v1::ListTasksResponse& page) {
        for (const v1::Task& task : page.tasks()) {
          names.push_back({TaskName(task), StateKey(task.status().state())});
        }
      });
}

void Secrets(ManagerClient& manager, Names& names) {
  EachPage(
      v1::ListSecretsRequest(), [&](const auto& r) { return manager.ListSecrets(r); }, names,
      [&](const v1::ListSecretsResponse& page) {
        for (const v1::Secret& secret : page.secrets()) names.push_back({secret.spec().name(), ""});
      });
}

void Configs(ManagerClient& manager, Names& names) {
  EachPage(
      v1::ListConfigsRequest(), [&](const auto& r) { return manager.ListConfigs(r); }, names,
      [&](const v1::ListConfigsResponse& page) {
        for (const v1::Config& config : page.configs()) names.push_back({config.spec().name(), ""});
      });
}

void Volumes(ManagerClient& manager, Names& names) {
  EachPage(
      v1::ListVolumesRequest(), [&](const auto& r) { return manager.ListVolumes(r); }, names,
      [&](const v1::ListVolumesResponse& page) {
        for (const v1::Volume& volume : page.volumes()) {
          names.push_back({volume.spec().name(), StrCat("on ", volume.nodes_size(), " nodes")});
        }
      });
}

struct Source {
  std::string_view word;
  void (*list)(ManagerClient& manager, Names& names);
};
constexpr Source kSources[] = {
    {"SERVICE", Services}, {"STACK", Stacks},   {"NODE", Nodes},     {"NETWORK", Networks},
    {"TASK", Tasks},       {"SECRET", Secrets}, {"CONFIG", Configs}, {"VOLUME", Volumes},
};

// Of this node alone.
void Images(NodeClient& node, Names& names) {
  const auto answer = node.ListImages({});
  if (!answer.ok()) return;
  for (const v1::Image& image : answer->images()) {
    for (const std::string& reference : image.references()) {
      names.push_back({FamiliarName(reference), ""});
    }
  }
}

}  // namespace

bool KnowsNamesOf(std::string_view word) {
  if (word == "IMAGE") return true;
  for (const Source& source : kSources) {
    if (source.word == word) return true;
  }
  return false;
}

std::vector<Candidate> NamesOf(std::string_view word, Invocation& in) {
  Names names;
  if (word == "IMAGE") {
    if (const auto node = in.Node(); node.ok()) Images(**node, names);
    return names;
  }
  for (const Source& source : kSources) {
    if (source.word != word) continue;
    if (const auto manager = in.Manager(kNoPatience); manager.ok()) source.list(**manager, names);
  }
  return names;
}

}  // namespace swarm::cli
