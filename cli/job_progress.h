// JobProgress: has the run that a write began come to its end? Pure.
//
// The run is the newest of the service's revision. Converged: it is complete, or the write began
// none (a label changed; said after kReplacementPatience). Failed: the run failed or was stopped.
// Jobs with a schedule have nothing to wait for and are converged at once.
#ifndef SWARM_CLI_JOB_PROGRESS_H_
#define SWARM_CLI_JOB_PROGRESS_H_

#include <optional>
#include <string>
#include <vector>

#include "cli/progress.h"

namespace swarm::cli {

class JobProgress : public Progress {
 public:
  explicit JobProgress(const v1::Service& accepted);

  Verdict Judge(absl::Duration now) override;
  // "job progress: 3 out of 5 complete"
  std::string Summary() const override;
  // How far it is, and what the tasks at work do.
  std::vector<std::string> Bars() const override;
  std::vector<std::string> Notes() const override;

 private:
  // Null until it begins.
  const v1::JobRun* Run() const;
  bool IsOfRun(const v1::Task& task) const;
  uint64_t Wanted() const;
  uint64_t Completed() const;
  // The newest failure of the run; null when there is none.
  const v1::Task* LastFailure() const;

  const uint32_t over_before_;  // the run that had ended before this write; 0: none
  std::optional<absl::Duration> idle_since_;
};

}  // namespace swarm::cli

#endif  // SWARM_CLI_JOB_PROGRESS_H_
