#include "manager/api/call_broker.h"

#include <utility>

#include "common/check.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "manager/api/call_target.h"
#include "manager/api/container_validation.h"

namespace swarm::manager {
namespace {

using Kind = v1::ContainerInput::KindCase;

// Of a first message; null when it has none.
v1::TaskSelector* SelectorOf(v1::ContainerInput& start) {
  switch (start.kind_case()) {
    case Kind::kExec:
      return start.mutable_exec()->mutable_task();
    case Kind::kAttach:
      return start.mutable_attach()->mutable_task();
    case Kind::kCopyTo:
      return start.mutable_copy_to()->mutable_task();
    case Kind::kCopyFrom:
      return start.mutable_copy_from()->mutable_task();
    case Kind::kTop:
      return start.mutable_top()->mutable_task();
    default:
      return nullptr;
  }
}

absl::Status CheckTerminalSize(const v1::TerminalSize& size) {
  constexpr uint32_t kMost = 65535;
  if (size.rows() <= kMost && size.columns() <= kMost) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("size: a terminal has at most ", kMost, " rows and columns"));
}

absl::Status CheckTexts(const v1::ExecStart& exec) {
  for (int i = 0; i < exec.args_size(); ++i) {
    RETURN_IF_ERROR(CheckNoNul(StrCat("exec.args[", i, "]"), exec.args(i)));
  }
  for (int i = 0; i < exec.env_size(); ++i) {
    RETURN_IF_ERROR(CheckNoNul(StrCat("exec.env[", i, "]"), exec.env(i)));
    const size_t equals = exec.env(i).find('=');
    if (equals == 0 || equals == std::string::npos) {
      return absl::InvalidArgumentError(
          StrCat("exec.env[", i, "]: \"", OneLine(exec.env(i)), "\" is not NAME=value"));
    }
  }
  RETURN_IF_ERROR(CheckNoNul("exec.user", exec.user()));
  return CheckNoNul("exec.dir", exec.dir());
}

absl::Status CheckStart(const v1::ContainerInput& start) {
  if (start.ByteSizeLong() > CallBroker::kMaxStart) {
    return absl::InvalidArgumentError("exec: arguments and environment are larger than 1 MiB");
  }
  if (start.has_exec()) {
    RETURN_IF_ERROR(CheckTexts(start.exec()));
    if (start.exec().args().empty() || start.exec().args(0).empty()) {
      return absl::InvalidArgumentError("exec.args: no command specified");
    }
    RETURN_IF_ERROR(CheckTerminalSize(start.exec().size()));
  }
  if (start.has_attach()) RETURN_IF_ERROR(CheckTerminalSize(start.attach().size()));
  for (const auto& [has, path] : {std::pair(start.has_copy_to(), start.copy_to().path()),
                                  std::pair(start.has_copy_from(), start.copy_from().path())}) {
    if (has && (path.empty() || path[0] != '/')) {
      return absl::InvalidArgumentError(
          StrCat("path: \"", OneLine(path), "\" is not an absolute path in the container"));
    }
    if (has) RETURN_IF_ERROR(CheckNoNul("path", path));
  }
  return absl::OkStatus();
}

absl::Status CheckInput(const v1::ContainerInput& input) {
  constexpr int kMostSignals = 64;
  switch (input.kind_case()) {
    case Kind::kData:
      if (input.data().size() <= CallBroker::kMaxData) return absl::OkStatus();
      return absl::InvalidArgumentError("data: more than 256 KiB in one message");
    case Kind::kEnd:
      return absl::OkStatus();
    case Kind::kSize:
      return CheckTerminalSize(input.size());
    case Kind::kSignal:
      if (input.signal() >= 1 && input.signal() <= kMostSignals) return absl::OkStatus();
      return absl::InvalidArgumentError(StrCat("signal: ", input.signal(), " is not a signal"));
    default:
      return absl::InvalidArgumentError("only the first message starts a call");
  }
}

}  // namespace

class CallBroker::Call : public StreamEvents<v1::ContainerInput>, public NodeStreams::Peer {
 public:
  Call(CallBroker& owner, Kind kind, StreamEnd<v1::ContainerOutput>& caller)
      : owner_(owner), kind_(kind), caller_(caller) {}
  ~Call() override { owner_.streams_.Close(stream_); }

  // ---- of the caller
  void OnMessage(v1::ContainerInput message) override {
    if (stream_ == 0 && begun_) return;  // it is over
    const absl::Status taken = begun_ ? CheckInput(message) : Begin(message);
    if (!taken.ok()) return Finish(taken);
    said_end_ |= message.has_end();
    if (begun_) return owner_.streams_.Write(stream_, std::move(message));
    begun_ = true;
    start_ = std::move(message);
  }
  void OnReadEnd() override {
    if (!begun_) return Finish(absl::InvalidArgumentError("the first message says what to do"));
    read_ended_ = true;
    if (said_end_) return;  // a terminal would take it for two
    v1::ContainerInput end;
    end.mutable_end();
    owner_.streams_.Write(stream_, std::move(end));
  }
  void OnWritten() override {
    if (last_written_) return Finish(absl::OkStatus());
    owner_.streams_.ReadNext(stream_);
  }
  void OnCancelled() override { Finish(absl::CancelledError("the caller has gone")); }
  void OnClosed() override { owner_.calls_.erase(this); }

  // ---- of the node
  void OnNodeReady() override { owner_.streams_.Write(stream_, std::move(start_)); }
  void OnNodeWritten() override {
    if (!read_ended_) caller_.ReadNext();
    if (std::exchange(told_node_, true)) return;
    if (kind_ != Kind::kExec && kind_ != Kind::kAttach) return owner_.streams_.ReadNext(stream_);
    v1::ContainerOutput started;
    *started.mutable_started() = started_;
    caller_.Write(std::move(started));
  }
  void OnNodeOutput(v1::ContainerOutput output) override {
    if (output.has_done()) return Finish(absl::OkStatus());
    if (output.has_started() || output.has_stats()) return owner_.streams_.ReadNext(stream_);
    last_written_ = output.has_exited() || output.has_top();
    if (output.has_top()) {
      output.mutable_top()->set_task_name(started_.task_name());
      output.mutable_top()->set_node_hostname(started_.node_hostname());
    }
    caller_.Write(std::move(output));
  }
  void OnNodeEnded(absl::Status status) override {
    stream_ = 0;
    Finish(std::move(status));
  }

 private:
  absl::Status Begin(v1::ContainerInput& start) {
    v1::TaskSelector* selector = start.kind_case() == kind_ ? SelectorOf(start) : nullptr;
    if (selector == nullptr) {
      return absl::InvalidArgumentError("the first message starts another kind of call");
    }
    RETURN_IF_ERROR(CheckStart(start));
    const View& view = owner_.store_.view();
    ASSIGN_OR_RETURN(const Ref<Task> task, FindRunningTask(view, *selector));
    started_.set_task_id(task->id.ToString());
    started_.set_task_name(TaskNameOf(*task));
    started_.set_node_hostname(HostnameOf(view, task->node_id));
    const v1::ContainerSpec& container = task->revision->revision().task().container();
    started_.set_tty(start.has_exec() ? start.exec().tty() : container.tty());
    started_.set_open_stdin(start.has_exec() ? start.exec().open_stdin() : container.open_stdin());
    selector->set_ref(started_.task_id());
    selector->clear_slot();
    ASSIGN_OR_RETURN(stream_,
                     owner_.streams_.Open(task->node_id, task->id, NodeStreams::Use::kCall, *this));
    return absl::OkStatus();
  }

  void Finish(absl::Status status) {
    owner_.streams_.Close(std::exchange(stream_, 0));
    caller_.Finish(std::move(status));
  }

  CallBroker& owner_;
  const Kind kind_;
  StreamEnd<v1::ContainerOutput>& caller_;
  NodeStreams::StreamId stream_ = 0;  // 0: not asked for yet, or over
  v1::ContainerInput start_;          // until the node is there
  v1::Started started_;
  bool begun_ = false;
  bool read_ended_ = false;    // the caller says nothing more
  bool said_end_ = false;      // of its input
  bool told_node_ = false;     // what to do
  bool last_written_ = false;  // the answer that ends it is on its way
};

CallBroker::CallBroker(const Env& env, Store& store, NodeStreams& streams)
    : env_(env), store_(store), streams_(streams) {}

CallBroker::~CallBroker() = default;

StreamEvents<v1::ContainerInput>* CallBroker::OnOpened(Kind kind,
                                                       StreamEnd<v1::ContainerOutput>& caller) {
  DCHECK(env_.loop.InLoop());
  if (calls_.size() >= kMaxCalls) {
    caller.Finish(absl::ResourceExhaustedError("too many calls into containers; try again later"));
    return nullptr;
  }
  auto made = std::make_unique<Call>(*this, kind, caller);
  Call* call = made.get();
  calls_[call] = std::move(made);
  return call;
}

}  // namespace swarm::manager
