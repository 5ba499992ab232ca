// Readers and writers of pictures. The tests in TypeScript read files that sharp wrote.
#include "pictures.h"

#include "check.h"
#include "core/error.h"
#include "files.h"
#include "job.h"
#include "png.h"
#include "temporary_folder.h"

using namespace clip_es;
using namespace clip_es::train;

TEST("a mask is read as it was written, and its colours are PASCAL VOC's") {
  const TemporaryFolder folder;
  const Mask mask{3, 2, {0, 1, 255, 21, 4, 2}};
  write_mask(folder / "m.png", mask);
  const Mask read = read_mask(folder / "m.png");
  CHECK(read.width == 3 && read.height == 2 && read.labels == mask.labels);
  const Photo colours = read_photo(folder / "m.png");
  const std::vector<uint8_t> expected{0, 0, 0, 128, 0, 0, 224, 224, 192, 128, 64, 128, 0, 0, 128, 0, 128, 0};
  CHECK(colours.rgb == expected);
}

TEST("wrong files are refused with their path") {
  const TemporaryFolder folder;
  const std::string path = folder / "x.png";
  write_file(path, "no picture");
  CHECK_ERROR(read_photo(path), ErrorCode::kInvalidArg, path);
  CHECK_ERROR(read_mask(path), ErrorCode::kInvalidArg, path);
  write_mask(path, {200, 200, std::vector<uint8_t>(40000, 3)});
  CHECK_ERROR(read_confidence(path), ErrorCode::kInvalidArg, "16 bits");
  const std::string good = read_file(path);
  write_file(path, good.substr(0, good.size() / 2));
  CHECK_ERROR(read_mask(path), ErrorCode::kInvalidArg, "cannot be decoded");
  CHECK_ERROR(read_mask(folder / "none.png"), ErrorCode::kIo, "none.png cannot be read");
}

TEST("a job with a wrong value is refused with the name of the member") {
  const TemporaryFolder folder;
  const std::string path = folder / "job.json";
  const auto refuse = [&](const std::string& text, const std::string& part) {
    write_file(path, text);
    CHECK_ERROR(read_predict_job(path), ErrorCode::kInvalidArg, part);
  };
  const std::string good = R"({"version":1,"weights":"w","scales":[1,0.5],"flip":true,"device":"cpu","threads":2})";
  write_file(path, good);
  CHECK(read_predict_job(path).scales.size() == 2);
  const auto changed = [&](const std::string& from, const std::string& to) {
    return std::string(good).replace(good.find(from), from.size(), to);
  };
  refuse("{", "JSON");
  refuse(changed("\"version\":1", "\"version\":2"), "version is 2");
  refuse(changed("[1,0.5]", "[]"), "scales is empty");
  refuse(changed("0.5", "0"), "scales[1] is 0");
  refuse(changed("true", "1"), "flip is 1, expected true or false");
  refuse(changed("\"threads\":2", "\"threads\":2.5"), "threads is 2.5, expected an integer");
  refuse(changed("\"flip\":true,", ""), "\"flip\" is missing");
}
