#include "segment_job.h"

#include <algorithm>

#include "options.h"

using namespace clip_es;

npy::Photo corner_of(const npy::Photo& whole, int64_t width, int64_t height) {
  npy::Photo corner{width, height, {}};
  for (int64_t y = 0; y < height; ++y) {
    const auto row = whole.rgb.begin() + 3 * y * whole.width;
    corner.rgb.insert(corner.rgb.end(), row, row + 3 * width);
  }
  return corner;
}

Case small_case(const std::string& name) { return {name, options().golden + "/small/" + name, options().golden + kSmallModel}; }

bool is_untouched(std::span<const float> values) {
  return std::ranges::all_of(values, [](float value) { return value == kUntouched; });
}

SegmentJob::SegmentJob(const Case& c) : SegmentJob(c, npy::read_ppm(c.folder + "/photo.ppm")) {}

SegmentJob::SegmentJob(const Case& c, npy::Photo pixels)
    : words(c),
      photo(std::move(pixels)),
      mask(static_cast<size_t>(photo.width * photo.height), kUntouchedLabel),
      confidence(mask.size(), kUntouched),
      maps(mask.size() * words.value.size(), kUntouched),
      scores(words.value.size(), kUntouched) {}

Request SegmentJob::request(const SegmentSettings& settings) {
  return {.image = image(),
          .texts = words.label_texts(),
          .settings = settings,
          .outputs = {{mask.data(), confidence.data(), maps.data()}, scores.data()}};
}

bool SegmentJob::has_no_mask() const { return std::ranges::count(mask, kUntouchedLabel) == std::ssize(mask); }
bool SegmentJob::has_no_scores() const { return ::is_untouched(scores); }
bool SegmentJob::is_untouched() const { return has_no_mask() && has_no_scores() && ::is_untouched(confidence) && ::is_untouched(maps); }
