// Writes the bytes that agent/shim/plan.h reads.
//
//   PlanWriter writer;
//   writer.Begin(plan::Tag::kArg).String("sleep");
//   writer.Begin(plan::Tag::kArg).String("1");
//   ASSIGN_OR_RETURN(std::string bytes, writer.Finish());
#ifndef SWARM_AGENT_RUNTIME_PLAN_WRITER_H_
#define SWARM_AGENT_RUNTIME_PLAN_WRITER_H_

#include <cstdint>
#include <string>
#include "absl/strings/string_view.h"

#include "absl/status/statusor.h"
#include "agent/shim/plan.h"

namespace swarm::agent {

class PlanWriter {
 public:
  PlanWriter();

  // Ends the record before it.
  PlanWriter& Begin(plan::Tag tag);
  PlanWriter& U32(uint32_t value);
  PlanWriter& U64(uint64_t value);
  // A NUL inside makes Finish fail.
  PlanWriter& String(absl::string_view text);
  PlanWriter& Bytes(absl::string_view bytes);

  // Reads back what was written. InvalidArgument: too large, or more of something than a plan
  // holds.
  absl::StatusOr<std::string> Finish();

 private:
  void EndRecord();
  void Pad(size_t multiple);

  std::string out_;
  size_t record_ = 0;  // where the open record begins, 0 for none
  uint32_t records_ = 0;
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_RUNTIME_PLAN_WRITER_H_
