#include "estimate.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <functional>
#include <memory>
#include <utility>

#include "blank_model.h"
#include "clip/model_file.h"
#include "clip/preprocess.h"
#include "input.h"
#include "repeated_photo.h"
#include "staged_device.h"

using namespace clip_es;

namespace estimate {
namespace {

// NVIDIA's data sheet "H100 Tensor Core GPU", H100 SXM: operations or bytes per second. bfloat16 without sparsity. PCIe 5.0 x16 moves 128
// GB/s in both directions together.
constexpr double kBFloat16 = 989e12, kFloat32 = 67e12, kFloat64 = 34e12, kMemory = 3.35e12, kPcie = 64e9;
// The share that a good kernel reaches, by experience.
constexpr double kArithmeticShare = 0.6, kMemoryShare = 0.8;
// Seconds between the starts of two kernels of one stream: the host needs about as long to queue one.
constexpr double kLaunchTime = 4e-6;

constexpr std::array kLimitNames = {"arithmetic", "memory", "copies", "launches"};

// Some launches together.
struct Total {
  Cost cost;
  std::array<double, kLimitNames.size()> seconds{};  // by Limit

  void add(const Cost& added) {
    const Time time = time_on_h100(added);
    cost += added;
    seconds[static_cast<size_t>(time.limit)] += time.seconds;
  }
  double all_seconds() const {
    double sum = 0;
    for (const double s : seconds) sum += s;
    return sum;
  }
  // What takes most of the time, and its share.
  std::string main_limit() const {
    const auto largest = std::ranges::max_element(seconds);
    std::array<char, 40> text;
    std::snprintf(text.data(), text.size(), "%s %.0f %%", kLimitNames[static_cast<size_t>(largest - seconds.begin())],
                  100 * *largest / all_seconds());
    return text.data();
  }
};

void print_row(const char* stage, const Total& total, double photos) {
  const Cost& cost = total.cost;
  std::printf("  %-11s %8.2f %9.3f %9.3f %9.4f %9.1f %9.3f %9.1f   %s\n", stage, static_cast<double>(cost.launches) / photos,
              cost.bfloat16 / 1e9 / photos, cost.float32 / 1e9 / photos, cost.float64 / 1e9 / photos,
              (cost.read + cost.written) / 1e6 / photos, cost.copied / 1e6 / photos, total.all_seconds() * 1e6 / photos,
              total.main_limit().c_str());
}

void print_stages(const std::vector<StageLaunches>& stages, double photos) {
  std::printf("  %-11s %8s %9s %9s %9s %9s %9s %9s\n", "", "", "bfloat16", "float32", "float64", "memory", "copies", "time");
  std::printf("  %-11s %8s %9s %9s %9s %9s %9s %9s   %s\n", "stage", "launches", "GFLOP", "GFLOP", "GFLOP", "MB", "MB", "us", "limited by");
  Total all;
  for (const auto& [stage, launches] : stages) {
    Total total;
    for (const Launch& launch : launches) {
      total.add(launch.cost);
      all.add(launch.cost);
    }
    print_row(stage.c_str(), total, photos);
  }
  print_row("sum", all, photos);
  std::printf("\n  estimate: %.3f ms a photo, %.0f photos a second with one queue\n", all.all_seconds() * 1e3 / photos,
              photos / all.all_seconds());
}

// The operations that take most of the time, those of one kind and stage together.
void print_costliest(const std::vector<StageLaunches>& stages, double photos) {
  constexpr size_t kShown = 12;
  struct Kind {
    std::string stage, name;
    Total total;
  };
  std::vector<Kind> kinds;
  double seconds = 0;
  for (const StageLaunches& own : stages)
    for (const Launch& launch : own.launches) {
      auto kind = std::ranges::find_if(kinds, [&](const Kind& k) { return k.stage == own.stage && k.name == launch.name; });
      if (kind == kinds.end()) kind = kinds.insert(kind, {own.stage, launch.name, {}});
      kind->total.add(launch.cost);
      seconds += time_on_h100(launch.cost).seconds;
    }
  std::ranges::stable_sort(kinds, std::greater(), [](const Kind& kind) { return kind.total.all_seconds(); });
  kinds.resize(std::min(kinds.size(), kShown));
  std::printf("\n  the costliest operations (estimates):\n");
  for (const auto& [stage, name, total] : kinds)
    std::printf("  %-11s %-28s %8.1f us %5.1f %%   %s\n", stage.c_str(), name.c_str(), total.all_seconds() * 1e6 / photos,
                100 * total.all_seconds() / seconds, total.main_limit().c_str());
}

}  // namespace

Time time_on_h100(const Cost& cost) {
  // Products and exponentials of attention are added, although they may overlap: kernels that overlap them are rare.
  const double arithmetic = (cost.bfloat16 / kBFloat16 + cost.float32 / kFloat32 + cost.float64 / kFloat64) / kArithmeticShare;
  const std::array seconds = {arithmetic, (cost.read + cost.written) / (kMemoryShare * kMemory), cost.copied / (kMemoryShare * kPcie),
                              static_cast<double>(cost.launches) * kLaunchTime};
  const auto longest = std::ranges::max_element(seconds);
  return {*longest, static_cast<Limit>(longest - seconds.begin())};
}

std::vector<StageLaunches> queue_batch(const BenchOptions& o, const ModelSource& source) {
  const std::shared_ptr<const Model> model = source.model();
  cuda::CudaDevice::require_model(*model, o.precision);
  const auto gpu = recording_gpu();
  ThreadPool pool(o.threads);
  Arena arena;
  HostContext host{pool, arena};
  const auto dtype = o.precision == Precision::kBFloat16 ? torch::Dtype::kBFloat16 : torch::Dtype::kFloat32;
  auto weights = std::make_shared<const cuda::Weights>(gpu, host, source, dtype);
  take_launches();  // of the weights

  std::vector<StageLaunches> stages;
  const auto end_stage = [&](const char* stage) {
    if (auto launches = take_launches(); !launches.empty()) stages.push_back({stage, std::move(launches)});
  };
  auto device = std::make_unique<StagedDevice>(gpu, [&](const char* stage, const std::function<void()>& work) {
    end_stage("between");
    work();
    end_stage(stage);
  });
  auto loaded = std::make_shared<const LoadedModel>(LoadedModel{model, std::make_shared<const TextTower>(), weights});
  Segmenter segmenter(loaded, {.precision = o.precision, .threads = o.threads, .max_side = 0}, std::move(device));
  const std::vector<uint8_t> rgb = synthetic_photo(o.width, o.height);
  const ClassSet classes = make_classes(o, *model);
  RepeatedPhoto(o, rgb, classes).run(segmenter);
  end_stage("between");
  return stages;
}

}  // namespace estimate

void print_estimate(const BenchOptions& o) {
  const std::unique_ptr<const ModelSource> source = [&]() -> std::unique_ptr<const ModelSource> {
    if (o.model.empty()) return std::make_unique<BlankModel>();
    return std::make_unique<ModelFile>(o.model);
  }();
  const Model& model = *source->model();
  const std::vector<estimate::StageLaunches> stages = estimate::queue_batch(o, *source);
  const auto text = [](int64_t value) { return std::to_string(value); };
  std::printf("Estimates of one photo, not measured. %s: patch %s, width %s, %s layers; %s\n",
              o.model.empty() ? "ViT-B/16" : o.model.c_str(), text(model.shape.patch).c_str(), text(model.shape.width).c_str(),
              text(model.shape.layers).c_str(), name_of(o.precision));
  std::printf("%s x %s photos, %s patches, %s labels, batches of %d\n", text(o.width).c_str(), text(o.height).c_str(),
              text(patch_grid({o.width, o.height}, model.shape.patch, 0).patches()).c_str(),
              text(static_cast<int64_t>(make_classes(o, model).names.size())).c_str(), o.batch);
  std::printf(
      "H100 SXM by its data sheet: %.0f %% of its operations a second, %.0f %% of its bytes a second, at least %.0f us a launch;\n"
      "float32 operations include exponentials, each as %.0f\n\n",
      100 * estimate::kArithmeticShare, 100 * estimate::kMemoryShare, 1e6 * estimate::kLaunchTime, estimate::kExponential);
  estimate::print_stages(stages, o.batch);
  estimate::print_costliest(stages, o.batch);
}
