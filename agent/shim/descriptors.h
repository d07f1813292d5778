// Descriptors over unix sockets.
#ifndef SWARM_AGENT_SHIM_DESCRIPTORS_H_
#define SWARM_AGENT_SHIM_DESCRIPTORS_H_

#include <stddef.h>

namespace swarm::shim {

// One message of `size` bytes with one descriptor. 0 or -errno.
long SendDescriptor(int socket, const void* data, size_t size, int fd);

// The next message, or -errno; up to `most` (at most 2) descriptors that came with it are
// close-on-exec in `fds`, the others -1.
long ReceiveDescriptors(int socket, void* data, size_t size, int* fds, int most);

}  // namespace swarm::shim

#endif  // SWARM_AGENT_SHIM_DESCRIPTORS_H_
