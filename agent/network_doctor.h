// NetworkDoctor: answers the manager's DiagnoseNetworks by looking at this node's networks.
//
//   NetworkDoctor doctor(env, networks, [&](v1::NetworkDiagnosis piece) { session.Send…(piece); });
//   doctor.Diagnose(request);
//
// Loop thread; the looking is done by one thread of its own, one request after the other, each at
// most some 5 s. At most kMostWaiting wait; the next is told so at once. An answer comes in pieces
// of kPieceSize findings, of which the last says that it is. What changed while it was looked at is
// not reported: it may be right by now.
#ifndef SWARM_AGENT_NETWORK_DOCTOR_H_
#define SWARM_AGENT_NETWORK_DOCTOR_H_

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/doctor/finding.h"
#include "agent/env.h"
#include "agent/node_networks.h"
#include "common/worker_pool.h"
#include "swarm/v1/dispatcher.pb.h"

namespace swarm::agent {

class NetworkDoctor {
 public:
  static constexpr size_t kMostWaiting = 4;
  static constexpr size_t kMostFindings = 500;  // of one answer; of more the OK ones go first
  static constexpr int kPieceSize = 100;

  using Send = std::function<void(v1::NetworkDiagnosis piece)>;

  // `networks` outlives it.
  NetworkDoctor(const Env& env, NodeNetworks& networks, Send send);
  // Ends what is under way within 0.1 s; nothing is sent any more.
  ~NetworkDoctor();

  void Diagnose(const v1::DiagnoseNetworks& request);

 private:
  void Answer(const std::string& diagnosis_id, std::vector<Finding> findings);

  const Env env_;
  NodeNetworks& networks_;
  const Send send_;
  std::shared_ptr<std::atomic<bool>> cancelled_ = std::make_shared<std::atomic<bool>>(false);
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::unique_ptr<WorkerPool> pool_;
};

// At most `most`: those that are not OK first, and the last one says how many are missing.
std::vector<Finding> Shortened(std::vector<Finding> findings, size_t most);
v1::NetworkFinding FindingToProto(const Finding& finding);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NETWORK_DOCTOR_H_
