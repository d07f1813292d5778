// ContentBook: what the secrets and configs hold that this node's tasks mount, as the manager says.
// In memory alone: after a restart of the agent the first complete assignment brings it again, and
// until then containers that run go on and new ones wait.
//
//   book.Learn(assignment);  worker.Apply(assignment);  book.Forget(assignment);
//   ASSIGN_OR_RETURN(TaskContents contents, book.Of(*task.revision));
//
// Loop thread; what it hands out may go to any.
#ifndef SWARM_AGENT_CONTENT_BOOK_H_
#define SWARM_AGENT_CONTENT_BOOK_H_

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/secret_bytes.h"
#include "swarm/v1/dispatcher.pb.h"
#include "swarm/v1/types.pb.h"

namespace swarm::agent {

struct Content {
  std::string name;
  bool is_template = false;
  SecretBytes data;
};

// By id.
using Contents = std::map<std::string, std::shared_ptr<const Content>>;
struct TaskContents {
  Contents secrets;
  Contents configs;
};

class ContentBook {
 public:
  // Of an assignment what is new; of a complete one also that there is nothing else. True when it
  // brought something.
  bool Learn(const v1::Assignment& assignment);
  // What it takes away, once its tasks are dealt with.
  void Forget(const v1::Assignment& assignment);
  // This node is in no cluster any more.
  void Clear() { known_ = {}; }

  // All that tasks of the revision mount. Unavailable names what is not here yet.
  absl::StatusOr<TaskContents> Of(const v1::Revision& revision) const;

 private:
  TaskContents known_;
};

// Overwrites what the assignment says of secrets and configs; it may be dropped then.
void WipeContents(v1::Assignment& assignment);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_CONTENT_BOOK_H_
