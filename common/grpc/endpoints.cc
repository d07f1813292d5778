#include "common/grpc/endpoints.h"

#include <grpc/impl/codegen/grpc_types.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/support/channel_arguments.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "common/grpc/credentials.h"

namespace swarm::edge {
namespace {

constexpr int kMaxMessage = 4 << 20;
constexpr int kMaxJoinMessage = 64 << 10;
constexpr int kMaxHeaders = 16 << 10;
constexpr int kHandshakeMillis = 10'000;
// What a stream may hold that its reader has not taken yet. gRPC by itself lets that grow with the
// connection's speed, to several MiB a stream on a fast one: a few hundred readers that are slow
// would fill the memory of whoever stands in between. This window is 500 MB/s a stream
// at 1 ms there and back, and 10 MB/s at 50 ms.
constexpr int kStreamWindow = 512 << 10;
constexpr int kKeepaliveMillis = 10'000;
constexpr int kKeepaliveTimeoutMillis = 5'000;

int Millis(absl::Duration d) { return static_cast<int>(absl::ToInt64Milliseconds(d)); }

// Destroys channels on a thread of its own: gRPC deadlocks when the last reference to one falls
// inside a callback of its own. Lives as long as the process.
class ChannelGrave {
 public:
  static ChannelGrave& Get() {
    static ChannelGrave& grave = *new ChannelGrave;
    return grave;
  }
  void Bury(std::shared_ptr<::grpc::Channel> channel) {
    std::lock_guard lock(mu_);
    dead_.push_back(std::move(channel));
    if (!running_) {
      running_ = true;
      std::thread([this] { Run(); }).detach();
    } else {
      wake_.notify_one();
    }
  }

 private:
  void Run() {
    std::unique_lock lock(mu_);
    while (true) {
      wake_.wait(lock, [this] { return !dead_.empty(); });
      std::deque<std::shared_ptr<::grpc::Channel>> unused;
      for (size_t left = dead_.size(); left > 0; --left) {
        auto channel = std::move(dead_.front());
        dead_.pop_front();
        // Calls hold it too; the last of them may be inside a callback just now.
        (channel.use_count() == 1 ? unused : dead_).push_back(std::move(channel));
      }
      lock.unlock();
      unused.clear();
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      lock.lock();
    }
  }

  std::mutex mu_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<::grpc::Channel>> dead_;
  bool running_ = false;
};

}  // namespace

void ConfigureServer(::grpc::ServerBuilder& builder, ServerKind kind) {
  InitGrpcForTls13();
  const bool join = kind == ServerKind::kJoin;
  builder.SetMaxReceiveMessageSize(join ? kMaxJoinMessage : kMaxMessage);
  builder.SetMaxSendMessageSize(kMaxMessage);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxHeaders);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kStreamWindow);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, join ? 4 : 1000);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMillis);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  if (join) {
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, 30'000);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, 120'000);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, 10'000);
  }
  if (kind == ServerKind::kControl) {
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMillis);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMillis);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    // Clients ping every 10 s; faster than every 4 s is a flood.
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 4'000);
  }
}

void ShutdownServer(::grpc::Server& server, absl::Duration grace) {
  server.Shutdown(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(grace));
  server.Wait();
}

std::shared_ptr<::grpc::Channel> MakeChannel(
    const std::string& target, std::shared_ptr<::grpc::ChannelCredentials> credentials,
    ChannelOptions options) {
  InitGrpcForTls13();
  ::grpc::ChannelArguments args;
  args.SetMaxReceiveMessageSize(kMaxMessage);
  args.SetMaxSendMessageSize(kMaxMessage);
  args.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  args.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kStreamWindow);
  args.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  args.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, Millis(options.min_reconnect));
  // In spite of its name: the least time that gRPC 1.51 gives an attempt before it fails.
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, Millis(options.connect_timeout));
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, Millis(options.max_reconnect));
  if (!absl::StartsWith(target, "unix:")) {
    args.SetSslTargetNameOverride(options.server_name);
    args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMillis);
    args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMillis);
    args.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  }
  auto channel = ::grpc::CreateCustomChannel(target, credentials, args);
  ::grpc::Channel* raw = channel.get();
  // The handle that callers hold: its end buries the channel instead of destroying it.
  std::shared_ptr<void> handle(nullptr, [channel = std::move(channel)](void*) mutable {
    ChannelGrave::Get().Bury(std::move(channel));
  });
  return std::shared_ptr<::grpc::Channel>(std::move(handle), raw);
}

}  // namespace swarm::edge
