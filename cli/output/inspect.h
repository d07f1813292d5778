// `inspect`: whole objects as JSON with Docker's names and units (nanoseconds, nano CPUs), and
// --pretty for people. Pure; any thread.
#ifndef SWARM_CLI_OUTPUT_INSPECT_H_
#define SWARM_CLI_OUTPUT_INSPECT_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/output/format.h"
#include "swarm/v1/control.pb.h"
#include "swarm/v1/node_local.pb.h"
#include "swarm/v1/types.pb.h"

namespace swarm::cli {

// One JSON object, kept out of callers' sight so that they need no JSON library.
class JsonObject {
 public:
  struct Data;
  explicit JsonObject(std::unique_ptr<Data> data);
  JsonObject(JsonObject&&) noexcept;
  JsonObject& operator=(JsonObject&&) noexcept;
  ~JsonObject();

  std::string Compact() const;
  const Data& data() const { return *data_; }

 private:
  std::unique_ptr<Data> data_;
};

JsonObject ServiceObject(const v1::Service& service);
JsonObject NodeObject(const v1::Node& node);
// The cluster's settings as they count: what was not set has its default.
v1::ClusterSpec WithDefaults(v1::ClusterSpec spec);

// Either may be null, not both: no manager answered, or the cluster is asked from elsewhere and
// this machine is none of its nodes.
JsonObject InfoObject(const v1::NodeInfo* info, const v1::Cluster* cluster);
// `server` may be null.
JsonObject VersionObject(const v1::VersionInfo* server);

// kTable (the default): one array, indented. kJson: one object a line. kTemplate: a line for each.
absl::StatusOr<std::string> RenderObjects(const std::vector<JsonObject>& objects,
                                          const Format& format);

// What is known of a service besides itself; what is empty is not told.
struct ServiceStory {
  absl::Time now;
  std::vector<v1::Task> tasks;
  std::vector<v1::Revision> revisions;
  std::vector<v1::Network> networks;  // for the names of those told by their ids
};
std::string PrettyService(const v1::Service& service, const ServiceStory& story = {});
std::string PrettyNode(const v1::Node& node);
std::string PrettyInfo(const v1::NodeInfo* info, const v1::Cluster* cluster);

}  // namespace swarm::cli

#endif  // SWARM_CLI_OUTPUT_INSPECT_H_
