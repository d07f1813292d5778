// Chance, as an interface: the kernel's in production, a seed's in tests and simulation.
#ifndef SWARM_COMMON_RANDOM_H_
#define SWARM_COMMON_RANDOM_H_

#include <cstdint>
#include <memory>
#include <string>

namespace swarm {

// Any thread may call a SystemRandom; a SeededRandom belongs to one.
class Random {
 public:
  virtual ~Random() = default;
  virtual uint64_t Next() = 0;
  // Uniform in [0, bound); bound > 0.
  uint64_t Below(uint64_t bound);
  // Uniform in [0, 1).
  double Fraction();
  std::string Bytes(size_t count);
};

// getrandom(2): fit for keys and tokens.
std::unique_ptr<Random> MakeSystemRandom();
// Same seed, same sequence, on every machine. Never for secrets.
std::unique_ptr<Random> MakeSeededRandom(uint64_t seed);

}  // namespace swarm

#endif  // SWARM_COMMON_RANDOM_H_
