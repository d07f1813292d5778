// StatsBroker: what the tasks of services use, live, from the nodes that run them.
//
// A reader has one stream with each node that runs tasks of its services (NodeStreams). Once a
// period the nodes are told which tasks these are by now, and the reader gets the newest look at
// all of them in one message: when every node has answered, at the latest with the period's end. A
// reader that takes too slowly misses looks; nothing queues. A node that cannot be reached is asked
// again with each period. A node is read twice a period at most, however much it says, and a look
// of one task above kMaxLookBytes is left out.
//
// Whose looks are missing because their node is silent is a notice in the message, one for each
// node: at once when the node cannot be reached or has ended its stream, after kPatiencePeriods
// when it just gives no answer, and until it gives one. Looks that were left out for their size,
// and tasks for their number, are one each.
//
// Loop thread only.
#ifndef SWARM_MANAGER_API_STATS_BROKER_H_
#define SWARM_MANAGER_API_STATS_BROKER_H_

#include <map>
#include <memory>

#include "absl/time/time.h"
#include "manager/api/node_streams.h"
#include "manager/api/stream_end.h"
#include "manager/env.h"
#include "manager/store/store.h"
#include "swarm/v1/containers.pb.h"

namespace swarm::manager {

class StatsBroker {
 public:
  static constexpr size_t kMaxReaders = 100;
  static constexpr size_t kMaxRefs = 500;
  static constexpr size_t kMaxTasks = 2'000;  // of one reader; others are not looked at
  // Tasks of its services, ended ones too, of which a reader's are picked once a period.
  static constexpr size_t kMaxWalked = 50'000;
  // Above so many the period is kLeastLongPeriod at least.
  static constexpr size_t kLongWalk = 500;
  static constexpr absl::Duration kLeastLongPeriod = absl::Seconds(1);
  static constexpr size_t kMaxLookBytes = 16 << 10;
  static constexpr absl::Duration kDefaultPeriod = absl::Seconds(1);
  static constexpr absl::Duration kLeastPeriod = absl::Milliseconds(200);
  static constexpr absl::Duration kMostPeriod = absl::Minutes(1);
  static constexpr int kPatiencePeriods = 2;  // what comes a little late is not worth a word

  StatsBroker(const Env& env, Store& store, NodeStreams& streams);
  ~StatsBroker();

  // Null when it was refused.
  StreamEvents<v1::StatsRequest>* OnOpened(StreamEnd<v1::StatsResponse>& caller);

 private:
  class Leg;
  class Reader;

  const Env env_;
  Store& store_;
  NodeStreams& streams_;
  std::map<Reader*, std::unique_ptr<Reader>> readers_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_STATS_BROKER_H_
