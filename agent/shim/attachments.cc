#include "agent/shim/attachments.h"

#include <sys/socket.h>

#include "agent/shim/descriptors.h"
#include "agent/shim/sys.h"

namespace swarm::shim {

long Attachments::Open() {
  int pair[2];
  long error = sys::Call(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
                         sys::Arg(pair));
  if (error < 0) return error;
  // Above the places that they go to, so that placing one never hits another.
  for (int& fd : pair) {
    const int raised = sys::DupAbove(fd, kStdinFd + 1);
    sys::Close(fd);
    if (raised < 0) return raised;
    fd = raised;
  }
  const int places[] = {kAttachFd, kAttachPeerFd, kStdinFd};
  for (int i = 0; i < 3 && error >= 0; ++i) {
    error = sys::Dup3(pair[i == 1 ? 1 : 0], places[i], O_CLOEXEC);
  }
  for (const int fd : pair) sys::Close(fd);
  return error < 0 ? error : 0;
}

void Attachments::Drop(Attached* attached) {
  if (attached->out >= 0) sys::Close(attached->out);
  if (attached->err >= 0) sys::Close(attached->err);
  *attached = Attached();
}

// A pipe that nobody reads any more says so; without output nothing else would.
void Attachments::DropGone() {
  for (Attached& attached : all_) {
    if (attached.out < 0) continue;
    struct pollfd fds[] = {{attached.out, 0, 0}, {attached.err, 0, 0}};
    if (sys::Poll(fds, 2, 0) > 0) Drop(&attached);
  }
}

bool Attachments::AcceptOne() {
  char byte;
  int fds[2];
  const long n = ReceiveDescriptors(kAttachFd, &byte, sizeof byte, fds, 2);
  if (n < 0) return n == -EINTR;
  Attached made;
  made.out = fds[0];
  made.err = fds[1];
  if (n == 1 && made.out >= 0 && made.err >= 0) {
    DropGone();
    for (Attached& attached : all_) {
      if (attached.out >= 0) continue;
      attached = made;
      return true;
    }
  }
  Drop(&made);
  return true;
}

// All of them: what is read next belongs to each that came before it.
void Attachments::Accept() {
  while (AcceptOne()) {
  }
}

void Attachments::Give(bool from_stderr, const char* data, size_t size) {
  for (Attached& attached : all_) {
    if (attached.out < 0) continue;
    const long n = sys::Write(from_stderr ? attached.err : attached.out, data, size);
    if (n != static_cast<long>(size)) Drop(&attached);
  }
}

}  // namespace swarm::shim
