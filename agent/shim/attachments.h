// Who looks at the container's output while it comes: pipes of agents (protocol.h, kAttachFd).
#ifndef SWARM_AGENT_SHIM_ATTACHMENTS_H_
#define SWARM_AGENT_SHIM_ATTACHMENTS_H_

#include <stddef.h>

#include "agent/shim/protocol.h"

namespace swarm::shim {

class Attachments {
 public:
  // Makes kAttachFd and kAttachPeerFd, and keeps kStdinFd's number from others. 0 or -errno.
  static long Open();

  // Something is at kAttachFd. One too many of those that still read is closed at once.
  void Accept();
  // Never waits: who has not read what came before is cut off.
  void Give(bool from_stderr, const char* data, size_t size);

 private:
  struct Attached {
    int out = -1;
    int err = -1;
  };
  static void Drop(Attached* attached);
  void DropGone();
  bool AcceptOne();  // false when there is none

  Attached all_[kMostAttached];
};

}  // namespace swarm::shim

#endif  // SWARM_AGENT_SHIM_ATTACHMENTS_H_
