// ChangeFeed: one caller's Watch. Turns the store's durable changes into API events and pushes them
// into a sink, in version order, each once.
//
//   ASSIGN_OR_RETURN(auto feed, ChangeFeed::Open(env, store, request, sink));
//   …
//   feed.reset();      // ends it, on the loop
//
// Loop thread only. The first event is STARTED (its version is where the feed begins), or RESYNC
// then STARTED when the version or the time to resume from is no longer kept: the caller lists
// again. A caller who takes events more slowly than they come (the sink is full) is closed with
// Aborted, and resumes from the version of the last event seen (events of one change set but the
// last carry the version before, so nothing is lost).
#ifndef SWARM_MANAGER_API_CHANGE_FEED_H_
#define SWARM_MANAGER_API_CHANGE_FEED_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "manager/api/sink.h"
#include "manager/env.h"
#include "manager/store/store.h"
#include "swarm/v1/control.pb.h"

namespace swarm::manager {

class ChangeFeed {
 public:
  // `sink` outlives the feed. InvalidArgument for an unknown kind, a malformed service id, or a
  // time and a version to resume from.
  static absl::StatusOr<std::unique_ptr<ChangeFeed>> Open(const Env& env, Store& store,
                                                          const v1::WatchRequest& request,
                                                          Sink<v1::WatchEvent>& sink);

 private:
  struct Wanted {
    bool clusters = false;
    bool nodes = false;
    bool services = false;
    bool tasks = false;
    bool networks = false;
    bool secrets = false;
    bool configs = false;
    bool volumes = false;
    Id service;  // zero: all
  };
  ChangeFeed(const Env& env, Store& store, Wanted wanted, Sink<v1::WatchEvent>& sink)
      : env_(env), store_(store), wanted_(wanted), sink_(sink) {}

  static absl::StatusOr<Wanted> Parse(const v1::WatchRequest& request);
  void OnChanges(const ChangeSet& changes);
  // Fills in the object; false when the caller does not want to know.
  bool Describe(const Change& change, v1::WatchEvent& event) const;
  bool DescribeService(const Change& change, v1::WatchEvent& event) const;
  bool DescribeDigest(const Change& change, v1::WatchEvent& event) const;
  void Push(const v1::WatchEvent& event);
  void PushMarker(v1::WatchEvent::Action action, uint64_t version);

  const Env env_;
  Store& store_;
  const Wanted wanted_;
  Sink<v1::WatchEvent>& sink_;
  bool closed_ = false;
  std::unique_ptr<WatchHandle> watch_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_CHANGE_FEED_H_
