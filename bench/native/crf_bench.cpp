// Measures how long the dense CRF takes, and separately how long its set-up (building the lattices) takes.
//   clip_es_crf_bench [--photo FILE.ppm] [--maps FILE.npy] [--labels 3,21] [--threads 1,2] [--size 500x375] [--repeat 5]
//                     [--scores smooth|random] [--clock wall|cpu] [--peer PROGRAM]
// --photo FILE    uses this photo. Without it the photo is synthetic and has the size of --size.
// --maps FILE     uses these maps: (labels, height, width). Without it the scores are synthetic, for each number of --labels.
// --clock cpu     counts CPU time, for busy machines. Use it with one thread only, and with a peer that counts CPU time, too.
// --peer PROGRAM  runs another CRF on the same files between our own runs, and compares marginals and times. docs/internals/crf.md
//                 describes the program's arguments and output.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "crf/dense_crf.h"
#include "crf/permutohedral_lattice.h"
#include "crf/position_filter.h"
#include "npy.h"

using namespace clip_es;

namespace {

struct Options {
  std::string photo, maps, peer, scores = "smooth";
  std::vector<int64_t> labels = {3, 21}, threads = {1, 2};
  int64_t width = 500, height = 375;
  int repeat = 5;
};

bool count_cpu_time = false;

double seconds_now() {
  timespec t;
  clock_gettime(count_cpu_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

std::vector<int64_t> numbers(const std::string& text) {
  std::vector<int64_t> out;
  std::stringstream in(text);
  for (std::string part; std::getline(in, part, ',');) out.push_back(std::stoll(part));
  return out;
}

// A coarse random grid in [0, 1], enlarged bilinearly to (height, width).
std::vector<float> smooth_noise(std::mt19937& random, int64_t width, int64_t height, int64_t cells) {
  std::uniform_real_distribution<float> uniform;
  std::vector<float> grid(static_cast<size_t>((cells + 1) * (cells + 1))), out;
  for (float& v : grid) v = uniform(random);
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x) {
      const float gx = static_cast<float>(x * cells) / static_cast<float>(width),
                  gy = static_cast<float>(y * cells) / static_cast<float>(height);
      const auto i = static_cast<int64_t>(gx), j = static_cast<int64_t>(gy);
      const float fx = gx - static_cast<float>(i), fy = gy - static_cast<float>(j);
      const auto at = [&](int64_t a, int64_t b) { return grid[b * (cells + 1) + a]; };
      out.push_back((at(i, j) * (1 - fx) + at(i + 1, j) * fx) * (1 - fy) + (at(i, j + 1) * (1 - fx) + at(i + 1, j + 1) * fx) * fy);
    }
  return out;
}

// Smooth shades, a dozen hard edges and sensor noise.
npy::Photo synthetic_photo(int64_t width, int64_t height) {
  std::mt19937 random(7);
  std::normal_distribution<float> noise(0, 2);
  npy::Photo photo{width, height, {}};
  std::vector<float> shade[4];
  for (auto& s : shade) s = smooth_noise(random, width, height, 6);
  for (size_t i = 0; i < shade[0].size(); ++i)
    for (size_t c = 0; c < 3; ++c) {
      const float edge = shade[3][i] > 0.5f ? 60.0f : shade[3][i] > 0.3f ? 0.0f : -40.0f;
      photo.rgb.push_back(static_cast<uint8_t>(std::clamp(shade[c][i] * 200 + 20 + edge + noise(random), 0.0f, 255.0f)));
    }
  return photo;
}

// Prepends the scores of the background: 1 minus the largest map.
std::vector<float> with_background(const std::vector<float>& maps, size_t pixels) {
  std::vector<float> scores(pixels, 1.0f);
  for (size_t i = 0; i < maps.size(); ++i) scores[i % pixels] = std::min(scores[i % pixels], 1 - maps[i]);
  scores.insert(scores.end(), maps.begin(), maps.end());
  return scores;
}

std::vector<float> synthetic_scores(const Options& o, int64_t labels, int64_t width, int64_t height) {
  std::mt19937 random(static_cast<uint32_t>(labels));
  const auto pixels = static_cast<size_t>(width * height);
  std::vector<float> maps;
  for (int64_t l = 1; l < labels; ++l) {
    if (o.scores == "smooth") {
      const std::vector<float> map = smooth_noise(random, width, height, 5);
      maps.insert(maps.end(), map.begin(), map.end());
    } else {
      std::uniform_real_distribution<float> uniform;
      for (size_t i = 0; i < pixels; ++i) maps.push_back(uniform(random));
    }
  }
  return with_background(maps, pixels);
}

void write_ppm(const std::string& path, const npy::Photo& photo) {
  std::ofstream out(path, std::ios::binary);
  out << "P6\n" << photo.width << ' ' << photo.height << "\n255\n";
  out.write(reinterpret_cast<const char*>(photo.rgb.data()), static_cast<std::streamsize>(photo.rgb.size()));
}

void write_npy(const std::string& path, const std::vector<float>& data, int64_t labels, int64_t height, int64_t width) {
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(labels) + ", " + std::to_string(height) +
                       ", " + std::to_string(width) + "), }";
  while ((10 + header.size() + 1) % 64) header += ' ';
  header += '\n';
  const char start[10] = {
      '\x93', 'N', 'U', 'M', 'P', 'Y', 1, 0, static_cast<char>(header.size() & 255), static_cast<char>(header.size() >> 8)};
  std::ofstream out(path, std::ios::binary);
  out.write(start, sizeof start);
  out << header;
  out.write(reinterpret_cast<const char*>(data.data()), static_cast<std::streamsize>(data.size() * sizeof(float)));
}

struct Times {
  std::vector<double> setup, total;
};

// The seconds of the steps that dense_crf takes before its rounds.
double time_setup(HostContext& context, const npy::Photo& photo, const CrfSettings& s) {
  using namespace crf;
  const double start = seconds_now();
  Arena::Scope scope(context.arena);
  const auto tiles = cut_into_tiles(context.arena, photo.width, photo.height);
  const auto levels = context.arena.take<float>(3 * 256);
  for (size_t i = 0; i < levels.size(); ++i) levels[i] = static_cast<float>(i % 256);
  PositionGrid grid;
  if (!build_position_grid(context, photo.width, photo.height, s.position_sigma, grid))
    throw std::runtime_error("the position grid cannot be built for this size and sigma; pass another --size");
  normalise_position_grid(context, tiles, grid, s.position_weight);
  Lattice bilateral = build_lattice(context, tiles, photo.width, photo.height,
                                    {s.bilateral_position_sigma, s.bilateral_colour_sigma, photo.rgb.data(), levels.data()});
  normalise_lattice(context, tiles, photo.width, bilateral, s.bilateral_weight);
  return seconds_now() - start;
}

struct PeerRun {
  double setup, rounds;
};

PeerRun run_peer(const std::string& program, const std::string& folder, const CrfSettings& s) {
  std::ostringstream command;
  command << program << ' ' << folder << "/photo.ppm " << folder << "/scores.npy " << folder << "/marginals.npy " << s.rounds << ' '
          << s.position_sigma << ' ' << s.position_weight << ' ' << s.bilateral_position_sigma << ' ' << s.bilateral_colour_sigma << ' '
          << s.bilateral_weight;
  FILE* pipe = popen(command.str().c_str(), "r");
  if (!pipe) throw std::runtime_error("the peer cannot be started: " + command.str());
  PeerRun run{-1, -1};
  char line[512];
  while (std::fgets(line, sizeof line, pipe)) std::sscanf(line, "setup %lf rounds %lf", &run.setup, &run.rounds);
  if (pclose(pipe) != 0 || run.setup < 0)
    throw std::runtime_error(command.str() + " failed, or did not print the line 'setup SECONDS rounds SECONDS'");
  return run;
}

void compare(const std::vector<float>& ours, const std::vector<float>& theirs, int64_t labels) {
  if (ours.size() != theirs.size()) throw std::runtime_error("the peer's marginals.npy does not have the size of scores.npy");
  const size_t pixels = ours.size() / static_cast<size_t>(labels);
  double worst = 0, sum = 0;
  size_t beyond = 0, same = 0;
  for (size_t i = 0; i < ours.size(); ++i) {
    const double d = std::abs(static_cast<double>(ours[i]) - theirs[i]);
    worst = std::max(worst, d);
    sum += d;
    beyond += d > 1e-3;
  }
  for (size_t i = 0; i < pixels; ++i) {
    const auto winner = [&](const std::vector<float>& m) {
      size_t best = 0;
      for (size_t l = 1; l < static_cast<size_t>(labels); ++l)
        if (m[l * pixels + i] > m[best * pixels + i]) best = l;
      return best;
    };
    same += winner(ours) == winner(theirs);
  }
  std::printf("    marginals: largest difference %.2e, mean %.2e, %zu beyond 1e-3; same label %.4f %%\n", worst,
              sum / static_cast<double>(ours.size()), beyond, 100.0 * static_cast<double>(same) / static_cast<double>(pixels));
}

void bench(const Options& o, const npy::Photo& photo, const std::vector<float>& scores, int64_t labels) {
  const CrfSettings settings;
  const std::string folder = (std::filesystem::temp_directory_path() / ("clip-es-crf-" + std::to_string(std::random_device{}()))).string();
  if (!o.peer.empty()) {
    std::filesystem::create_directory(folder);
    write_ppm(folder + "/photo.ppm", photo);
    write_npy(folder + "/scores.npy", scores, labels, photo.height, photo.width);
  }
  std::printf("%lld x %lld, %lld labels\n", static_cast<long long>(photo.width), static_cast<long long>(photo.height),
              static_cast<long long>(labels));
  std::vector<float> marginals(scores.size());
  std::vector<Times> ours(o.threads.size());
  std::vector<double> peer_setup, peer_total;
  std::vector<std::unique_ptr<ThreadPool>> pools;
  std::vector<std::unique_ptr<Arena>> arenas;
  for (const int64_t threads : o.threads) {
    pools.push_back(std::make_unique<ThreadPool>(static_cast<int>(threads)));
    arenas.push_back(std::make_unique<Arena>());
  }
  for (int r = -1; r < o.repeat; ++r) {  // the first run allocates the memory and is not counted
    for (size_t t = 0; t < o.threads.size(); ++t) {
      HostContext context{*pools[t], *arenas[t]};
      const double setup = time_setup(context, photo, settings), start = seconds_now();
      dense_crf(context, {photo.rgb.data(), photo.width, photo.height, scores.data(), labels}, settings, {.marginals = marginals.data()});
      if (r >= 0) ours[t].setup.push_back(setup), ours[t].total.push_back(seconds_now() - start);
    }
    if (o.peer.empty() || r < 0) continue;
    const PeerRun run = run_peer(o.peer, folder, settings);
    peer_setup.push_back(run.setup);
    peer_total.push_back(run.setup + run.rounds);
    if (r == 0) compare(marginals, npy::read(folder + "/marginals.npy").floats(), labels);
  }
  const auto report = [](const char* name, const std::vector<double>& setup, const std::vector<double>& total) {
    std::printf("    %-12s set-up %7.1f ms, all %7.1f ms (fastest %.1f, %.1f)\n", name, median(setup) * 1e3, median(total) * 1e3,
                *std::min_element(setup.begin(), setup.end()) * 1e3, *std::min_element(total.begin(), total.end()) * 1e3);
  };
  for (size_t t = 0; t < o.threads.size(); ++t) report((std::to_string(o.threads[t]) + " threads").c_str(), ours[t].setup, ours[t].total);
  if (!o.peer.empty()) {
    report("peer", peer_setup, peer_total);
    for (size_t t = 0; t < o.threads.size(); ++t)
      std::printf("    peer / ours with %lld threads: set-up %.1f, all %.1f\n", static_cast<long long>(o.threads[t]),
                  median(peer_setup) / median(ours[t].setup), median(peer_total) / median(ours[t].total));
    std::filesystem::remove_all(folder);
  }
  std::printf("    memory: %.1f MB in %llu allocations\n", static_cast<double>(arenas[0]->capacity()) / 1e6,
              static_cast<unsigned long long>(arenas[0]->allocations()));
}

Options parse(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i], value = i + 1 < argc ? argv[i + 1] : "";
    if (name == "--photo") o.photo = value;
    else if (name == "--maps") o.maps = value;
    else if (name == "--peer") o.peer = value;
    else if (name == "--scores" && (value == "smooth" || value == "random")) o.scores = value;
    else if (name == "--clock" && (value == "wall" || value == "cpu")) count_cpu_time = value == "cpu";
    else if (name == "--labels") o.labels = numbers(value);
    else if (name == "--threads") o.threads = numbers(value);
    else if (name == "--repeat") o.repeat = std::max(1, std::stoi(value));
    else if (name == "--size" && value.find('x') != std::string::npos)
      o.width = std::stoll(value), o.height = std::stoll(value.substr(value.find('x') + 1));
    else
      throw std::runtime_error("'" + name + " " + value +
                               "' is not an option; the options are --photo FILE, --maps FILE, --labels N,N, --threads N,N, --size WxH, "
                               "--repeat N, --scores smooth|random, --clock wall|cpu and --peer PROGRAM");
  }
  return o;
}

}  // namespace

int main(int argc, char** argv) try {
  const Options o = parse(argc, argv);
  const npy::Photo photo = o.photo.empty() ? synthetic_photo(o.width, o.height) : npy::read_ppm(o.photo);
  if (!o.maps.empty()) {
    const npy::Array maps = npy::read(o.maps);
    if (maps.shape.size() != 3 || maps.shape[1] != photo.height || maps.shape[2] != photo.width)
      throw std::runtime_error(o.maps + " must have the shape (labels, height, width), with the height and width of the photo");
    bench(o, photo, with_background(maps.floats(), static_cast<size_t>(photo.width * photo.height)), maps.shape[0] + 1);
    return 0;
  }
  for (const int64_t labels : o.labels) bench(o, photo, synthetic_scores(o, labels, photo.width, photo.height), labels);
  return 0;
} catch (const std::exception& e) {
  std::cerr << e.what() << '\n';
  return 1;
}
