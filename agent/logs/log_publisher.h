// LogPublisher: answers the manager's log requests. One stream per subscription; what the stream
// has not taken yet is not read from disk (back-pressure), and new lines are noticed through
// inotify. The lines of all tasks of a subscription come ordered by time, as far as they have been
// written when it looks; what waits for that is bounded (a few MiB).
//
// Loop thread only; files are read on the pool.
#ifndef SWARM_AGENT_LOGS_LOG_PUBLISHER_H_
#define SWARM_AGENT_LOGS_LOG_PUBLISHER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "agent/env.h"
#include "swarm/v1/dispatcher.pb.h"
#include "swarm/v1/logs.pb.h"

namespace swarm::agent {

class LogStreamListener {
 public:
  virtual ~LogStreamListener() = default;
  // The stream took the message; send the next.
  virtual void OnSent() = 0;
  virtual void OnClosed(absl::Status status) = 0;
};

// Destroying it ends the stream, and the listener hears nothing more.
class LogStream {
 public:
  virtual ~LogStream() = default;
  // One at a time: not again before OnSent.
  virtual void Send(v1::PublishLogsRequest request) = 0;
  // After the last OnSent; OnClosed follows.
  virtual void Finish() = 0;
};

class LogConnector {
 public:
  virtual ~LogConnector() = default;
  virtual std::unique_ptr<LogStream> Open(LogStreamListener& listener) = 0;
};

struct LogSource {
  std::string directory;
  std::string service_name;
  uint64_t slot = 0;
  bool finished = false;  // the task has ended: nothing more will be written
};

// What the publisher needs of its node.
class LogHost {
 public:
  virtual ~LogHost() = default;
  virtual std::optional<LogSource> FindLog(const std::string& task_id) = 0;
  virtual uint64_t fence() = 0;
  virtual std::string node_id() = 0;
  virtual std::string node_hostname() = 0;
  // The subscription could not be served.
  virtual void OnLogFailure(const std::string& subscription_id, const std::string& error) = 0;
};

class LogPublisher {
 public:
  // Subscriptions at once; a further one fails.
  static constexpr size_t kMaxSubscriptions = 64;

  LogPublisher(const Env& env, LogConnector& connector, LogHost& host);
  ~LogPublisher();

  void Begin(const v1::LogRequest& request);
  // Something became of a task: its log may be there now, and when it has `ended` its last lines
  // are.
  void OnTaskReport(const std::string& task_id, bool ended);
  // The session is gone, and with it who asked.
  void StopAll();

 private:
  class Subscription;
  void Ended(const std::string& subscription_id, absl::Status status);

  const Env env_;
  LogConnector& connector_;
  LogHost& host_;
  std::map<std::string, std::unique_ptr<Subscription>> subscriptions_;
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_LOGS_LOG_PUBLISHER_H_
