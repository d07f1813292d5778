// NodePublisher: one node's stream of logs, between gRPC and the broker. Keeps itself alive until
// it is closed. Loop thread.
#ifndef SWARM_MANAGER_API_NODE_PUBLISHER_H_
#define SWARM_MANAGER_API_NODE_PUBLISHER_H_

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "common/ids.h"
#include "manager/api/log_broker.h"
#include "manager/api/stream_end.h"
#include "swarm/v1/logs.pb.h"

namespace swarm::manager {

class NodePublisher final : public PublisherStream, public StreamEvents<v1::PublishLogsRequest> {
 public:
  static StreamEvents<v1::PublishLogsRequest>* Open(LogBroker& broker, Id node,
                                                    StreamEnd<v1::PublishLogsResponse>& end) {
    std::unique_ptr<NodePublisher> made(new NodePublisher(broker, end));
    NodePublisher* publisher = made.get();
    publisher->self_ = std::move(made);
    publisher->id_ = broker.OnPublisherOpened(node, *publisher);
    return publisher;
  }

  void ReadNext() override { end_.ReadNext(); }
  void Finish(absl::Status status) override { end_.Finish(std::move(status)); }

  void OnMessage(v1::PublishLogsRequest message) override {
    broker_.OnPublished(id_, std::move(message));
  }
  void OnReadEnd() override { end_.Finish(absl::OkStatus()); }
  void OnWritten() override {}
  // A message that waits for its turn at the broker is still delivered: the next read, or the one
  // that is out, finds the end.
  void OnCancelled() override {}
  void OnClosed() override {
    broker_.OnPublisherClosed(id_);
    self_.reset();
  }

 private:
  NodePublisher(LogBroker& broker, StreamEnd<v1::PublishLogsResponse>& end)
      : broker_(broker), end_(end) {}

  LogBroker& broker_;
  StreamEnd<v1::PublishLogsResponse>& end_;
  LogBroker::PublisherId id_ = 0;
  std::unique_ptr<NodePublisher> self_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_NODE_PUBLISHER_H_
