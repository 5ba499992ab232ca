#include "options.h"

#include <algorithm>
#include <array>
#include <cstdlib>

using namespace clip_es;

namespace {

// What --estimate can be used with.
constexpr std::array kOfEstimate = {"--device", "--estimate", "--model", "--size", "--labels", "--precision", "--batch"};

int64_t positive(const std::string& name, const std::string& text, int64_t most) {
  char* end = nullptr;
  const long long value = std::strtoll(text.c_str(), &end, 10);
  if (text.empty() || *end || value < 1 || value > most)
    throw UsageError(name + " is '" + text + "'; pass a whole number from 1 to " + std::to_string(most));
  return value;
}

}  // namespace

BenchOptions parse(int argc, const char* const* argv) {
  BenchOptions o;
  if (const char* folder = std::getenv("CLIP_ES_LIBTORCH")) o.libtorch = folder;
  std::string not_of_estimate;  // an option that --estimate cannot be used with
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--help") {
      o.help = true;
      return o;
    }
    if (std::ranges::find(kOfEstimate, name) == kOfEstimate.end()) not_of_estimate = name;
    if (name == "--estimate") {
      o.estimate = true;
      continue;
    }
    const std::string value = i + 1 < argc ? argv[++i] : "";
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
      if (x == std::string::npos) throw UsageError("--size is '" + value + "'; pass WIDTHxHEIGHT, for example 500x375");
      o.width = positive(name, value.substr(0, x), 100000);
      o.height = positive(name, value.substr(x + 1), 100000);
    } else if (name != "--precision") {
      throw UsageError("there is no option '" + name + "'");
    } else if (!find_precision(value, o.precision)) {
      throw UsageError("--precision is '" + value + "'; pass float32, bfloat16 or int8");
    }
  }
  if (o.estimate) {
    if (!not_of_estimate.empty())
      throw UsageError(not_of_estimate + " cannot be used with --estimate, which computes nothing and reads no class set; leave it out");
    if (o.device == "cpu") throw UsageError("--estimate is for GPUs; pass --device cuda");
    if (o.precision == Precision::kInt8) throw UsageError("a GPU has no precision 'int8'; pass --precision float32 or bfloat16");
    return o;
  }
  if (o.model.empty()) throw UsageError("--model is missing; pass a model file");
  if (o.libtorch.empty() && o.device != "cpu")
    throw UsageError("--device " + o.device + " needs LibTorch; pass --libtorch or set CLIP_ES_LIBTORCH");
  return o;
}
