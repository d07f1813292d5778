// Secrets and configs as Docker shows them. Pure; any thread.
#ifndef SWARM_CLI_OUTPUT_FILE_OBJECTS_H_
#define SWARM_CLI_OUTPUT_FILE_OBJECTS_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cli/output/inspect.h"
#include "cli/output/listing.h"
#include "swarm/v1/types.pb.h"

namespace swarm::cli {

// By name.
Listing SecretListing(std::vector<v1::Secret> secrets, absl::Time now);
Listing ConfigListing(std::vector<v1::Config> configs, absl::Time now);

JsonObject SecretObject(const v1::Secret& secret);
JsonObject ConfigObject(const v1::Config& config);  // its data in base 64
std::string PrettySecret(const v1::Secret& secret);
std::string PrettyConfig(const v1::Config& config);  // its data as they are

}  // namespace swarm::cli

#endif  // SWARM_CLI_OUTPUT_FILE_OBJECTS_H_
