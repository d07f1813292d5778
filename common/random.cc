#include "common/random.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "common/check.h"

namespace swarm {
namespace {

class SystemRandom : public Random {
 public:
  uint64_t Next() override {
    uint64_t value = 0;
    size_t have = 0;
    while (have < sizeof(value)) {
      const ssize_t got =
          ::getrandom(reinterpret_cast<char*>(&value) + have, sizeof(value) - have, 0);
      CHECK(got >= 0 || errno == EINTR) << "getrandom: errno " << errno;
      if (got > 0) have += static_cast<size_t>(got);
    }
    return value;
  }
};

uint64_t RotateLeft(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

// xoshiro256** 1.0, seeded with splitmix64 (Blackman and Vigna, public domain).
class SeededRandom : public Random {
 public:
  explicit SeededRandom(uint64_t seed) {
    for (uint64_t& word : state_) {
      seed += 0x9e3779b97f4a7c15;
      uint64_t z = seed;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
      z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
      word = z ^ (z >> 31);
    }
  }
  uint64_t Next() override {
    const uint64_t result = RotateLeft(state_[1] * 5, 7) * 9;
    const uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = RotateLeft(state_[3], 45);
    return result;
  }

 private:
  std::array<uint64_t, 4> state_;
};

}  // namespace

uint64_t Random::Below(uint64_t bound) {
  CHECK(bound > 0);
  // Numbers under 2^64 mod bound would favour the small remainders: draw again.
  const uint64_t uneven = (0 - bound) % bound;
  uint64_t value = Next();
  while (value < uneven) value = Next();
  return value % bound;
}

double Random::Fraction() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }

std::string Random::Bytes(size_t count) {
  std::string bytes(count, '\0');
  for (size_t at = 0; at < count; at += sizeof(uint64_t)) {
    const uint64_t value = Next();
    std::memcpy(bytes.data() + at, &value, std::min(sizeof(value), count - at));
  }
  return bytes;
}

std::unique_ptr<Random> MakeSystemRandom() { return std::make_unique<SystemRandom>(); }
std::unique_ptr<Random> MakeSeededRandom(uint64_t seed) {
  return std::make_unique<SeededRandom>(seed);
}

}  // namespace swarm
