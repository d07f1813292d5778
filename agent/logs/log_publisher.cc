#include "agent/logs/log_publisher.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <functional>
#include <queue>
#include <utility>
#include <vector>

#include "agent/logs/log_reader.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/unique_fd.h"

namespace swarm::agent {
namespace {

constexpr size_t kRequestBytes = 200 << 10;  // with names and times below 256 KiB
// Of lines that were read and wait for their turn, of all tasks of a subscription; a single read of
// many tasks is still worth its while.
constexpr size_t kWaitingBytes = 2 << 20;
constexpr size_t kLeastRead = 8 << 10;
constexpr size_t kLineBytes = 160;  // of a line, beside its text: ids and names

// One task's log, while it is read by the pool or waits here.
struct Feed {
  std::string task_id;
  LogSource source;
  std::shared_ptr<std::optional<LogReader>> reader = std::make_shared<std::optional<LogReader>>();
  int watch = -1;
  bool fresh = true;    // there may be something to read
  bool at_end = false;  // everything was read that there will ever be
  bool finished = false;
  std::deque<LogLine> lines;  // read, and not yet sent
};

struct Piece {
  absl::Status status;
  std::vector<LogLine> lines;
  bool more = false;
};

// On the pool.
Piece ReadPiece(std::optional<LogReader>& reader, const std::string& directory,
                const v1::LogOptions& options, size_t max_bytes) {
  Piece piece;
  if (!reader.has_value()) {
    auto opened = LogReader::Open(directory, options);
    piece.status = opened.status();
    if (!opened.ok()) return piece;
    reader = *std::move(opened);
  }
  auto lines = reader->Read(max_bytes);
  piece.status = lines.status();
  if (lines.ok()) piece.lines = *std::move(lines);
  piece.more = reader->more();
  return piece;
}

void Fill(v1::LogMessage& message, LogLine line, const Feed& feed, LogHost& host) {
  message.mutable_timestamp()->set_seconds(line.unix_nanos / 1'000'000'000);
  message.mutable_timestamp()->set_nanos(static_cast<int32_t>(line.unix_nanos % 1'000'000'000));
  message.set_stream(line.from_stderr ? v1::LogMessage::STREAM_STDERR
                                      : v1::LogMessage::STREAM_STDOUT);
  message.set_data(std::move(line.data));
  message.set_partial(line.partial);
  message.set_task_id(feed.task_id);
  message.set_service_name(feed.source.service_name);
  message.set_slot(feed.source.slot);
  message.set_node_id(host.node_id());
  message.set_node_hostname(host.node_hostname());
}

}  // namespace

class LogPublisher::Subscription : public LogStreamListener {
 public:
  Subscription(LogPublisher& owner, const v1::LogRequest& request)
      : owner_(owner), id_(request.subscription_id()), options_(request.options()) {
    for (const std::string& task_id : request.task_ids()) {
      auto source = owner_.host_.FindLog(task_id);
      Feed& feed = feeds_.emplace_back();
      feed.task_id = task_id;
      feed.finished = !source.has_value();
      if (source.has_value()) feed.source = *std::move(source);
    }
  }
  ~Subscription() override {
    *alive_ = false;
    owner_.env_.loop.Unwatch(watch_);
  }

  absl::Status Begin() {
    if (options_.follow()) RETURN_IF_ERROR(WatchFolders());
    stream_ = owner_.connector_.Open(*this);
    v1::PublishLogsRequest request;
    for (const Feed& feed : feeds_) {
      if (feed.finished) request.add_finished_task_ids(feed.task_id);
    }
    Send(std::move(request));
    return absl::OkStatus();
  }

  void OnTaskReport(const std::string& task_id, bool ended) {
    for (Feed& feed : feeds_) {
      if (feed.task_id != task_id) continue;
      // Not prepared yet when it was asked for. A watch that cannot be had is tried again at the
      // next report; at the end everything is read anyway.
      const bool watched = feed.watch >= 0 || (options_.follow() && WatchFolder(feed).ok());
      if (!ended && !watched) continue;
      feed.source.finished |= ended;
      feed.fresh = true;
    }
    Pump();
  }

  void OnSent() override {
    sending_ = false;
    Pump();
  }
  void OnClosed(absl::Status status) override { owner_.Ended(id_, std::move(status)); }

 private:
  void Send(v1::PublishLogsRequest request) {
    request.set_subscription_id(id_);
    request.set_fence(owner_.host_.fence());
    sending_ = true;
    stream_->Send(std::move(request));
  }

  // A log that may have something older than what is here is read before anything is sent, so that
  // the lines of all tasks come in the order of their times.
  void Pump() {
    if (sending_ || reading_ || ended_) return;
    bool open = false;
    for (size_t i = 0; i < feeds_.size(); ++i) {
      Feed& feed = feeds_[i];
      if (MayHaveMore(feed)) return ReadFeed(i);
      open |= !feed.finished;
    }
    v1::PublishLogsRequest request;
    Merge(request);
    if (request.messages_size() > 0 || request.finished_task_ids_size() > 0) {
      return Send(std::move(request));
    }
    if (open) return;  // inotify or the end of a task wakes us
    ended_ = true;
    stream_->Finish();
  }

  static bool MayHaveMore(const Feed& feed) {
    return feed.lines.empty() && feed.fresh && !feed.at_end && !feed.finished;
  }

  // Lines, the oldest first, until the request is full or a log must be read first.
  void Merge(v1::PublishLogsRequest& request) {
    using Head = std::pair<int64_t, size_t>;  // when, and of which feed
    std::priority_queue<Head, std::vector<Head>, std::greater<>> heads;
    for (size_t i = 0; i < feeds_.size(); ++i) {
      if (!feeds_[i].lines.empty()) heads.emplace(feeds_[i].lines.front().unix_nanos, i);
    }
    for (size_t bytes = 0; !heads.empty() && bytes < kRequestBytes;) {
      const size_t index = heads.top().second;
      Feed& feed = feeds_[index];
      heads.pop();
      bytes += feed.lines.front().data.size() + kLineBytes;
      Fill(*request.add_messages(), std::move(feed.lines.front()), feed, owner_.host_);
      feed.lines.pop_front();
      if (!feed.lines.empty()) {
        heads.emplace(feed.lines.front().unix_nanos, index);
      } else if (MayHaveMore(feed)) {
        break;
      }
    }
    for (Feed& feed : feeds_) {
      if (!feed.at_end || feed.finished || !feed.lines.empty()) continue;
      feed.finished = true;
      request.add_finished_task_ids(feed.task_id);
    }
  }

  void ReadFeed(size_t index) {
    Feed& feed = feeds_[index];
    feed.fresh = false;
    reading_ = true;
    // Asked before the read, so that what is written later is not missed.
    const bool final_read = feed.source.finished || !options_.follow();
    const size_t max_bytes = std::clamp(kWaitingBytes / feeds_.size(), kLeastRead, kRequestBytes);
    auto work = [reader = feed.reader, max_bytes, directory = feed.source.directory,
                 options = options_, &loop = owner_.env_.loop, this, alive = alive_, index,
                 final_read] {
      loop.Post([this, alive, index, final_read,
                 piece = ReadPiece(*reader, directory, options, max_bytes)]() mutable {
        if (*alive) OnRead(index, final_read, std::move(piece));
      });
    };
    const absl::Status taken = owner_.env_.pool.Submit(std::move(work));
    if (!taken.ok())
      owner_.env_.loop.Post([this, alive = alive_, taken] {
        if (*alive) owner_.Ended(id_, taken);
      });
  }

  void OnRead(size_t index, bool final_read, Piece piece) {
    reading_ = false;
    Feed& feed = feeds_[index];
    for (LogLine& line : piece.lines) feed.lines.push_back(std::move(line));
    if (piece.more) feed.fresh = true;
    if (!piece.status.ok()) feed.lines.push_back(Complaint(piece.status));
    if (!piece.status.ok() || (final_read && !piece.more)) feed.at_end = true;
    Pump();
  }

  // In the place of the lines that cannot be read.
  LogLine Complaint(const absl::Status& status) const {
    LogLine line;
    line.unix_nanos = absl::ToUnixNanos(owner_.env_.clock.WallNow());
    line.from_stderr = true;
    line.data = StrCat("swarm-agent: the rest of this log cannot be read: ", status.message());
    return line;
  }

  absl::Status WatchFolders() {
    inotify_.Reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!inotify_.valid()) return ErrnoStatus(errno, "follow logs");
    for (Feed& feed : feeds_) {
      if (feed.finished) continue;
      const absl::Status watched = WatchFolder(feed);
      if (!watched.ok() && !absl::IsNotFound(watched)) return watched;
    }
    WatchAgain();
    return absl::OkStatus();
  }
  // NotFound while the task is not prepared.
  absl::Status WatchFolder(Feed& feed) {
    feed.watch = ::inotify_add_watch(inotify_.get(), feed.source.directory.c_str(),
                                     IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF);
    if (feed.watch < 0) return ErrnoStatus(errno, "follow logs");
    return absl::OkStatus();
  }
  void WatchAgain() {
    watch_ = owner_.env_.loop.WatchReadable(inotify_.get(), [this] {
      watch_ = 0;
      OnFoldersChanged();
    });
  }
  void OnFoldersChanged() {
    alignas(struct inotify_event) char buffer[4096];
    ssize_t n;
    while ((n = ::read(inotify_.get(), buffer, sizeof buffer)) > 0) {
      for (ssize_t at = 0; at < n;) {
        const auto* event = reinterpret_cast<const struct inotify_event*>(buffer + at);
        OnFolderChanged(*event);
        at += static_cast<ssize_t>(sizeof(*event) + event->len);
      }
    }
    WatchAgain();
    Pump();
  }
  void OnFolderChanged(const struct inotify_event& event) {
    for (Feed& feed : feeds_) {
      const bool overflow = (event.mask & IN_Q_OVERFLOW) != 0;
      if (!overflow && feed.watch != event.wd) continue;
      feed.fresh = true;
      if ((event.mask & IN_DELETE_SELF) != 0) feed.source.finished = true;
    }
  }

  LogPublisher& owner_;
  const std::string id_;
  const v1::LogOptions options_;
  std::vector<Feed> feeds_;
  std::unique_ptr<LogStream> stream_;
  UniqueFd inotify_;
  WatchId watch_ = 0;
  bool sending_ = false;
  bool reading_ = false;
  bool ended_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

LogPublisher::LogPublisher(const Env& env, LogConnector& connector, LogHost& host)
    : env_(env), connector_(connector), host_(host) {}

LogPublisher::~LogPublisher() = default;

void LogPublisher::Begin(const v1::LogRequest& request) {
  const std::string& id = request.subscription_id();
  if (subscriptions_.contains(id)) return;
  if (subscriptions_.size() >= kMaxSubscriptions) {
    return host_.OnLogFailure(
        id, StrCat("this node serves ", kMaxSubscriptions, " log readers already"));
  }
  auto subscription = std::make_unique<Subscription>(*this, request);
  const absl::Status begun = subscription->Begin();
  if (!begun.ok()) return host_.OnLogFailure(id, std::string(begun.message()));
  subscriptions_.emplace(id, std::move(subscription));
}

void LogPublisher::OnTaskReport(const std::string& task_id, bool ended) {
  for (auto& [id, subscription] : subscriptions_) subscription->OnTaskReport(task_id, ended);
}

void LogPublisher::StopAll() {
  for (auto& [id, subscription] : std::exchange(subscriptions_, {})) {
    env_.loop.Post([subscription = std::move(subscription)] {});
  }
}

// Destroyed in a turn of its own: this is called from inside it.
void LogPublisher::Ended(const std::string& subscription_id, absl::Status status) {
  auto node = subscriptions_.extract(subscription_id);
  if (node.empty()) return;
  if (!status.ok()) host_.OnLogFailure(node.key(), std::string(status.message()));
  env_.loop.Post([subscription = std::move(node.mapped())] {});
}

}  // namespace swarm::agent
