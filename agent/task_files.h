// The files that a task's secrets and configs become: which paths, whose, and what they hold with
// templates filled in. Pure; any thread.
#ifndef SWARM_AGENT_TASK_FILES_H_
#define SWARM_AGENT_TASK_FILES_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/content_book.h"
#include "common/secret_bytes.h"
#include "common/task_template.h"
#include "swarm/v1/types.pb.h"

namespace swarm::agent {

struct TaskFile {
  std::string path;  // absolute and clean, in the container
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t mode = 0444;
  bool is_secret = false;
  std::shared_ptr<const Content> content;
  SecretBytes expanded;  // of a template

  std::string_view Reveal() const {
    return content->is_template ? expanded.Reveal() : content->data.Reveal();
  }
};

// All of a task's files, expanded, in bytes. Templates may make more of what the manager let
// through.
inline constexpr size_t kMostTaskFileBytes = 64 << 20;

// `values` as for the task's environment; contents may say more ("secret", "config", "env" of the
// task's spec). InvalidArgument: a template that does not expand, two files at one path, files
// above the limit.
absl::StatusOr<std::vector<TaskFile>> PlanTaskFiles(const v1::ContainerSpec& container,
                                                    const TaskContents& contents,
                                                    TemplateValues values);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_TASK_FILES_H_
