#include "mask/dense_crf.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "mask/permutohedral_lattice.h"
#include "ops/lattice.h"

namespace clip_es {
namespace {

constexpr float kSmallestScore = 1e-5f;  // the released unary_from_softmax's

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorCode::kInvalidArg, "CRF: " + message); }

void check_positive(float value, const char* name) {
  if (!(value > 0) || !std::isfinite(value)) refuse(std::string(name) + " is " + std::to_string(value) + "; it must be greater than 0");
}

void check_weight(float value, const char* name) {
  if (!(value >= 0) || !std::isfinite(value)) refuse(std::string(name) + " is " + std::to_string(value) + "; it must be 0 or more");
}

void check_settings(int64_t width, int64_t height, int64_t labels, const CrfSettings& s) {
  if (width < 1 || height < 1) refuse("the photo is " + std::to_string(width) + " x " + std::to_string(height) + "; it must have a pixel");
  if (labels < 1) refuse(std::to_string(labels) + " labels; at least one is needed");
  if (s.rounds < 0) refuse(std::to_string(s.rounds) + " rounds; 0 or more are possible");
  check_positive(s.position_sigma, "the position sigma");
  check_positive(s.bilateral_position_sigma, "the bilateral position sigma");
  check_positive(s.bilateral_colour_sigma, "the bilateral colour sigma");
  check_weight(s.position_weight, "the position weight");
  check_weight(s.bilateral_weight, "the bilateral weight");
}

// The feature of every byte of R, G and B.
std::span<float> colour_levels(Arena& arena, bool released) {
  constexpr double kMean[3] = {122.675, 116.669, 104.008};  // of R, G, B
  const auto levels = arena.take<float>(3 * 256);
  for (size_t c = 0; c < 3; ++c)
    for (size_t i = 0; i < 256; ++i) {
      const int wrapped = static_cast<int>(static_cast<float>(static_cast<double>(i) - kMean[c])) & 255;
      levels[c * 256 + i] = static_cast<float>(released ? wrapped : static_cast<int>(i));
    }
  return levels;
}

class MeanField {
 public:
  MeanField(Context& context, int64_t width, int64_t height, int64_t labels)
      : context_(context), width_(width), height_(height), labels_(labels), channels_(ops::padded_channels(labels - 1)), tiles_(cut_into_tiles(context.arena, width, height)) {}

  void add_kernel(const LatticeFeatures& features, float weight, std::span<float> response) {
    Kernel& kernel = kernels_[kernel_count_++];
    kernel.lattice = build_lattice(context_, tiles_, width_, height_, features);
    normalise_lattice(context_, tiles_, kernel.lattice, weight, response.data());
  }

  void run(const float* scores, int rounds, const CrfSettings& settings, const uint8_t* rgb, float* marginals) {
    const auto values = static_cast<size_t>(width_ * height_ * channels_);
    unary_ = context_.arena.take<float>(values);
    response_ = context_.arena.take<float>(static_cast<size_t>(width_ * height_));
    std::fill(response_.begin(), response_.end(), 0.0f);
    if (rounds > 0 && settings.position_weight > 0) add_kernel({settings.position_sigma}, settings.position_weight, response_);
    if (rounds > 0 && settings.bilateral_weight > 0) {
      LatticeFeatures features{settings.bilateral_position_sigma, settings.bilateral_colour_sigma, rgb, colour_levels(context_.arena, settings.released).data()};
      if (settings.released) std::swap(features.channel[0], features.channel[2]);
      add_kernel(features, settings.bilateral_weight, response_);
    }
    take_values();
    for (int round = 0; round <= rounds; ++round) {
      for (Kernel& kernel : kernels()) {
        std::swap(kernel.before, kernel.after);
        if (!collects()) std::fill(kernel.after.begin(), kernel.after.end(), 0.0f);
      }
      context_.pool.run(static_cast<int64_t>(tiles_.size()), [&](int64_t t, int worker) {
        context_.checkpoint();
        update_tile(static_cast<size_t>(t), static_cast<size_t>(worker), round == 0 ? scores : nullptr, round == rounds ? marginals : nullptr);
      });
      if (round == rounds) break;
      for (Kernel& kernel : kernels()) {
        if (collects())
          context_.pool.split(kernel.lattice.vertices, 1024, [&](int64_t begin, int64_t end) {
            ops::lattice_collect(kernel.slots.data(), kernel.lattice.slots_begin.data(), kernel.lattice.slots_of.data(), begin, end, channels_, kernel.after.data());
          });
        blur_lattice(context_, kernel.lattice, channels_, kernel.after.data());
      }
    }
  }

 private:
  struct Kernel {
    Lattice lattice;
    std::span<float> before, after;  // (vertices, channels): blurred values of the round before, and this round's splat
    std::span<float> slots;          // (slots, channels), where several threads fill them; of one worker each otherwise
  };
  struct Worker {
    std::span<float> fetched, splatted;  // (slots of the largest tile, channels)
    std::span<float> row;                // (kTileSide, channels): messages, then marginals
  };

  std::span<Kernel> kernels() { return std::span(kernels_).first(kernel_count_); }
  bool collects() const { return context_.pool.size() > 1; }

  void take_values() {
    int64_t largest = 0;
    for (Kernel& kernel : kernels()) {
      const auto size = static_cast<size_t>(kernel.lattice.vertices * channels_);
      kernel.before = context_.arena.take<float>(size);
      kernel.after = context_.arena.take<float>(size);
      if (collects()) kernel.slots = context_.arena.take<float>(kernel.lattice.vertex_of.size() * static_cast<size_t>(channels_));
      for (size_t t = 0; t < tiles_.size(); ++t) largest = std::max(largest, kernel.lattice.slots(t));
    }
    workers_ = context_.arena.take<Worker>(static_cast<size_t>(context_.pool.size()));
    for (Worker& worker : workers_) {
      for (std::span<float>* span : {&worker.fetched, &worker.splatted}) *span = context_.arena.take<float>(static_cast<size_t>(largest * channels_) * 2);
      worker.row = context_.arena.take<float>(static_cast<size_t>(kTileSide * kTileSide * channels_));
    }
  }

  void update_tile(size_t t, size_t worker_index, const float* scores, float* marginals) {
    const Tile& tile = tiles_[t];
    Worker& worker = workers_[worker_index];
    float* q = worker.row.data();
    const float* unary = unary_.data() + tile.first_pixel * channels_;
    if (scores) {
      for (int64_t y = 0; y < tile.height; ++y) read_scores(tile, y, scores, q + y * tile.width * channels_);
    } else {
      bool add = false;
      for (const Kernel& kernel : kernels()) {
        ops::lattice_fetch(kernel.before.data(), kernel.lattice.vertex_of.data() + kernel.lattice.first_slot[t], kernel.lattice.slots(t), channels_, worker.fetched.data());
        ops::lattice_slice(kernel.lattice.corners_at(tile.first_pixel), worker.fetched.data(), tile.pixels(), channels_, add, q);
        add = true;
      }
      if (!add) std::fill_n(q, tile.pixels() * channels_, 0.0f);
      ops::mean_field_update(unary, labels_, tile.pixels(), q);
    }
    if (marginals) {
      for (int64_t y = 0; y < tile.height; ++y) write_marginals(tile, y, q + y * tile.width * channels_, marginals);
      return;
    }
    for (Kernel& kernel : kernels()) {
      const int64_t slots = kernel.lattice.slots(t);
      float* own = collects() ? kernel.slots.data() + kernel.lattice.first_slot[t] * channels_ : worker.splatted.data();
      std::fill_n(own, slots * channels_, 0.0f);
      ops::lattice_splat(kernel.lattice.corners_at(tile.first_pixel), q, tile.pixels(), channels_, own);
      if (!collects()) ops::lattice_merge(own, kernel.lattice.vertex_of.data() + kernel.lattice.first_slot[t], slots, channels_, kernel.after.data());
    }
  }

  // The unary energies relative to the last label's, and the marginals of no message at all.
  void read_scores(const Tile& tile, int64_t y, const float* scores, float* q) {
    const int64_t others = labels_ - 1, pixels = width_ * height_, at = (tile.y + y) * width_ + tile.x;
    const int64_t first = tile.first_pixel + y * tile.width;
    float sum[kTileSide] = {}, last[kTileSide];
    for (int64_t l = labels_; l-- > 0;) {
      const float* row = scores + l * pixels + at;
      for (int64_t x = 0; x < tile.width; ++x) {
        if (!(row[x] >= 0) || !std::isfinite(row[x]))
          refuse("the score of label " + std::to_string(l) + " at (" + std::to_string(tile.x + x) + ", " + std::to_string(tile.y + y) + ") is " + std::to_string(row[x]) +
                 "; scores are probabilities, 0 to 1");
        const float score = std::clamp(row[x], kSmallestScore, 1.0f);
        sum[x] += score;
        if (l == others) {
          last[x] = std::log(score);
        } else {
          unary_[static_cast<size_t>((first + x) * channels_ + l)] = std::log(score) - last[x] - response_[static_cast<size_t>(first + x)];
          q[x * channels_ + l] = score;
        }
      }
    }
    for (int64_t x = 0; x < tile.width; ++x) {
      for (int64_t l = 0; l < others; ++l) q[x * channels_ + l] /= sum[x];
      for (int64_t l = others; l < channels_; ++l) q[x * channels_ + l] = 0;
    }
  }

  void write_marginals(const Tile& tile, int64_t y, const float* q, float* marginals) const {
    const int64_t others = labels_ - 1, pixels = width_ * height_, at = (tile.y + y) * width_ + tile.x;
    float rest[kTileSide];
    std::fill_n(rest, tile.width, 1.0f);
    for (int64_t l = 0; l < others; ++l)
      for (int64_t x = 0; x < tile.width; ++x) rest[x] -= marginals[l * pixels + at + x] = q[x * channels_ + l];
    for (int64_t x = 0; x < tile.width; ++x) marginals[others * pixels + at + x] = std::max(rest[x], 0.0f);
  }

  Context& context_;
  int64_t width_, height_, labels_;
  int64_t channels_;  // of all labels but the last, padded: marginals sum to 1, so the last one's message follows from the others'
  std::span<Tile> tiles_;
  Kernel kernels_[2];
  size_t kernel_count_ = 0;
  std::span<float> unary_;     // (pixels, channels), in the order of tiles: relative to the last label, less response_
  std::span<float> response_;  // (pixels): what all labels' messages sum to
  std::span<Worker> workers_;
};

}  // namespace

void dense_crf(Context& context, const uint8_t* rgb, int64_t width, int64_t height, const float* scores, int64_t labels, const CrfSettings& settings,
               float* marginals) {
  check_settings(width, height, labels, settings);
  Arena::Scope scope(context.arena);
  MeanField field(context, width, height, labels);
  field.run(scores, labels == 1 ? 0 : settings.rounds, settings, rgb, marginals);
}

}  // namespace clip_es
