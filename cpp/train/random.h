// Random numbers that depend only on a seed and the position of a sample in the run. No state has to be stored for an exact resume, and the
// threads that load data cannot change each other's numbers.
#pragma once
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

namespace clip_es::train {

// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
class Random {
 public:
  Random(uint64_t seed, uint64_t stream) : state_(mix(mix(seed) ^ stream)) {}

  uint64_t next() {
    state_ += 0x9e3779b97f4a7c15;
    return mix(state_);
  }
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }  // in [0, 1)

 private:
  static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

  uint64_t state_;
};

// Streams of one seed. Samples use their position, which stays far below.
constexpr uint64_t kOrderStream = uint64_t{1} << 62;

// The order of `count` samples in an epoch (Fisher and Yates).
inline std::vector<uint32_t> shuffled(uint32_t count, uint64_t seed, uint64_t epoch) {
  std::vector<uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0u);
  Random random(seed, kOrderStream + epoch);
  for (uint32_t i = count; i > 1; --i) std::swap(order[i - 1], order[random.next() % i]);
  return order;
}

}  // namespace clip_es::train
