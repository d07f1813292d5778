// The secrets and configs of a stack: made before its services, which then name them by what they
// hold, and removed when nothing wants them any more. One thread.
#ifndef SWARM_CLI_STACK_FILES_H_
#define SWARM_CLI_STACK_FILES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/app.h"
#include "cli/compose/stack.h"
#include "cli/stack_words.h"

namespace swarm::cli {

// What a stack has in the cluster.
struct StackContents {
  std::vector<v1::Secret> secrets;
  std::vector<v1::Config> configs;
  bool empty() const { return secrets.empty() && configs.empty(); }
};

// Those with the stack's label. A manager of before there were any has none.
absl::StatusOr<StackContents> ContentsOfStack(ManagerClient& manager, const std::string& stack);

// Makes nothing: whether external ones are there and the manager would take the stack's own.
absl::Status CheckContents(ManagerClient& manager, const compose::Stack& file);

// External ones are looked for first: by their name, else as what another stack has under it, the
// newest. Then the stack's own are made, where what they hold is new, and every reference of
// `file`'s services gets the id and name of the object that it means.
absl::Status MakeContents(Invocation& in, ManagerClient& manager, const std::string& stack,
                          compose::Stack& file);

// What a file means for the secrets and configs of the cluster.
struct ContentPlan {
  std::vector<std::string> missing;  // "secret shop_pw-9f86d081"
  std::vector<Refusal> refusals;     // then nothing is made
};

// As MakeContents, and makes nothing: references get the names that they would have, and ids where
// the objects are there already.
absl::StatusOr<ContentPlan> PlanContents(ManagerClient& manager, compose::Stack& file);

// Of the stack's, what neither the file means any more, whose references have their names, nor a
// kept revision of `services`: a rollback finds what it needs. Of names that left the file only if
// `prune`.
absl::StatusOr<StackContents> OldContents(ManagerClient& manager, const std::string& stack,
                                          const compose::Stack& file,
                                          const std::vector<v1::Service>& services, bool prune);

// Whether `file` has another content under its name.
bool IsSuperseded(const v1::Secret& secret, const compose::Stack& file);
bool IsSuperseded(const v1::Config& config, const compose::Stack& file);

// `old` as OldContents found it for all services that the stack has now. What is in use stays: with
// a warning when its name left the file, else without a word, since the next deploy looks again.
absl::Status RemoveOldContents(Invocation& in, ManagerClient& manager, const compose::Stack& file,
                               const StackContents& old);

// As RemoveNetworks.
absl::Status RemoveContents(Invocation& in, ManagerClient& manager, const StackContents& contents,
                            bool leave_used);

}  // namespace swarm::cli

#endif  // SWARM_CLI_STACK_FILES_H_
