// From the texts of stack files to one tree: variables filled in, `include` and `extends` followed,
// several files merged, services of profiles that are not active left out.
//
// A file that is included has variables of its own (.env in its folder, or its env_file) behind the
// caller's; what it defines may not be defined again by the file that includes it, except from the
// next -c file, which may change anything. `extends` takes a service of the same file or of another
// one as the base of a service; what only a base has needs nothing else of its file.
//
// Bounds: 100 files, 32 MiB, 8 deep; a circle is an error with the way round. Pure except for
// StackOptions::read_file; any thread.
#ifndef SWARM_CLI_COMPOSE_MODEL_H_
#define SWARM_CLI_COMPOSE_MODEL_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/compose/document.h"
#include "cli/compose/problems.h"
#include "cli/compose/stack.h"

namespace swarm::cli::compose {

struct Model {
  Value root;
  // Every file that was read, without its text: what is relative to where.
  std::vector<SourceFile> files;
  std::vector<std::string> unset;  // variables that had no value and no default
};

// An error where nothing of a file can be used; the rest goes to the problems.
absl::StatusOr<Model> ReadModel(const std::vector<SourceFile>& files, const StackOptions& options,
                                Problems& problems);

// Makes a scalar of `root` with a dollar in it one that reads as it stands: after this the tree can
// be written and read again.
void EscapeVariables(Value& root);

// What the file holds that `path` means where `at` stands; `files` are those of the model.
absl::StatusOr<std::string> ReadFileFrom(const Value& at, const std::string& path,
                                         const std::vector<SourceFile>& files,
                                         const StackOptions& options);
// What a path's last slash ends; "." when it has none.
std::string FolderOfPath(const std::string& path);

}  // namespace swarm::cli::compose

#endif  // SWARM_CLI_COMPOSE_MODEL_H_
