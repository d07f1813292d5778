#include "agent/calls/container_calls.h"

#include <utility>

#include "agent/calls/serve_call.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

constexpr size_t kMaxWatching = ContainerCalls::kMaxWatching;

void Serve(Runtime& runtime, const std::string& task, const v1::ContainerInput& start,
           CallPipe& pipe, std::atomic<size_t>& watching) {
  if (!start.has_attach() && !start.has_stats()) return ServeCall(runtime, task, start, pipe);
  if (watching.fetch_add(1) < kMaxWatching) {
    ServeCall(runtime, task, start, pipe);
  } else {
    pipe.End(absl::ResourceExhaustedError(
        StrCat("the node serves ", kMaxWatching,
               " attachments and statistics already and keeps the rest of its calls for exec and "
               "cp: end one of them")));
  }
  --watching;
}

}  // namespace

ContainerCalls::ContainerCalls(const Env& env, CallConnector& connector, CallHost& host,
                               WorkerPool& threads, Runtime& runtime)
    : env_(env), connector_(connector), host_(host), threads_(threads), runtime_(runtime) {}

ContainerCalls::~ContainerCalls() {
  *alive_ = false;
  env_.loop.Cancel(probe_timer_);
  StopAll();
}

void ContainerCalls::Begin(const v1::OpenStream& request) {
  const std::string& stream_id = request.stream_id();
  if (calls_.size() >= kMaxCalls) {
    return host_.OnStreamFailure(
        stream_id, StrCat("it serves ", kMaxCalls,
                          " calls (exec, attach, cp, stats, top) already; end one of them"));
  }
  if (!request.task_id().empty() && !host_.HasTask(request.task_id())) {
    return host_.OnStreamFailure(stream_id, "the task is not there");
  }
  const uint64_t id = ++last_;
  auto pipe = std::make_shared<CallPipe>(env_.loop);
  if (pipe->wake_fd() < 0) return host_.OnStreamFailure(stream_id, "no descriptors left");
  auto work = [this, &runtime = runtime_, &loop = env_.loop, id, pipe, task = request.task_id(),
               alive = alive_, watching = watching_] {
    const auto first = pipe->Await(kFirstInput);
    if (first.has_value()) Serve(runtime, task, *first, *pipe, *watching);
    pipe->Finish();
    loop.Post([this, id, alive] {
      if (*alive) OnServed(id);
    });
  };
  const absl::Status taken = threads_.Submit(std::move(work));
  if (!taken.ok()) return host_.OnStreamFailure(stream_id, std::string(taken.message()));
  // In a turn of its own: the pipe is in the middle of something.
  pipe->WhenClosed([this, id, &loop = env_.loop, alive = alive_] {
    loop.Post([this, id, alive] {
      if (*alive) OnClosed(id);
    });
  });
  pipe->Begin(connector_.Open(*pipe), stream_id, host_.fence());
  calls_[id].pipe = pipe;
  if (probe_timer_ == 0) Probe();
}

// The stream may still have to send what it holds; it goes when the manager has ended it.
void ContainerCalls::OnServed(uint64_t id) {
  Call& call = calls_.at(id);
  call.served = true;
  if (call.pipe->closed()) calls_.erase(id);
}

void ContainerCalls::OnClosed(uint64_t id) {
  auto call = calls_.find(id);
  if (call != calls_.end() && call->second.served) calls_.erase(call);
}

void ContainerCalls::StopAll() {
  for (auto& [id, call] : calls_) call.pipe->Drop(/*stopping=*/true);
}

void ContainerCalls::Probe() {
  for (auto& [id, call] : calls_) call.pipe->Probe();
  probe_timer_ = calls_.empty() ? 0 : env_.loop.RunAfter(kProbePeriod, [this] { Probe(); });
}

}  // namespace swarm::agent
