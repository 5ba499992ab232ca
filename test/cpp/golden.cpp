#include "golden.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <sstream>

#include "cam/box_mask.h"
#include "check.h"
#include "options.h"
#include "support.h"

using namespace clip_es;
namespace fs = std::filesystem;

const ModelFile& model_at(const std::string& path) {
  static std::map<std::string, std::unique_ptr<ModelFile>> models;
  auto& model = models[path];
  if (!model) model = std::make_unique<ModelFile>(path);
  return *model;
}

void run(Segmenter& segmenter, Request request, const std::atomic<bool>* cancelled) {
  segmenter.segment({&request, 1}, cancelled);
  request.rethrow_failure();
}

bool Case::has(const std::string& array) const { return fs::exists(folder + "/" + array + ".npy"); }

std::vector<std::pair<std::string, std::string>> golden_folders() {
  const std::string root = options().golden;
  std::vector<std::pair<std::string, std::string>> folders{{root + "/small", root + kSmallModel}};
  for (const auto& entry : fs::directory_iterator(root))
    if (fs::exists(entry.path() / "model.pt")) folders.push_back({entry.path().string(), (entry.path() / "model.pt").string()});
  return folders;
}

const std::vector<Case>& cases() {
  static const std::vector<Case> all = [] {
    auto folders = golden_folders();
    if (const char* full = std::getenv("CLIP_ES_GOLDEN_FULL")) folders.push_back({full, options().golden + kSmallModel});
    else check::note("full-size photos are skipped: set CLIP_ES_GOLDEN_FULL to their folder to include them");
    std::vector<Case> found;
    for (const auto& [folder, model] : folders)
      for (const auto& entry : fs::directory_iterator(folder))
        if (fs::exists(entry.path() / "photo.ppm"))
          found.push_back({fs::path(folder).filename().string() + "/" + entry.path().filename().string(), entry.path().string(), model});
    std::sort(found.begin(), found.end(), [](const Case& a, const Case& b) { return a.name < b.name; });
    return found;
  }();
  return all;
}

Words::Words(const Case& c) : texts(npy::read(c.folder + "/texts.npy")), rows(texts.floats()) {
  const int64_t labels = npy::read(c.folder + "/class_ids.npy").shape[0];
  for (int64_t k = 0; k <= labels; ++k) first_row.push_back(k);
  for (int64_t k = 1; k <= labels; ++k) value.push_back(static_cast<uint8_t>(k));
}

LabelTexts Words::label_texts() const {
  const auto own = static_cast<size_t>(labels() * texts.shape[1]);
  return {std::span(rows).first(own), first_row, std::span(rows).subspan(own), value};
}

void GoldenDifferences::add(const std::vector<float>& got, const std::vector<float>& want) {
  double sum = mean * count_;
  for (size_t i = 0; i < want.size(); ++i) {
    const double off = std::abs(static_cast<double>(got[i]) - want[i]);
    largest = off <= largest ? largest : std::isnan(off) ? INFINITY : off;
    sum += off;
  }
  count_ += static_cast<double>(want.size());
  mean = sum / count_;
}

std::vector<float> to_pixels(const std::vector<float>& patch_rows, const Grid& grid, int64_t patch) {
  std::vector<float> pixels;
  for (int64_t channel = 0; channel < 3; ++channel)
    for (int64_t y = 0; y < grid.height * patch; ++y)
      for (int64_t x = 0; x < grid.width * patch; ++x)
        pixels.push_back(patch_rows[((y / patch * grid.width + x / patch) * 3 + channel) * patch * patch + y % patch * patch + x % patch]);
  return pixels;
}

double largest_relative(const std::vector<float>& got, const std::vector<float>& want) {
  double worst = got.size() == want.size() ? 0 : INFINITY;
  for (size_t i = 0; i < std::min(got.size(), want.size()); ++i) {
    const double d = std::abs(static_cast<double>(got[i]) - want[i]) / std::max(1.0, std::abs(static_cast<double>(want[i])));
    worst = d <= worst ? worst : (std::isnan(d) ? INFINITY : d);
  }
  return worst;
}

bool near_threshold(std::span<const float> cam) {
  const int largest = static_cast<int>(*std::max_element(cam.begin(), cam.end()) * 255);
  const double edge = (static_cast<int>(BoxSettings{}.threshold * largest) + 1) / 255.0;
  return std::any_of(cam.begin(), cam.end(), [&](float value) { return std::abs(value - edge) < 1e-4; });
}

double differing_percent(const std::vector<uint8_t>& got, const std::vector<float>& want) {
  if (got.size() != want.size()) return 100;
  size_t differing = 0;
  for (size_t i = 0; i < got.size(); ++i) differing += got[i] != want[i];
  return 100.0 * static_cast<double>(differing) / static_cast<double>(got.size());
}

std::string number(double value) {
  std::ostringstream text;
  text.precision(2);
  text << std::scientific << value;
  return text.str();
}
