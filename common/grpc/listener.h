// Listener: our own accept loop in front of a gRPC server, where the limits before authentication
// are.
//
//   ASSIGN_OR_RETURN(auto listener, ListenTcp("0.0.0.0:2377", {}));
//   ::grpc::ServerBuilder builder;
//   listener->AttachTo(builder, MutualTlsServerCredentials(source));
//   auto server = builder.BuildAndStart();
//   listener->Start();
//   …
//   listener->Stop();                    // first: no connection reaches a dying server
//   ShutdownServer(*server, absl::Seconds(2));
//
// The socket is bound before the server exists, so a port that is taken is an error at once. One
// thread each. Connections that wait for their turn stay in the kernel's backlog.
#ifndef SWARM_COMMON_GRPC_LISTENER_H_
#define SWARM_COMMON_GRPC_LISTENER_H_

#include <grpcpp/server_builder.h>
#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace swarm::edge {

struct ListenLimits {
  // Connections that are open at once; above it a new one is accepted and closed.
  size_t max_connections = 20'000;
  // Open at once from one address (TCP only); 0 is no limit of its own.
  size_t max_connections_per_address = 0;
  // New connections let through per second, on average and at once. What comes faster waits in the
  // kernel's backlog: 10,000 agents that reconnect are slowed down, not sent away.
  double connections_per_second = 1'000;
  double burst = 2'000;
};
// For the join port: few, slow, small.
ListenLimits JoinPortLimits();

struct UnixSocketOptions {
  std::string
      path;  // its folder exists; a dead socket at the path is replaced, a live one is an error
  mode_t mode = 0660;
  // Its members are let in besides root and this process's own user. Empty, or a group that does
  // not exist: nobody else.
  std::string group;
};

// Start, Stop and destruction: one thread, not a gRPC callback.
class Listener {
 public:
  // Stops, and removes its unix socket.
  virtual ~Listener() = default;
  // Once, before BuildAndStart.
  virtual void AttachTo(::grpc::ServerBuilder& builder,
                        std::shared_ptr<::grpc::ServerCredentials> credentials) = 0;
  // Once, after BuildAndStart.
  virtual void Start() = 0;
  // Returns when the accept thread has ended. Open connections are the server's.
  virtual void Stop() = 0;
  // Where it really listens: "127.0.0.1:43121" (port 0 was asked), "unix:/run/…".
  virtual const std::string& address() const = 0;

  struct Counters {
    uint64_t accepted = 0;
    uint64_t refused_full = 0;     // above max_connections, or descriptors ran out
    uint64_t refused_address = 0;  // above max_connections_per_address
    uint64_t refused_user = 0;     // SO_PEERCRED
  };
  virtual Counters counters() const = 0;
};

// host:port, IPv6 in brackets; the host is an address, not a name. AlreadyExists when the port is
// taken.
absl::StatusOr<std::unique_ptr<Listener>> ListenTcp(const std::string& addr, ListenLimits limits);

// Root, this process's own user, and whoever has `group` among their groups when they connect get
// through; others are closed at once. AlreadyExists when somebody listens at the path.
absl::StatusOr<std::unique_ptr<Listener>> ListenUnix(UnixSocketOptions options,
                                                     ListenLimits limits);

}  // namespace swarm::edge

#endif  // SWARM_COMMON_GRPC_LISTENER_H_
