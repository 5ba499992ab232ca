// Weights that segmenters of one archive share in memory, and that processes share through a weights file.
#include "loaded_model.h"

#include <atomic>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>
#include <vector>

#include "archive_fixture.h"
#include "check.h"
#include "core/crc32.h"
#include "golden.h"
#include "options.h"
#include "segment_job.h"
#include "weights_file.h"

namespace clip_es::loaded_model_test {

namespace fs = std::filesystem;

namespace {

// The destructor deletes the folder.
struct Folder {
  fs::path path = fixture::TemporaryFile().path() + "-weights";
  Folder() { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }

  std::vector<fs::path> files() const {
    std::vector<fs::path> all;
    for (const auto& entry : fs::directory_iterator(path)) all.push_back(entry.path());
    return all;
  }
};

// A copy of the small model for this file, because segmenters of other tests share the weights of the original.
std::string small_model() {
  static const fixture::TemporaryFile copy(fixture::read_file(options().golden + kSmallModel));
  return copy.path();
}

SegmenterSettings settings_with(const Folder& folder, Precision precision = Precision::kFloat32) {
  return {.precision = precision, .threads = 1, .weights_folder = folder.path.string()};
}

// A result that depends on both towers: the maps of a photo and the embedding of a prompt.
std::vector<float> results_of(Segmenter& segmenter) {
  SegmentJob job;
  Request request = job.request();
  segmenter.segment({&request, 1});
  request.rethrow_failure();
  const Model& model = segmenter.model();
  std::vector<int32_t> tokens(static_cast<size_t>(model.shape.context));
  tokens[0] = 3;
  tokens[1] = static_cast<int32_t>(model.shape.vocabulary) - 1;
  std::vector<float> all(static_cast<size_t>(model.shape.embedding));
  segmenter.encode_text(tokens, all);
  all.insert(all.end(), job.maps.begin(), job.maps.end());
  return all;
}

WeightsOrigin origin_of(const SegmenterSettings& settings) { return Segmenter(small_model(), settings).load().origin; }

void overwrite(const fs::path& path, const std::string& bytes) { std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes; }

}  // namespace

TEST("segmenters of one archive and precision share model and weights, and the last one frees them") {
  std::weak_ptr<const LoadedModel> loaded;
  {
    const Segmenter first(small_model(), {}), second(small_model(), {}), other(small_model(), {.precision = Precision::kBFloat16});
    CHECK(first.load().origin == WeightsOrigin::kArchive && second.load().origin == WeightsOrigin::kMemory);
    CHECK(first.load().loaded == second.load().loaded);
    CHECK(other.load().origin == WeightsOrigin::kArchive && other.load().loaded != first.load().loaded);
    loaded = first.load().loaded;
  }
  CHECK(loaded.expired());
}

TEST(
    "the counted memory of the weights is what a file of them holds, the estimate is near it, and too little memory is refused with the "
    "remedy") {
  const Archive archive(small_model());
  for (const Precision precision : {Precision::kFloat32, Precision::kBFloat16, Precision::kInt8}) {
    const Segmenter segmenter(small_model(), {.precision = precision});
    const LoadedModel& loaded = *segmenter.load().loaded;
    const auto bytes = static_cast<double>(loaded.model->bytes() + loaded.text->bytes() + loaded.weights->bytes());
    const size_t estimate = estimate_weight_bytes(archive, precision);
    CHECK(estimate > 0.5 * bytes && estimate < 1.5 * bytes);  // the last block, which is small in large models, is stored twice
    // A weights file also holds 35 KB of norms, other vectors and padding.
    const Folder folder;
    const std::string file = (folder.path / "weights").string();
    write_weights_file(file, loaded.model->fingerprint, precision, loaded);
    if (fs::exists(file)) CHECK_BELOW(std::abs(static_cast<double>(fs::file_size(file)) - bytes - 35'000), 5'000);  // not with oneDNN
    require_memory(archive, precision, estimate + 1000, 1000);
    CHECK_ERROR(require_memory(archive, precision, estimate + 999, 1000), ErrorCode::kOutOfMemory,
                small_model() + ": its weights need about");
  }
  CHECK_ERROR(require_memory(archive, Precision::kFloat32, 0, 0), ErrorCode::kOutOfMemory, "use precision 'int8', a smaller model");
  CHECK_ERROR(require_memory(archive, Precision::kInt8, 0, 0), ErrorCode::kOutOfMemory, ": use a smaller model");
}

TEST(
    "the estimate counts the image tower in its precision, text blocks in float16 and the rest in float32, and the refusal names the "
    "sizes") {
  const auto named = [](const std::string& name, int64_t values) { return fixture::text(name) + fixture::tensor({{values}, {1}, 0, 10}); };
  const std::string pickle =
      "\x80\x02}(" + named("visual.a", 10) + named("transformer.b", 7) + named("visualise", 2) + named("transformer", 1) + "u.";
  const fixture::TemporaryFile file(fixture::make_zip({{"data.pkl", pickle}, {"data/0", std::string(40, '\0')}}));
  const Archive archive(file.path());
  CHECK(estimate_weight_bytes(archive, Precision::kFloat32) == 40 + 14 + 12);
  CHECK(estimate_weight_bytes(archive, Precision::kBFloat16) == 20 + 14 + 12);
  CHECK(estimate_weight_bytes(archive, Precision::kInt8) == 10 + 14 + 12);
  CHECK_ERROR(require_memory(archive, Precision::kFloat32, 5 << 20, 7 << 20), ErrorCode::kOutOfMemory,
              "its weights need about 0 MB with precision 'float32', but this process may use only 5 MB and already uses 7 MB: use ");
}

TEST("threads that load one archive at the same time read it once") {
  constexpr int kThreads = 4;
  std::vector<std::optional<Segmenter>> segmenters(kThreads);
  std::vector<std::thread> threads;
  for (auto& segmenter : segmenters) threads.emplace_back([&] { segmenter.emplace(small_model(), SegmenterSettings{}); });
  for (std::thread& thread : threads) thread.join();
  int read = 0;
  for (const auto& segmenter : segmenters) {
    read += segmenter->load().origin == WeightsOrigin::kArchive;
    CHECK(segmenter->load().loaded == segmenters.front()->load().loaded);
  }
  CHECK(read == 1);
}

TEST("a load that is cancelled or fails leaves the next one to read the archive") {
  const std::atomic<bool> cancelled = true;
  bool thrown = false;
  try {
    Segmenter(small_model(), {}, &cancelled);
  } catch (const Cancelled&) {
    thrown = true;
  }
  CHECK(thrown);
  CHECK(origin_of({}) == WeightsOrigin::kArchive);
}

TEST("a weights file gives the bits of the archive, in every precision") {
  for (const Precision precision : {Precision::kFloat32, Precision::kBFloat16, Precision::kInt8}) {
    const Folder folder;
    std::vector<float> want, got;
    {
      Segmenter segmenter(small_model(), settings_with(folder, precision));
      CHECK(segmenter.load().origin == WeightsOrigin::kArchive && segmenter.load().failure.empty());
      want = results_of(segmenter);
    }
    CHECK(folder.files().size() == 1);
    Segmenter segmenter(small_model(), settings_with(folder, precision));
    CHECK(segmenter.load().origin == WeightsOrigin::kFile);
    got = results_of(segmenter);
    CHECK(got == want);
    CHECK(segmenter.model().fingerprint == model_at(small_model()).model()->fingerprint);
  }
}

TEST("a weights file that is cut, changed in its description, or of another model or precision is written again") {
  const Folder folder;
  CHECK(origin_of(settings_with(folder)) == WeightsOrigin::kArchive);
  const fs::path file = folder.files().front();
  const std::string good = fixture::read_file(file.string());
  const auto changed = [&](size_t at) {
    std::string bytes = good;
    bytes[at] = static_cast<char>(bytes[at] ^ 1);
    return bytes;
  };
  std::vector<std::string> bad{"", "x", good.substr(0, 20), good.substr(0, good.size() - 1), good + "x", std::string(good.size(), '\0')};
  for (const size_t at : {0, 8, 12, 16, 24, 40, 200, 1000}) bad.push_back(changed(at));
  for (const std::string& bytes : bad) {
    overwrite(file, bytes);
    CHECK(origin_of(settings_with(folder)) == WeightsOrigin::kArchive);
    CHECK(fixture::read_file(file.string()) == good);
    CHECK(folder.files().size() == 1);  // no temporary file is left
  }
  const uint64_t fingerprint = model_at(small_model()).model()->fingerprint;
  CHECK(read_weights_file(file.string(), fingerprint, Precision::kFloat32) != nullptr);
  CHECK(read_weights_file(file.string(), fingerprint + 1, Precision::kFloat32) == nullptr);
  CHECK(read_weights_file(file.string(), fingerprint, Precision::kBFloat16) == nullptr);
  CHECK(read_weights_file(file.string() + "-none", fingerprint, Precision::kFloat32) == nullptr);
}

TEST("a weights file with a wrong length in its description, but the right checksum, is read without a crash or an exception") {
  const Folder folder;
  CHECK(origin_of(settings_with(folder)) == WeightsOrigin::kArchive);
  const fs::path file = folder.files().front();
  const uint64_t fingerprint = model_at(small_model()).model()->fingerprint;
  const std::string good = fixture::read_file(file.string());
  constexpr size_t kChecksumAt = 12, kSizeAt = 16, kHeader = 32;
  const auto number_at = [&](size_t at) {
    uint64_t number = 0;
    std::memcpy(&number, &good[at], sizeof number);
    return number;
  };
  const size_t size = number_at(kSizeAt);
  int changed = 0, refused = 0;
  for (size_t at = 0; at + sizeof(uint64_t) <= size; ++at) {
    const uint64_t number = number_at(kHeader + at);
    if (number == 0 || number > good.size() || good[kHeader + at] == 0) continue;  // not a length, or only a part of one
    std::string description = good.substr(kHeader, size);
    description.replace(at, sizeof number, std::string(sizeof number, '\xff'));
    const uint32_t checksum = crc32(std::as_bytes(std::span(description)));
    std::fstream out(file, std::ios::binary | std::ios::in | std::ios::out);
    out.seekp(kChecksumAt).write(reinterpret_cast<const char*>(&checksum), sizeof checksum);
    out.seekp(kHeader).write(description.data(), static_cast<std::streamsize>(size));
    out.close();
    refused += read_weights_file(file.string(), fingerprint, Precision::kFloat32) == nullptr;
    ++changed;
  }
  check::note(std::to_string(refused) + " of " + std::to_string(changed) + " files refused");
  CHECK(refused > changed / 2);
}

TEST("a folder that cannot be written does not prevent a load, and the reason is kept") {
  const Folder folder;
  SegmenterSettings settings = settings_with(folder);
  settings.weights_folder += "/none";
  const Segmenter segmenter(small_model(), settings);
  CHECK(segmenter.load().origin == WeightsOrigin::kArchive);
  CHECK(segmenter.load().failure.find("cannot be written: No such file or directory") != std::string::npos);
}

}  // namespace clip_es::loaded_model_test
