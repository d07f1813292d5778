// One place for the settings of every gRPC server and channel of the project: keepalive, sizes,
// limits.
#ifndef SWARM_COMMON_GRPC_ENDPOINTS_H_
#define SWARM_COMMON_GRPC_ENDPOINTS_H_

#include <grpcpp/channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <memory>
#include <string>

#include "absl/time/time.h"

namespace swarm::edge {

enum class ServerKind {
  kControl,  // 4 MiB messages, 1000 streams a connection
  kJoin,   // 64 KiB messages, 4 streams, idle connections closed after 30 s, none older than 2 min
  kLocal,  // as kControl, without keepalive
};

// Turns gRPC's own reflection and health plugins off and sets the limits; of a stream 512 KiB are
// held at most that nobody has read. Before BuildAndStart.
void ConfigureServer(::grpc::ServerBuilder& builder, ServerKind kind);

// Cancels calls that are still open after `grace` and returns when the last one is finished. Never
// from a gRPC callback or the event loop that its calls post to.
void ShutdownServer(::grpc::Server& server, absl::Duration grace);

struct ChannelOptions {
  // The name that the server's certificate must have; ignored for unix sockets.
  std::string server_name = "swarm-manager";
  // What one attempt may take, handshakes included: as long as servers give it, so that a slow or
  // distant server is not given up while it answers.
  absl::Duration connect_timeout = absl::Seconds(10);
  // Delays between attempts that failed; the application's own backoff comes on top.
  absl::Duration min_reconnect = absl::Milliseconds(200);
  absl::Duration max_reconnect = absl::Seconds(5);
};

// `target` is host:port or unix:/path. Keepalive after 10 s of silence, dead after 5 s without an
// answer; no hidden retries; never through an HTTP proxy; a connection of its own (channels with
// the same settings do not share). The last reference may be dropped anywhere, also inside a gRPC
// callback: the channel itself is destroyed on a thread of its own, once no call holds it.
std::shared_ptr<::grpc::Channel> MakeChannel(
    const std::string& target, std::shared_ptr<::grpc::ChannelCredentials> credentials,
    ChannelOptions options = {});

}  // namespace swarm::edge

#endif  // SWARM_COMMON_GRPC_ENDPOINTS_H_
