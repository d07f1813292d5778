#include "cli/output/views.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include "absl/strings/str_join.h"
#include "cli/output/networks.h"
#include "cli/output/words.h"
#include "common/quantity.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

constexpr size_t kErrorWidth = 60;  // what a table shows of an error without --no-trunc

std::string Shortened(const std::string& text, bool whole) {
  if (whole || text.size() <= kErrorWidth) return text;
  size_t end = kErrorWidth - 1;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end) + "…";
}

// "localhost/hello:1" is {"localhost/hello", "1"}.
std::pair<std::string, std::string> RepositoryAndTag(const std::string& reference) {
  const size_t digest = reference.find('@');
  const std::string name = reference.substr(0, digest);
  const size_t colon = name.rfind(':');
  if (colon == std::string::npos || name.find('/', colon) != std::string::npos) {
    return {name, "<none>"};
  }
  return {name.substr(0, colon), name.substr(colon + 1)};
}

// What a table shows of an image: a tag says enough, the digest behind it goes.
std::string TaggedName(const std::string& image) {
  return RepositoryAndTag(image).second == "<none>" ? image : image.substr(0, image.find('@'));
}

}  // namespace

std::string FamiliarName(std::string reference) {
  for (std::string_view prefix : {"docker.io/library/", "docker.io/"}) {
    if (reference.starts_with(prefix)) return reference.substr(prefix.size());
  }
  return reference;
}

void SortForListing(std::vector<v1::Service>& services) {
  std::sort(services.begin(), services.end(),
            [](const auto& a, const auto& b) { return a.spec().name() < b.spec().name(); });
}

void SortForListing(std::vector<v1::Node>& nodes) {
  std::sort(nodes.begin(), nodes.end(), [](const auto& a, const auto& b) {
    return std::tie(a.description().hostname(), a.id()) <
           std::tie(b.description().hostname(), b.id());
  });
}

void SortForListing(std::vector<v1::Task>& tasks) {
  std::sort(tasks.begin(), tasks.end(), [](const v1::Task& a, const v1::Task& b) {
    const auto key = [](const v1::Task& t) {
      return std::make_tuple(t.service_name(), std::numeric_limits<uint32_t>::max() - t.run(),
                             t.slot(), t.slot() == 0 ? TaskName(t) : "");
    };
    if (key(a) != key(b)) return key(a) < key(b);
    const absl::Time created_a = ToTime(a.meta().created_at());
    const absl::Time created_b = ToTime(b.meta().created_at());
    return created_a != created_b ? created_a > created_b : a.id() < b.id();
  });
}

namespace {

// "1/1 (3/5 completed)", and of a cron job when it runs next.
std::string JobReplicas(const v1::Service& service, absl::Time now) {
  std::vector<std::string> notes;
  const v1::JobRun* last = LastRun(service);
  const v1::ServiceSpec& spec = service.spec();
  if (last != nullptr) {
    notes.push_back(StrCat(last->completed(), "/", last->completions(), " completed",
                           last->state() == v1::JobRun::STATE_FAILED ? ", failed" : ""));
  } else if (spec.has_replicated_job() && !spec.has_schedule()) {
    notes.push_back(StrCat("0/", TotalCompletions(spec.replicated_job()), " completed"));
  }
  if (service.has_next_run_at()) {
    notes.push_back(StrCat("next run ", In(now, ToTime(service.next_run_at()))));
  }
  std::string text =
      StrCat(service.status().running_tasks(), "/", service.status().desired_tasks());
  if (!notes.empty()) StrAppend(&text, " (", absl::StrJoin(notes, "; "), ")");
  return text;
}

std::string ReplicasOfMode(const v1::Service& service, absl::Time now) {
  if (IsJobService(service.spec())) return JobReplicas(service, now);
  std::string text =
      StrCat(service.status().running_tasks(), "/", service.status().desired_tasks());
  const uint64_t per_node = service.spec().task().placement().max_replicas_per_node();
  if (per_node > 0) StrAppend(&text, " (max ", per_node, " per node)");
  if (service.spec().has_autoscale()) {
    StrAppend(&text, " (autoscaled ", service.spec().autoscale().min(), "-",
              service.spec().autoscale().max(), ")");
  }
  return text;
}

std::string Replicas(const v1::Service& service, absl::Time now) {
  std::string text = ReplicasOfMode(service, now);
  if (InQuarantine(service)) text += " (in quarantine)";
  return text;
}

}  // namespace

Listing ServiceListing(std::vector<v1::Service> services, bool whole_ids, absl::Time now) {
  Listing listing({{"ID"}, {"Name"}, {"Mode"}, {"Replicas"}, {"Image"}, {"Ports"}});
  SortForListing(services);
  for (const v1::Service& service : services) {
    listing.Add({ShortId(service.id(), whole_ids), service.spec().name(), ModeWord(service.spec()),
                 Replicas(service, now), TaggedName(service.spec().task().container().image()),
                 PublishedPorts(PortsOf(service), v1::PortConfig::PUBLISH_MODE_INGRESS)});
  }
  return listing;
}

Listing HistoryListing(const v1::Service& service, std::vector<v1::Revision> revisions,
                       absl::Time now, bool whole) {
  Listing listing({{"Revision"},
                   {"CreatedSince", "CREATED"},
                   {"CreatedAt", "", false},
                   {"Image"},
                   {"Digest"},
                   {"Status"},
                   {"ID", "", false}});
  std::sort(revisions.begin(), revisions.end(),
            [](const auto& a, const auto& b) { return a.number() > b.number(); });
  for (const v1::Revision& revision : revisions) {
    std::string status;
    if (revision.id() == service.revision_id()) status = "current";
    if (revision.id() == service.previous_revision_id()) status = "previous";
    constexpr size_t kShortDigest = sizeof("sha256:") - 1 + kShortIdLength;
    std::vector<std::string> cells = {StrCat(revision.number()),
                                      Ago(now, ToTime(revision.meta().created_at())),
                                      Rfc3339(revision.meta().created_at()),
                                      revision.task().container().image(),
                                      revision.image_digest(),
                                      status,
                                      revision.id()};
    std::vector<std::string> table = cells;
    if (!whole) {
      table[3] = TaggedName(cells[3]);
      table[4] = cells[4].substr(0, kShortDigest);
    }
    listing.Add(std::move(cells), std::move(table));
  }
  return listing;
}

Listing NodeListing(std::vector<v1::Node> nodes, const std::string& self) {
  Listing listing({{"ID"},
                   {"Hostname"},
                   {"Status"},
                   {"Availability"},
                   {"ManagerStatus"},
                   {"EngineVersion"},
                   {"Self", "", false}});
  SortForListing(nodes);
  for (const v1::Node& node : nodes) {
    const bool is_self = node.id() == self;
    std::vector<std::string> cells = {node.id(),
                                      node.description().hostname(),
                                      NodeStateWord(node.status().state()),
                                      AvailabilityWord(node.spec().availability()),
                                      ManagerStatusWord(node),
                                      node.description().engine_version(),
                                      is_self ? "true" : "false"};
    std::vector<std::string> table = cells;
    if (is_self) table[0] += " *";
    listing.Add(std::move(cells), std::move(table));
  }
  return listing;
}

Listing TaskListing(std::vector<v1::Task> tasks, const TaskView& view) {
  Listing listing({{"ID"},
                   {"Name"},
                   {"Image"},
                   {"Node"},
                   {"DesiredState"},
                   {"CurrentState"},
                   {"Error"},
                   {"Ports"},
                   {"Run", "", false},
                   {"Health", "", false}});
  SortForListing(tasks);
  std::string last;
  for (const v1::Task& task : tasks) {
    const auto node = view.node_names.find(task.node_id());
    const auto ports = view.ports.find(task.id());
    const std::string name = TaskName(task);
    const std::string error = TaskError(task);
    std::vector<std::string> cells = {ShortId(task.id(), view.whole),
                                      name,
                                      view.whole ? task.image() : TaggedName(task.image()),
                                      node == view.node_names.end() ? task.node_id() : node->second,
                                      StateWord(task.desired_state()),
                                      CurrentState(task.status(), view.now),
                                      error.empty() ? "" : StrCat("\"", error, "\""),
                                      ports == view.ports.end() ? "" : ports->second,
                                      task.run() == 0 ? "" : StrCat(task.run()),
                                      HealthKey(task.status().health().state())};
    std::vector<std::string> table = cells;
    cells[6] = error;
    table[1] = TaskTitle(task);
    if (table[1] == last) table[1] = StrCat(" \\_ ", last);
    if (!error.empty()) table[6] = StrCat("\"", Shortened(error, view.whole), "\"");
    listing.Add(std::move(cells), std::move(table));
    last = TaskTitle(task);
  }
  return listing;
}

Listing ImageListing(const std::vector<v1::Image>& images, absl::Time now, bool whole_ids) {
  Listing listing({{"Repository"},
                   {"Tag"},
                   {"Digest", "", false},
                   {"ID", "IMAGE ID"},
                   {"CreatedSince", "CREATED"},
                   {"CreatedAt", "", false},
                   {"Size"}});
  for (const v1::Image& image : images) {
    std::string_view id = image.id();
    if (!whole_ids && id.starts_with("sha256:")) id.remove_prefix(7);
    const bool has_date = image.created_at().seconds() > 0;
    const std::string age = has_date ? Ago(now, ToTime(image.created_at())) : "N/A";
    std::vector<std::string> references(image.references().begin(), image.references().end());
    if (references.empty()) references.push_back("<none>");
    for (const std::string& reference : references) {
      const auto [repository, tag] = RepositoryAndTag(FamiliarName(reference));
      listing.Add({repository, tag, image.digest(), ShortId(id, whole_ids), age,
                   Rfc3339(image.created_at()), FormatBytes(image.size_bytes())});
    }
  }
  return listing;
}

Listing StackListing(const std::map<std::string, size_t>& stacks) {
  Listing listing({{"Name"}, {"Services"}});
  for (const auto& [name, services] : stacks) listing.Add({name, StrCat(services)});
  return listing;
}

}  // namespace swarm::cli
