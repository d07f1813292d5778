// NetworkDoctor: answers the manager's DiagnoseNetworks by looking at this node's networks.
//
//   NetworkDoctor doctor(env, networks, [&](v1::NetworkDiagnosis piece) { session.Send…(piece); });
//   doctor.Diagnose(request);
//
// Loop thread; the looking is done by one thread of its own, one look after the other, each at most
// some 5 s. Who asks for the same networks while one is under way is answered from the next one
// look. At most kMostWaiting looks wait; who asks for one more is told so at once. An answer comes
// in pieces of kPieceSize findings, of which the last says that it is. What changed while it was
// looked at is not reported: it may be right by now.
#ifndef SWARM_AGENT_NETWORK_DOCTOR_H_
#define SWARM_AGENT_NETWORK_DOCTOR_H_

#include <atomic>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <set>
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
  static constexpr size_t kMostPerLook = 16;    // that are answered from one
  static constexpr size_t kMostFindings = 500;  // of one answer; of more the OK ones go first
  static constexpr int kPieceSize = 100;

  using Send = std::function<void(v1::NetworkDiagnosis piece)>;

  // `networks` outlives it. Without a `pool` it has a thread of its own.
  NetworkDoctor(const Env& env, NodeNetworks& networks, Send send,
                std::unique_ptr<WorkerPool> pool = nullptr);
  // Ends what is under way within 0.1 s; nothing is sent any more.
  ~NetworkDoctor();

  void Diagnose(const v1::DiagnoseNetworks& request);
  // The node leaves its cluster: what is under way ends within 0.1 s, and nobody who asked so far
  // is answered.
  void Cancel();

 private:
  // Who waits for one look.
  struct Asked {
    std::set<std::string> networks;  // none: all
    std::vector<std::string> ids;    // of diagnoses
  };

  void MaybeLook();
  void Answer(const std::vector<std::string>& ids, const std::vector<Finding>& findings);

  const Env env_;
  NodeNetworks& networks_;
  const Send send_;
  // Of the looks since the last Cancel.
  std::shared_ptr<std::atomic<bool>> cancelled_ = std::make_shared<std::atomic<bool>>(false);
  std::deque<Asked> waiting_;
  bool looking_ = false;
  std::unique_ptr<WorkerPool> pool_;
};

// At most `most`: those that are not OK first, and the last one says how many are missing.
std::vector<Finding> Shortened(std::vector<Finding> findings, size_t most);
v1::NetworkFinding FindingToProto(const Finding& finding);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NETWORK_DOCTOR_H_
