// Measures how long each stage of the engine takes, on a synthetic photo.
//   clip_es_bench --model FILE [--libtorch DIR] [--device cpu|cuda[:N]] [--size WxH] [--labels K] [--threads T]
//                 [--precision float32|bfloat16|int8] [--repeat R] [--classes FILE] [--batch B] [--concurrency C]
//   clip_es_bench --device cuda --estimate [--model FILE] [--size WxH] [--labels K] [--precision float32|bfloat16] [--batch B]
// --classes FILE   uses the texts of a class set that ClassSet.save wrote: all classes, or the first K. Without it the texts are random,
//                  because the speed does not depend on their values.
// --batch B        computes B photos together. The times are per photo.
// --concurrency C  also runs C segmenters at the same time, each with T threads, and prints their photos per second.
// --estimate       measures nothing: see estimate.h.
// The table shows each stage's share of the peak. The peak is the speed of LibTorch's products in the encoder's shapes on the same device;
// without --libtorch and $CLIP_ES_LIBTORCH it is the speed of the engine's own products. On a GPU the table also shows the share of the
// roofline: the shortest time that the peak and the memory bandwidth allow, divided by the time of the stage.
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <limits>
#include <memory>

#include "clip/linear.h"
#include "clip/preprocess.h"
#include "estimate.h"
#include "input.h"
#include "options.h"
#include "peak.h"
#include "repeated_photo.h"
#include "segmenter.h"
#include "torch/library.h"
#include "work.h"

using namespace clip_es;

namespace {

template <class Body>
double seconds(Body body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

struct Measured {
  StageTimes stages;
  double total = std::numeric_limits<double>::infinity();  // seconds of one photo
  double peak_memory = 0;                                  // megabytes
  uint64_t allocations = 0;                                // after the warm-up
  std::unique_ptr<PeakProbe> probe;                        // on the CPU
};

// Keeps the fastest run, because other programs can only make a run slower.
Measured measure(const BenchOptions& o, Segmenter& segmenter, RepeatedPhoto& batch, int64_t tokens) {
  constexpr int kWarmUp = 2;
  const bool cpu = o.device == "cpu";
  ThreadPool pool(o.threads, torch::use_one_thread);
  Arena arena;
  HostContext context{pool, arena};
  Measured best;
  uint64_t settled = 0;
  for (int i = 0; i < o.repeat + kWarmUp; ++i) {
    if (i == kWarmUp) settled = segmenter.allocations();
    StageTimes times;
    const double total = seconds([&] { times = batch.run(segmenter); }) / o.batch;
    if (i < kWarmUp) continue;
    if (i == kWarmUp) best.peak_memory = peak_megabytes();  // before the probe allocates its matrices
    if (cpu && !best.probe) best.probe = std::make_unique<PeakProbe>(tokens, segmenter.model().shape.width, o.precision);
    if (cpu) best.probe->round(context);
    if (total >= best.total) continue;
    best.stages = times;
    best.total = total;
  }
  best.allocations = segmenter.allocations() - settled;
  return best;
}

// Photos per second of `count` clones of `first` that work at the same time, each on its own thread.
double throughput(const BenchOptions& o, int count, const Segmenter& first, const std::vector<uint8_t>& rgb, const ClassSet& classes) {
  std::vector<std::unique_ptr<Segmenter>> segmenters;
  std::vector<std::unique_ptr<RepeatedPhoto>> batches;
  for (int i = 0; i < count; ++i) {
    segmenters.push_back(first.clone(o.threads));
    batches.push_back(std::make_unique<RepeatedPhoto>(o, rgb, classes));
    batches.back()->run(*segmenters.back());  // warms up
  }
  const double time = seconds([&] {
    std::vector<std::jthread> threads;
    for (int i = 0; i < count; ++i)
      threads.emplace_back([&, i] {
        for (int round = 0; round < o.repeat; ++round) batches[i]->run(*segmenters[i]);
      });
  });
  return static_cast<double>(count * o.repeat * o.batch) / time;
}

void print_header(const BenchOptions& o, const Segmenter& segmenter, const Grid& grid, const ClassSet& classes, double load_time) {
  const ModelShape& shape = segmenter.model().shape;
  std::printf("%s: patch %ld, width %ld, %ld layers; %s, %s on %s, %d threads\n", o.model.c_str(), static_cast<long>(shape.patch),
              static_cast<long>(shape.width), static_cast<long>(shape.layers),
              (torch::is_loaded() ? "LibTorch " + torch::version() : "no LibTorch").c_str(), name_of(o.precision),
              segmenter.device().c_str(), o.threads);
  std::printf("%ld x %ld photo, %ld patches, %zu labels, %zu background texts; loaded in %.2f s; best of %d runs%s\n\n",
              static_cast<long>(o.width), static_cast<long>(o.height), static_cast<long>(grid.patches()), classes.names.size(),
              classes.background.size(), load_time, o.repeat,
              o.batch > 1 ? (" of " + std::to_string(o.batch) + " photos together; times of one photo").c_str() : "");
}

void print_row(const char* stage, double time, double total, const Work& work, const Peak& peak) {
  std::printf("  %-12s %9.5f s %6.1f %%", stage, time, 100 * time / total);
  if (work.flops > 0)
    std::printf(" %9.2f GFLOP %8.1f GFLOP/s %6.1f %% of peak", work.flops / 1e9, work.flops / time / 1e9,
                100 * work.flops / time / peak.flops);
  if (work.flops > 0 && peak.bytes > 0)
    std::printf(" %8.1f MB %6.1f %% of the roofline", work.bytes / 1e6,
                100 * std::max(work.flops / peak.flops, work.bytes / peak.bytes) / time);
  std::printf("\n");
}

void print_stages(const Measured& best, const StageWork& work, const Peak& peak) {
  print_row("preprocess", best.stages.preprocess, best.total, {}, peak);
  print_row("encode", best.stages.encode, best.total, work.encode, peak);
  print_row("gradcam", best.stages.gradcam, best.total, work.gradcam, peak);
  print_row("caa", best.stages.refine, best.total, work.caa, peak);
  print_row("masks", best.stages.mask, best.total, {}, peak);
  print_row("total", best.total, best.total, {}, peak);
}

void print_peak(const BenchOptions& o, const Measured& best, const Peak& peak, bool is_library) {
  std::printf("\n  peak: %s %s products of the block's four shapes on %s: %.1f GFLOP/s", is_library ? "LibTorch's" : "the engine's own",
              name_of(o.precision), o.device.c_str(), peak.flops / 1e9);
  if (peak.bytes > 0) std::printf("; copies within its memory: %.0f GB/s", peak.bytes / 1e9);
  std::printf("\n");
  if (best.probe) std::printf("  the engine's own products, measured between the runs: %.1f GFLOP/s\n", best.probe->engine() / 1e9);
  if (o.precision == Precision::kInt8)
    std::printf("  int8 is used by the linear layers of all blocks except the last; attention, the last block and gradcam use bfloat16\n");
}

void run(const BenchOptions& o) {
  if (!o.libtorch.empty()) torch::load_library(o.libtorch);
  torch::use_one_thread();
  std::unique_ptr<Segmenter> segmenter;
  const double load_time = seconds([&] {
    segmenter = std::make_unique<Segmenter>(
        o.model, SegmenterSettings{.precision = o.precision, .threads = o.threads, .max_side = 0, .device = o.device});
  });
  const Model& model = segmenter->model();
  const Grid grid = patch_grid({o.width, o.height}, model.shape.patch, 0);
  const int64_t tokens = o.batch * grid.tokens();
  const std::vector<uint8_t> rgb = synthetic_photo(o.width, o.height);
  const ClassSet classes = make_classes(o, model);
  RepeatedPhoto batch(o, rgb, classes);
  const Measured best = measure(o, *segmenter, batch, tokens);

  const bool is_library = !best.probe || best.probe->library() > 0;
  const Peak peak = best.probe ? Peak{is_library ? best.probe->library() : best.probe->engine(), 0}
                               : gpu_peak(o.device, o.precision, tokens, model.shape.width);
  print_header(o, *segmenter, grid, classes, load_time);
  print_stages(best, count_work(model, o.precision, grid, static_cast<int64_t>(classes.names.size()), classes.first_row.back(), o.batch),
               peak);
  print_peak(o, best, peak, is_library);
  std::printf("  peak memory %.0f MB, of which weights and workspace %.0f MB; %lu workspace allocations after warm-up\n", best.peak_memory,
              static_cast<double>(segmenter->bytes()) / 1e6, static_cast<unsigned long>(best.allocations));
  if (o.concurrency == 1) return;
  const double one = throughput(o, 1, *segmenter, rgb, classes), all = throughput(o, o.concurrency, *segmenter, rgb, classes);
  std::printf("  %d segmenters at the same time: %.2f photos/s, %.2f times as many as one\n", o.concurrency, all, all / one);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const BenchOptions options = parse(argc, argv);
    if (options.help) std::fputs(kUsage, stdout);
    else if (options.estimate) print_estimate(options);
    else run(options);
  } catch (const UsageError& e) {
    std::fprintf(stderr, "%s\n%s", e.what(), kUsage);
    return 2;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
