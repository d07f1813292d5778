// One service of a stack file as a spec. Pure except for StackOptions; one thread.
#ifndef SWARM_CLI_COMPOSE_SERVICE_READER_H_
#define SWARM_CLI_COMPOSE_SERVICE_READER_H_

#include <string>
#include <string_view>
#include <vector>

#include "cli/compose/document.h"
#include "cli/compose/fields.h"
#include "cli/compose/file_reader.h"
#include "cli/compose/network_reader.h"
#include "cli/compose/problems.h"
#include "cli/compose/stack.h"
#include "cli/compose/volume_reader.h"

namespace swarm::cli::compose {

inline constexpr size_t kLongestName = 63;

// Everything given outlives it; `root` is the whole file, merged.
class ServiceReader {
 public:
  ServiceReader(const Value& root, const std::vector<SourceFile>& files,
                const StackOptions& options, NetworkReader& networks, VolumeReader& volumes,
                FileReader& contents, Problems& problems)
      : root_(root),
        files_(files),
        options_(options),
        networks_(networks),
        volumes_(volumes),
        contents_(contents),
        problems_(problems) {}

  // As far as it is valid; what is not goes to the problems.
  v1::ServiceSpec Read(const Entry& entry);

 private:
  void ReadName(const Entry& entry, const std::string& path, v1::ServiceSpec& spec);
  void ReadImage(const Entry& entry, const Fields& service, v1::ContainerSpec& container);
  void ReadEnvironment(const Fields& service, v1::ContainerSpec& container);
  // Of the files that the key names, in their order: NAME or NAME=value.
  std::vector<std::string> ReadLines(const Fields& service, std::string_view key);
  void ReadLabels(const Fields& fields, google::protobuf::Map<std::string, std::string>& labels);
  void ReadProcess(const Fields& service, v1::ContainerSpec& container);
  void ReadLimitsOfProcess(const Fields& service, v1::ContainerSpec& container);

  const Value& root_;
  const std::vector<SourceFile>& files_;
  const StackOptions& options_;
  NetworkReader& networks_;
  VolumeReader& volumes_;
  FileReader& contents_;
  Problems& problems_;
};

}  // namespace swarm::cli::compose

#endif  // SWARM_CLI_COMPOSE_SERVICE_READER_H_
