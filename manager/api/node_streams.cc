#include "manager/api/node_streams.h"

#include <utility>

#include "absl/strings/strip.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "manager/api/lookup.h"

namespace swarm::manager {
namespace {

constexpr size_t kMaxWords = 512;  // of a node's own error

absl::Status FromNode(int32_t code, const std::string& words) {
  const bool known = code > 0 && code <= static_cast<int32_t>(absl::StatusCode::kUnauthenticated);
  return absl::Status(known ? static_cast<absl::StatusCode>(code) : absl::StatusCode::kUnknown,
                      words.substr(0, kMaxWords));
}

}  // namespace

// One stream that a node opened, bound to what was asked for by its first message.
class NodeStreams::Incoming : public StreamEvents<v1::ServeRequest> {
 public:
  Incoming(NodeStreams& owner, Id node, StreamEnd<v1::ContainerInput>& end)
      : owner_(owner), node_(node), end_(end) {
    timer_ = owner_.env_.loop.RunAfter(kDialTimeout, [this] {
      timer_ = 0;
      end_.Finish(absl::DeadlineExceededError("no first message in time"));
    });
  }
  ~Incoming() override { owner_.env_.loop.Cancel(timer_); }

  void OnMessage(v1::ServeRequest message) override {
    if (stream_ == 0) return Begin(message);
    auto it = owner_.streams_.find(stream_);
    if (it == owner_.streams_.end()) return;
    // A node asks with an empty one whether we are still there.
    if (message.output().kind_case() == v1::ContainerOutput::KIND_NOT_SET) return end_.ReadNext();
    if (message.output().has_failure()) {
      const v1::CallFailure& failure = message.output().failure();
      return owner_.End(stream_, FromNode(failure.code(), failure.message()));
    }
    it->second.peer->OnNodeOutput(std::move(*message.mutable_output()));
  }
  void OnReadEnd() override { Lost(); }
  void OnCancelled() override { Lost(); }
  void OnWritten() override {
    auto it = owner_.streams_.find(stream_);
    if (it != owner_.streams_.end()) it->second.peer->OnNodeWritten();
  }
  void OnClosed() override { owner_.OnIncomingClosed(this); }

  Id node() const { return node_; }
  StreamEnd<v1::ContainerInput>& end() { return end_; }
  StreamId stream() const { return stream_; }

 private:
  void Begin(const v1::ServeRequest& message) {
    owner_.env_.loop.Cancel(std::exchange(timer_, 0));
    stream_ = owner_.Bind(*this, message);
    auto it = owner_.streams_.find(stream_);
    if (it != owner_.streams_.end()) it->second.peer->OnNodeReady();
  }
  void Lost() {
    owner_.End(stream_, absl::UnavailableError(
                            StrCat("node ", NodeName(owner_.store_.view(), node_),
                                   " broke the stream off; its agent may have been restarted")));
    end_.Finish(absl::OkStatus());
  }

  NodeStreams& owner_;
  const Id node_;
  StreamEnd<v1::ContainerInput>& end_;
  StreamId stream_ = 0;  // once bound
  TimerId timer_ = 0;
};

NodeStreams::NodeStreams(const Env& env, Store& store, Dispatcher& dispatcher)
    : env_(env),
      store_(store),
      dispatcher_(dispatcher),
      self_(std::make_shared<NodeStreams*>(this)) {}

NodeStreams::~NodeStreams() {
  *self_ = nullptr;
  for (auto& [ref, stream] : streams_) env_.loop.Cancel(stream.timer);
}

void NodeStreams::Start() {
  dispatcher_.SetStreamFailureHandler([self = self_](Id node, const v1::StreamFailure& failure) {
    if (*self != nullptr) (*self)->OnStreamFailure(node, failure);
  });
}

absl::StatusOr<NodeStreams::StreamId> NodeStreams::Open(Id node, Id task, Use use, Peer& peer) {
  DCHECK(env_.loop.InLoop());
  const size_t part = use == Use::kStats ? 2 : 1;
  const auto count = of_node_.find(node);
  if (count != of_node_.end() && count->second >= kMaxPerNode / part) {
    return absl::ResourceExhaustedError(StrCat("node ", NodeName(store_.view(), node), " serves ",
                                               count->second, " calls already; try again later"));
  }
  if (streams_.size() >= kMaxStreams / part) {
    return absl::ResourceExhaustedError("too many calls into containers; try again later");
  }
  Stream stream{.id = Id::Make(env_.random).ToString(), .node = node, .peer = &peer};
  v1::ManagerMessage message;
  message.mutable_open_stream()->set_stream_id(stream.id);
  if (!task.IsZero()) message.mutable_open_stream()->set_task_id(task.ToString());
  if (!dispatcher_.SendToNode(node, std::move(message))) {
    const auto there = store_.view().GetNode(node);
    const auto state = there == nullptr ? v1::NodeStatus::STATE_UNKNOWN : there->status().state();
    if (state == v1::NodeStatus::STATE_READY) {
      return absl::UnavailableError(StrCat("node ", NodeName(store_.view(), node),
                                           " has no session with this manager just now"));
    }
    return absl::UnavailableError(
        StrCat("node ", NodeName(store_.view(), node), " is ",
               absl::StripPrefix(v1::NodeStatus::State_Name(state), "STATE_")));
  }
  const StreamId ref = ++last_;
  stream.timer = env_.loop.RunAfter(kDialTimeout, [this, ref] {
    streams_.at(ref).timer = 0;
    End(ref, absl::UnavailableError(StrCat("node ", NodeName(store_.view(), streams_.at(ref).node),
                                           " did not answer within ",
                                           absl::FormatDuration(kDialTimeout))));
  });
  by_id_[stream.id] = ref;
  ++of_node_[node];
  streams_.emplace(ref, std::move(stream));
  return ref;
}

void NodeStreams::Write(StreamId ref, v1::ContainerInput message) {
  auto it = streams_.find(ref);
  if (it != streams_.end() && it->second.incoming != nullptr) {
    it->second.incoming->end().Write(std::move(message));
  }
}

void NodeStreams::ReadNext(StreamId ref) {
  auto it = streams_.find(ref);
  if (it != streams_.end() && it->second.incoming != nullptr) it->second.incoming->end().ReadNext();
}

void NodeStreams::Close(StreamId ref) {
  DCHECK(env_.loop.InLoop());
  auto closed = streams_.extract(ref);
  if (closed.empty()) return;
  const Stream& stream = closed.mapped();
  env_.loop.Cancel(stream.timer);
  by_id_.erase(stream.id);
  auto count = of_node_.find(stream.node);
  if (--count->second == 0) of_node_.erase(count);
  if (stream.incoming != nullptr) stream.incoming->end().Finish(absl::OkStatus());
}

void NodeStreams::End(StreamId ref, absl::Status status) {
  auto it = streams_.find(ref);
  if (it == streams_.end()) return;
  Peer* peer = it->second.peer;
  Close(ref);
  peer->OnNodeEnded(std::move(status));
}

StreamEvents<v1::ServeRequest>* NodeStreams::OnOpened(Id node, StreamEnd<v1::ContainerInput>& end) {
  DCHECK(env_.loop.InLoop());
  if (incoming_of_[node] >= kMaxPerNode) {
    end.Finish(
        absl::ResourceExhaustedError(StrCat("this node has ", kMaxPerNode, " streams already")));
    return nullptr;
  }
  ++incoming_of_[node];
  auto made = std::make_unique<Incoming>(*this, node, end);
  Incoming* incoming = made.get();
  incoming_[incoming] = std::move(made);
  return incoming;
}

NodeStreams::StreamId NodeStreams::Bind(Incoming& incoming, const v1::ServeRequest& first) {
  if (!dispatcher_.FenceIsCurrent(incoming.node(), first.fence())) {
    incoming.end().Finish(
        absl::PermissionDeniedError("the fence is not that of the node's session"));
    return 0;
  }
  const auto id = by_id_.find(first.stream_id());
  const auto it = id == by_id_.end() ? streams_.end() : streams_.find(id->second);
  // The same words whether it never was, is over or is another node's.
  if (it == streams_.end() || it->second.node != incoming.node()) {
    incoming.end().Finish(absl::CancelledError("nobody waits for this stream"));
    return 0;
  }
  if (it->second.incoming != nullptr) {
    incoming.end().Finish(absl::AlreadyExistsError("this stream is there already"));
    return 0;
  }
  it->second.incoming = &incoming;
  env_.loop.Cancel(std::exchange(it->second.timer, 0));
  return it->first;
}

void NodeStreams::OnStreamFailure(Id node, const v1::StreamFailure& failure) {
  DCHECK(env_.loop.InLoop());
  const auto id = by_id_.find(failure.stream_id());
  if (id == by_id_.end() || streams_.at(id->second).node != node) return;
  End(id->second, absl::UnavailableError(StrCat("node ", NodeName(store_.view(), node), ": ",
                                                failure.error().substr(0, kMaxWords))));
}

void NodeStreams::OnIncomingClosed(Incoming* incoming) {
  End(incoming->stream(),
      absl::UnavailableError(
          StrCat("node ", NodeName(store_.view(), incoming->node()), " broke the stream off")));
  auto count = incoming_of_.find(incoming->node());
  if (--count->second == 0) incoming_of_.erase(count);
  incoming_.erase(incoming);
}

}  // namespace swarm::manager
