// Placement constraints: `node.labels.zone == a`, `node.role!=manager`. All of a list must hold.
// SEMANTICS: values compare without case; a missing label matches `!=`; an unknown key never
// matches.
#ifndef SWARM_COMMON_CONSTRAINT_H_
#define SWARM_COMMON_CONSTRAINT_H_

#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace swarm {

// What a constraint may ask of a node.
struct ConstraintSubject {
  std::string id;
  std::string hostname;
  std::string ip;    // address without port
  std::string role;  // "manager" or "worker"
  std::string os;
  std::string arch;
  std::map<std::string, std::string> node_labels;
  std::map<std::string, std::string> engine_labels;
};

struct Constraint {
  enum class Operator { kEquals, kDiffers };
  std::string key;
  Operator op;
  std::string value;

  // InvalidArgument says which part is wrong: no operator, empty or malformed key, empty value.
  static absl::StatusOr<Constraint> Parse(std::string_view text);
  bool Matches(const ConstraintSubject& node) const;
};

}  // namespace swarm

#endif  // SWARM_COMMON_CONSTRAINT_H_
