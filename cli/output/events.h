// What happened, from the objects of Watch: each tells how a thing is, EventTeller what about it
// has changed. One thread.
//
//   EventTeller teller;
//   teller.Remember(service);                 // as it is before the first event
//   const News news = teller.Tell(event);
//   Print(EventLine(event, news));
#ifndef SWARM_CLI_OUTPUT_EVENTS_H_
#define SWARM_CLI_OUTPUT_EVENTS_H_

#include <map>
#include <string>
#include <vector>

#include "cli/output/inspect.h"
#include "swarm/v1/control.pb.h"

namespace swarm::cli {

struct News {
  // "updatestate.old", "updatestate.new", "replicas.new" …, as docker's events have them.
  std::map<std::string, std::string> attributes;
  // "web: update paused: task web.2 failed: exit code 1"
  std::vector<std::string> lines;
};

// Remembers every service and the health of every task that it was told of, the latter up to
// kMostTasks; over it all of them are forgotten, and a change may go untold.
class EventTeller {
 public:
  static constexpr size_t kMostTasks = 200'000;

  void Remember(const v1::Service& service);
  // Of something never seen before there is nothing to tell, except when it was created.
  News Tell(const v1::WatchEvent& event);

 private:
  std::map<std::string, v1::Service> services_;
  std::map<std::string, v1::Health::State> healths_;
};

std::string EventType(const v1::WatchEvent& event);    // "service"
std::string EventAction(const v1::WatchEvent& event);  // "create"

// One event of Watch: {"Type":"service","Action":"create","Actor":{…},"time":…}; the lines of the
// news are its attribute "message".
JsonObject EventObject(const v1::WatchEvent& event, const News& news = {});
// "2026-11-23T19:12:38Z service create x5k… (name=web)", and a line for each of the news.
std::string EventLine(const v1::WatchEvent& event, const News& news = {});

}  // namespace swarm::cli

#endif  // SWARM_CLI_OUTPUT_EVENTS_H_
