// Where the engine's time goes, stage by stage, on a synthetic photo with random texts: speed does not depend on their values.
//   clip_es_bench --model FILE [--libtorch DIR] [--device cpu|cuda[:N]] [--size WxH] [--labels K] [--threads T]
//                 [--precision float32|bfloat16|int8] [--repeat R] [--classes FILE] [--batch B] [--concurrency C]
// --classes FILE takes the texts of a class set that ClassSet.save wrote, all of its classes or the first K. --batch: photos computed
// together; times are a photo's. --concurrency: after the table, photos per second of C segmenters side by side, each with T threads.
// Each stage's share of the peak is printed, too: the speed of LibTorch's products of the encoder's shapes on the same device or, without
// --libtorch (default: $CLIP_ES_LIBTORCH), of the engine's own. On a GPU the share of the roofline is the least time that products and
// memory allow.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "class_set.h"
#include "clip/linear.h"
#include "clip/preprocess.h"
#include "peak.h"
#include "segmenter.h"
#include "torch/library.h"
#include "work.h"

using namespace clip_es;

namespace {

constexpr int64_t kBackgroundTexts = 25;  // as many as the paper's list for VOC
constexpr int64_t kRandomLabels = 3;      // a photo's labels, without a class set
constexpr const char* kUsage =
    "usage: clip_es_bench --model FILE [--libtorch DIR] [--device cpu|cuda[:N]] [--size WxH] [--labels K] [--classes FILE]\n"
    "                     [--threads T] [--precision float32|bfloat16|int8] [--repeat R] [--batch B] [--concurrency C]\n";

struct BenchOptions {
  std::string libtorch, model, classes, device = "cpu";
  int64_t width = 500, height = 375, labels = 0;  // labels 0: all of the class set, or kRandomLabels
  int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency())), repeat = 5, batch = 1, concurrency = 1;
  Precision precision = Precision::kFloat32;
};

[[noreturn]] void usage(const std::string& what) {
  std::fprintf(stderr, "%s\n%s", what.c_str(), kUsage);
  std::exit(2);
}

int64_t positive(const std::string& name, const std::string& text, int64_t most) {
  char* end = nullptr;
  const long long value = std::strtoll(text.c_str(), &end, 10);
  if (text.empty() || *end || value < 1 || value > most)
    usage(name + " is " + text + ", expected a number from 1 to " + std::to_string(most));
  return value;
}

BenchOptions parse(int argc, char** argv) {
  BenchOptions o;
  if (const char* folder = std::getenv("CLIP_ES_LIBTORCH")) o.libtorch = folder;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i], value = i + 1 < argc ? argv[i + 1] : "";
    if (name == "--libtorch") o.libtorch = value;
    else if (name == "--model") o.model = value;
    else if (name == "--classes") o.classes = value;
    else if (name == "--device") o.device = value;
    else if (name == "--labels") o.labels = positive(name, value, 254);
    else if (name == "--threads") o.threads = static_cast<int>(positive(name, value, 1024));
    else if (name == "--batch") o.batch = static_cast<int>(positive(name, value, 1024));
    else if (name == "--concurrency") o.concurrency = static_cast<int>(positive(name, value, 64));
    else if (name == "--repeat") o.repeat = static_cast<int>(positive(name, value, 100000));
    else if (name == "--size") {
      const size_t x = value.find('x');
      if (x == std::string::npos) usage("--size is " + value + ", expected WxH");
      o.width = positive(name, value.substr(0, x), 100000);
      o.height = positive(name, value.substr(x + 1), 100000);
    } else if (name != "--precision" || !find_precision(value, o.precision)) {
      usage("cannot read " + name + " " + value);
    }
  }
  if (o.model.empty()) usage("--model is needed");
  if (o.libtorch.empty() && o.device != "cpu") usage("--device " + o.device + " needs --libtorch or CLIP_ES_LIBTORCH");
  return o;
}

std::vector<float> unit_rows(int64_t rows, int64_t columns) {
  std::mt19937 generator(1);
  std::normal_distribution<float> draw;
  std::vector<float> values(static_cast<size_t>(rows * columns));
  for (float& value : values) value = draw(generator);
  for (auto row = values.begin(); row != values.end(); row += columns) {
    float squares = 0;
    for (auto v = row; v != row + columns; ++v) squares += *v * *v;
    for (auto v = row; v != row + columns; ++v) *v /= std::sqrt(squares);
  }
  return values;
}

// The texts of the benchmark: of a file, or random.
ClassSet make_classes(const BenchOptions& o, const Model& model) {
  if (!o.classes.empty()) {
    ClassSet set = read_class_set(o.classes);
    set.require_model(model);
    const auto present = static_cast<int64_t>(set.names.size());
    if (o.labels > present)
      throw Error(ErrorCode::kInvalidArg,
                  "--labels is " + std::to_string(o.labels) + ", but " + o.classes + " has " + std::to_string(present) + " classes");
    std::vector<int64_t> chosen(static_cast<size_t>(o.labels ? o.labels : present));
    std::iota(chosen.begin(), chosen.end(), 0);
    return set.subset(chosen);
  }
  const int64_t labels = o.labels ? o.labels : kRandomLabels, embedding = model.shape.embedding;
  ClassSet set{.model = model.fingerprint_text(),
               .names = std::vector<std::string>(labels),
               .background = std::vector<std::string>(kBackgroundTexts),
               .embedding = embedding,
               .rows = unit_rows(labels + kBackgroundTexts, embedding),
               .first_row = std::vector<int64_t>(labels + 1),
               .background_rows = {}};
  std::iota(set.first_row.begin(), set.first_row.end(), 0);
  const auto own = set.rows.begin() + labels * embedding;
  set.background_rows.assign(own, set.rows.end());
  set.rows.erase(own, set.rows.end());
  return set;
}

// Soft shapes and some noise, so that maps and components are not trivial.
std::vector<uint8_t> synthetic_photo(int64_t width, int64_t height) {
  std::mt19937 generator(2);
  std::vector<uint8_t> rgb;
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x)
      for (int c = 0; c < 3; ++c) {
        const double wave = std::sin(0.02 * static_cast<double>(x) + c) * std::cos(0.03 * static_cast<double>(y));
        rgb.push_back(static_cast<uint8_t>(128 + 100 * wave + static_cast<double>(generator() % 27)));
      }
  return rgb;
}

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

// Photos that are computed again and again, together.
class Batch {
 public:
  Batch(const BenchOptions& o, const std::vector<uint8_t>& rgb, const ClassSet& classes)
      : rgb_(rgb), texts_(classes.texts()), value_(classes.names.size()), options_(o), requests_(static_cast<size_t>(o.batch)) {
    std::iota(value_.begin(), value_.end(), 1);
    texts_.value = value_;
    for (int i = 0; i < o.batch; ++i) masks_.emplace_back(static_cast<size_t>(o.width * o.height));
  }

  // -> times of one photo.
  StageTimes run(Segmenter& segmenter) {
    for (size_t i = 0; i < requests_.size(); ++i)
      requests_[i] = {
          .image = {rgb_.data(), options_.width, options_.height, 3}, .texts = texts_, .outputs = {{masks_[i].data()}, nullptr}};
    segmenter.segment(requests_);
    for (const Request& request : requests_) request.rethrow_failure();
    return requests_.front().times;
  }

 private:
  const std::vector<uint8_t>& rgb_;
  LabelTexts texts_;
  std::vector<uint8_t> value_;
  std::vector<std::vector<uint8_t>> masks_;
  const BenchOptions& options_;
  std::vector<Request> requests_;
};

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

// Photos per second of segmenters side by side, each with a thread of its own.
double throughput(const BenchOptions& o, const Segmenter& first, const std::vector<uint8_t>& rgb, const ClassSet& classes) {
  std::vector<std::unique_ptr<Segmenter>> segmenters;
  std::vector<std::unique_ptr<Batch>> batches;
  for (int i = 0; i < o.concurrency; ++i) {
    segmenters.push_back(first.clone(o.threads));
    batches.push_back(std::make_unique<Batch>(o, rgb, classes));
    batches.back()->run(*segmenters.back());  // warms up
  }
  const double time = seconds([&] {
    std::vector<std::jthread> threads;
    for (int i = 0; i < o.concurrency; ++i)
      threads.emplace_back([&, i] {
        for (int round = 0; round < o.repeat; ++round) batches[i]->run(*segmenters[i]);
      });
  });
  return static_cast<double>(o.concurrency * o.repeat * o.batch) / time;
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
  const int64_t tokens = o.batch * (grid.patches() + 1);

  const std::vector<uint8_t> rgb = synthetic_photo(o.width, o.height);
  const ClassSet classes = make_classes(o, model);
  const auto labels = static_cast<int64_t>(classes.names.size()), background = static_cast<int64_t>(classes.background.size());
  Batch batch(o, rgb, classes);

  // The fastest run, as whatever else runs on the machine only adds.
  StageTimes best;
  double best_total = std::numeric_limits<double>::infinity();
  uint64_t settled = 0;
  constexpr int kWarmUp = 2;
  double peak_memory = 0;
  const bool cpu = o.device == "cpu";
  std::unique_ptr<PeakProbe> probe;
  ThreadPool pool(o.threads, torch::use_one_thread);
  Arena arena;
  HostContext context{pool, arena};
  for (int i = 0; i < o.repeat + kWarmUp; ++i) {
    if (i == kWarmUp) settled = segmenter->allocations();
    StageTimes times;
    const double total = seconds([&] { times = batch.run(*segmenter); }) / o.batch;
    if (i < kWarmUp) continue;
    if (i == kWarmUp) peak_memory = peak_megabytes();  // before the probe's own matrices
    if (cpu && !probe) probe = std::make_unique<PeakProbe>(tokens, model.shape.width, o.precision);
    if (cpu) probe->round(context);
    if (total >= best_total) continue;
    best = times;
    best_total = total;
  }

  const StageWork work = count_work(model, o.precision, grid, labels, classes.first_row.back(), o.batch);
  std::printf("%s: patch %ld, width %ld, %ld layers; %s, %s on %s, %d threads\n", o.model.c_str(), static_cast<long>(model.shape.patch),
              static_cast<long>(model.shape.width), static_cast<long>(model.shape.layers),
              (torch::is_loaded() ? "LibTorch " + torch::version() : "no LibTorch").c_str(), name_of(o.precision),
              segmenter->device().c_str(), o.threads);
  std::printf("%ld x %ld photo, %ld patches, %ld labels, %ld background texts; loaded in %.2f s; best of %d runs%s\n\n",
              static_cast<long>(o.width), static_cast<long>(o.height), static_cast<long>(grid.patches()), static_cast<long>(labels),
              static_cast<long>(background), load_time, o.repeat,
              o.batch > 1 ? (" of " + std::to_string(o.batch) + " photos together, times of one").c_str() : "");
  const bool has_library = !cpu || probe->library() > 0;
  const Peak peak =
      cpu ? Peak{has_library ? probe->library() : probe->engine(), 0} : gpu_peak(o.device, o.precision, tokens, model.shape.width);
  print_row("preprocess", best.preprocess, best_total, {}, peak);
  print_row("encode", best.encode, best_total, work.encode, peak);
  print_row("gradcam", best.gradcam, best_total, work.gradcam, peak);
  print_row("caa", best.refine, best_total, work.caa, peak);
  print_row("masks", best.mask, best_total, {}, peak);
  print_row("total", best_total, best_total, {}, peak);
  std::printf("\n  peak: %s %s products of the block's four shapes on %s: %.1f GFLOP/s", has_library ? "LibTorch's" : "the engine's own",
              name_of(o.precision), o.device.c_str(), peak.flops / 1e9);
  if (peak.bytes > 0) std::printf("; copies within its memory: %.0f GB/s", peak.bytes / 1e9);
  std::printf("\n");
  if (probe) std::printf("  the engine's own, in turns with the runs: %.1f GFLOP/s\n", probe->engine() / 1e9);
  if (o.precision == Precision::kInt8)
    std::printf("  of int8 are the linear layers of all blocks but the last; attention, the last block and gradcam are bfloat16\n");
  std::printf("  peak memory %.0f MB, of which weights and workspace %.0f MB; %lu workspace allocations after warm-up\n", peak_memory,
              static_cast<double>(segmenter->bytes()) / 1e6, static_cast<unsigned long>(segmenter->allocations() - settled));
  if (o.concurrency == 1) return;
  BenchOptions alone = o;
  alone.concurrency = 1;
  const double one = throughput(alone, *segmenter, rgb, classes), all = throughput(o, *segmenter, rgb, classes);
  std::printf("  %d segmenters side by side: %.2f photos/s, %.2f times one\n", o.concurrency, all, all / one);
}

}  // namespace

int main(int argc, char** argv) {
  const BenchOptions options = parse(argc, argv);
  try {
    run(options);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
