#include "options.h"

#include <cstdio>
#include <cstdlib>

using namespace clip_es;

namespace {

constexpr const char* kUsage =
    "usage: clip_es_bench --model FILE [--libtorch DIR] [--device cpu|cuda[:N]] [--size WxH] [--labels K] [--classes FILE]\n"
    "                     [--threads T] [--precision float32|bfloat16|int8] [--repeat R] [--batch B] [--concurrency C]\n";

[[noreturn]] void usage(const std::string& problem) {
  std::fprintf(stderr, "%s\n%s", problem.c_str(), kUsage);
  std::exit(2);
}

int64_t positive(const std::string& name, const std::string& text, int64_t most) {
  char* end = nullptr;
  const long long value = std::strtoll(text.c_str(), &end, 10);
  if (text.empty() || *end || value < 1 || value > most)
    usage(name + " is '" + text + "'; pass a whole number from 1 to " + std::to_string(most));
  return value;
}

}  // namespace

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
      if (x == std::string::npos) usage("--size is '" + value + "'; pass WIDTHxHEIGHT, for example 500x375");
      o.width = positive(name, value.substr(0, x), 100000);
      o.height = positive(name, value.substr(x + 1), 100000);
    } else if (name != "--precision") {
      usage("there is no option '" + name + "'");
    } else if (!find_precision(value, o.precision)) {
      usage("--precision is '" + value + "'; pass float32, bfloat16 or int8");
    }
  }
  if (o.model.empty()) usage("--model is missing; pass a model file");
  if (o.libtorch.empty() && o.device != "cpu") usage("--device " + o.device + " needs LibTorch; pass --libtorch or set CLIP_ES_LIBTORCH");
  return o;
}
