#include "memory_need.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "core/error.h"
#include "core/platform/file.h"
#include "core/platform/memory.h"

namespace clip_es::train {
namespace {

// Bytes per pixel of a crop for what the backward pass keeps, and the number of weights. Measured on the CPU; a class adds its logits.
struct NetworkNeed {
  const char* name;
  double activations, class_activations, weights;
};
constexpr NetworkNeed kNeeds[] = {{"small", 500, 12, 1.4e6}, {"deeplabv2-resnet50", 3200, 1, 25e6}, {"deeplabv2-resnet101", 6000, 1, 44e6}};

constexpr double kProgram = 150e6;  // LibTorch's code and tables
constexpr double kGigabyte = 1e9;
constexpr int64_t kSmallestCrop = 65;

double cost_of_scales(const NetworkSettings& network) {
  double cost = 1;
  for (const double scale : network.msc) cost += scale * scale;
  return cost;
}

// The kilobytes that a line of /proc/meminfo gives, in bytes; 0 if it is missing.
double meminfo_bytes(const std::string& key) {
  const std::string text = platform::read_text("/proc/meminfo");
  double kilobytes = 0;
  if (const size_t at = text.find(key + ":"); at != text.npos) std::sscanf(text.c_str() + at + key.size() + 1, "%lf", &kilobytes);
  return 1024 * kilobytes;
}

// What `ulimit -v` leaves; the first number of the file is the size of the address space in pages.
double free_address_space() {
  rlimit limit{};
  double pages = 0;
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return 1e18;
  std::sscanf(platform::read_text("/proc/self/statm").c_str(), "%lf", &pages);
  return static_cast<double>(limit.rlim_cur) - pages * static_cast<double>(sysconf(_SC_PAGE_SIZE));
}

std::string gigabytes(double bytes) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f GB", bytes / kGigabyte);
  return text;
}

std::string pair_of(int64_t batch, int64_t crop) { return "batch " + std::to_string(batch) + " with crop " + std::to_string(crop); }

}  // namespace

double needed_bytes(const TrainJob& job, int64_t batch, int64_t crop) {
  const auto* need = std::find_if(std::begin(kNeeds), std::end(kNeeds), [&](const NetworkNeed& n) { return n.name == job.network.name; });
  if (need == std::end(kNeeds)) return 0;  // an unknown name, which make_network() refuses
  const double pixels = static_cast<double>(batch * crop * crop);
  const double activations = need->activations + need->class_activations * static_cast<double>(job.classes.size());
  constexpr double kCopies = 4 * sizeof(float);  // weights, gradients, momentum, and a checkpoint that is read
  constexpr double kBatchBytes = 3 * sizeof(float) + 1 + sizeof(float);
  return kProgram + pixels * activations * cost_of_scales(job.network) + need->weights * kCopies + pixels * kBatchBytes * (job.loaders + 3);
}

double available_bytes() {
  const double used = static_cast<double>(platform::resident_bytes());
  const double machine = meminfo_bytes("MemAvailable");
  const double container = static_cast<double>(platform::memory_limit()) - used;
  return std::min({machine > 0 ? machine : container, container, free_address_space()});
}

std::string what_fits(const TrainJob& job, double available) {
  const int64_t batch = job.training.batch, crop = job.training.crop;
  const auto fits = [&](int64_t b, int64_t c) { return needed_bytes(job, b, c) <= available; };
  std::string advice;
  int64_t smaller = batch - 1;
  while (smaller > 0 && !fits(smaller, crop)) --smaller;
  if (smaller > 0) advice = pair_of(smaller, crop);
  int64_t narrower = (crop - 2) / 8 * 8 + 1;
  while (narrower >= kSmallestCrop && !fits(batch, narrower)) narrower -= 8;
  if (narrower >= kSmallestCrop) advice += (advice.empty() ? "" : ", or ") + pair_of(batch, narrower);
  if (!advice.empty()) return advice + " would fit";
  return fits(1, kSmallestCrop) ? pair_of(1, kSmallestCrop) + " would fit"
                                : "no batch and crop would fit; use the network small or another machine";
}

void check_memory(const TrainJob& job) {
  const double needed = needed_bytes(job, job.training.batch, job.training.crop), available = available_bytes();
  if (needed <= available) return;
  throw Error(ErrorCode::kOutOfMemory, job.network.name + " needs about " + gigabytes(needed) + " of memory for " +
                                           pair_of(job.training.batch, job.training.crop) + ", but " + gigabytes(available) +
                                           " are available; " + what_fits(job, available));
}

}  // namespace clip_es::train
