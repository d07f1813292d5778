#include "agent/shim/descriptors.h"

#include <sys/socket.h>

#include "agent/shim/sys.h"

namespace swarm::shim {

long SendDescriptor(int socket, const void* data, size_t size, int fd) {
  struct iovec part = {const_cast<void*>(data), size};
  alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
  struct msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof fd);
  __builtin_memcpy(CMSG_DATA(header), &fd, sizeof fd);
  const long n = sys::Call(SYS_sendmsg, socket, sys::Arg(&message), MSG_NOSIGNAL);
  return n < 0 ? n : 0;
}

long ReceiveDescriptors(int socket, void* data, size_t size, int* fds, int most) {
  constexpr int kMost = 2;
  for (int i = 0; i < most; ++i) fds[i] = -1;
  struct iovec part = {data, size};
  alignas(struct cmsghdr) char control[CMSG_SPACE(kMost * sizeof(int))] = {};
  struct msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const long n = sys::Call(SYS_recvmsg, socket, sys::Arg(&message), MSG_CMSG_CLOEXEC);
  const struct cmsghdr* header = n < 0 ? nullptr : CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
    return n;
  }
  const int count = static_cast<int>((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
  for (int i = 0; i < count && i < kMost; ++i) {
    int fd = -1;
    __builtin_memcpy(&fd, CMSG_DATA(header) + static_cast<size_t>(i) * sizeof fd, sizeof fd);
    if (i < most) {
      fds[i] = fd;
    } else {
      sys::Close(fd);
    }
  }
  return n;
}

}  // namespace swarm::shim
