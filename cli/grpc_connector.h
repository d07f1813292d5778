// The Connector over gRPC. Nothing else of the command line knows gRPC.
#ifndef SWARM_CLI_GRPC_CONNECTOR_H_
#define SWARM_CLI_GRPC_CONNECTOR_H_

#include <memory>

#include "cli/client.h"
#include "cli/env.h"

namespace swarm::cli {

// Ctrl-C cancels the call that is under way. `interrupt` outlives the connector and its clients.
std::unique_ptr<Connector> MakeGrpcConnector(Interrupt& interrupt);

}  // namespace swarm::cli

#endif  // SWARM_CLI_GRPC_CONNECTOR_H_
