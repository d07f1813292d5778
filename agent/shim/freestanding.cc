// What the compiler expects of a C library, and the first instruction of the program.
#include <stddef.h>

#include "agent/shim/sys.h"

extern "C" {

void* memcpy(void* __restrict to, const void* __restrict from, size_t size) {
#if defined(__x86_64__)
  void* result = to;
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
  return result;
#else
  auto* t = static_cast<unsigned char*>(to);
  auto* f = static_cast<const unsigned char*>(from);
  while (size-- != 0) *t++ = *f++;
  return to;
#endif
}

void* memmove(void* to, const void* from, size_t size) {
  auto* t = static_cast<unsigned char*>(to);
  auto* f = static_cast<const unsigned char*>(from);
  if (t <= f) {
    while (size-- != 0) *t++ = *f++;
  } else {
    while (size-- != 0) t[size] = f[size];
  }
  return to;
}

void* memset(void* to, int value, size_t size) {
#if defined(__x86_64__)
  void* result = to;
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(value) : "memory");
  return result;
#else
  auto* t = static_cast<unsigned char*>(to);
  while (size-- != 0) *t++ = static_cast<unsigned char>(value);
  return to;
#endif
}

int memcmp(const void* a, const void* b, size_t size) {
  auto* x = static_cast<const unsigned char*>(a);
  auto* y = static_cast<const unsigned char*>(b);
  for (; size != 0; --size, ++x, ++y) {
    if (*x != *y) return *x - *y;
  }
  return 0;
}

size_t strlen(const char* s) {
  size_t n = 0;
  while (s[n] != 0) ++n;
  return n;
}

int Main(long* stack);

[[noreturn]] void SwarmStart(long* stack) { swarm::sys::Exit(Main(stack)); }

}  // extern "C"

#if defined(__x86_64__)
__asm__(
    ".text\n.global _start\n.type _start,@function\n_start:\n"
    "  xor %ebp, %ebp\n  mov %rsp, %rdi\n  and $-16, %rsp\n  call SwarmStart\n  hlt\n");
#elif defined(__aarch64__)
__asm__(
    ".text\n.global _start\n.type _start,%function\n_start:\n"
    "  mov x29, #0\n  mov x30, #0\n  mov x0, sp\n  and sp, x0, #-16\n  bl SwarmStart\n  brk #0\n");
#endif
