// A few bytes of text without a C library: bounded, never allocating.
#ifndef SWARM_AGENT_SHIM_TEXT_H_
#define SWARM_AGENT_SHIM_TEXT_H_

#include <stddef.h>
#include <stdint.h>

namespace swarm::text {

inline size_t Length(const char* s) {
  size_t n = 0;
  while (s[n] != 0) ++n;
  return n;
}

inline bool Equal(const char* a, const char* b) {
  while (*a != 0 && *a == *b) ++a, ++b;
  return *a == *b;
}

inline bool StartsWith(const char* s, const char* prefix) {
  while (*prefix != 0) {
    if (*s++ != *prefix++) return false;
  }
  return true;
}

// Null when `c` is not in `s`.
inline const char* Find(const char* s, char c) {
  for (; *s != 0; ++s) {
    if (*s == c) return s;
  }
  return nullptr;
}

constexpr size_t kMostDigits = 20;  // of a uint64_t

// Digits only, at most `max`. Signs, spaces, other bases and the empty text are refused.
inline bool ParseNumber(const char* s, size_t size, uint64_t max, uint64_t* out) {
  if (size == 0 || size > kMostDigits) return false;
  uint64_t value = 0;
  for (size_t i = 0; i < size; ++i) {
    if (s[i] < '0' || s[i] > '9') return false;
    const uint64_t digit = static_cast<uint64_t>(s[i] - '0');
    if (value > (UINT64_MAX - digit) / 10) return false;
    value = value * 10 + digit;
  }
  if (value > max) return false;
  *out = value;
  return true;
}

// The decimal digits, the last first; how many.
inline int Digits(uint64_t value, char* out) {
  int n = 0;
  do {
    out[n++] = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value != 0);
  return n;
}

// A string of at most N - 1 bytes that ends in NUL at every moment; what does not fit is left out
// and makes whole() false.
template <size_t N>
class Buffer {
 public:
  Buffer() { data_[0] = 0; }
  Buffer& Add(char c) {
    if (size_ + 1 < N) {
      data_[size_++] = c;
      data_[size_] = 0;
    } else {
      whole_ = false;
    }
    return *this;
  }
  Buffer& Add(const char* s) {
    for (; *s != 0; ++s) Add(*s);
    return *this;
  }
  Buffer& Add(const char* s, size_t size) {
    for (size_t i = 0; i < size; ++i) Add(s[i]);
    return *this;
  }
  Buffer& AddNumber(uint64_t value) {
    char digits[kMostDigits];
    for (int n = Digits(value, digits); n > 0;) Add(digits[--n]);
    return *this;
  }
  void Clear() {
    size_ = 0;
    data_[0] = 0;
    whole_ = true;
  }
  void Cut(size_t size) {
    if (size < size_) {
      size_ = size;
      data_[size_] = 0;
    }
  }
  const char* c_str() const { return data_; }
  char* data() { return data_; }
  size_t size() const { return size_; }
  bool whole() const { return whole_; }

 private:
  char data_[N];
  size_t size_ = 0;
  bool whole_ = true;
};

}  // namespace swarm::text

#endif  // SWARM_AGENT_SHIM_TEXT_H_
