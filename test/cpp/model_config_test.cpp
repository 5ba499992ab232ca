// clip-es.json in an archive: what it changes, and what is refused.
#include "clip/model_config.h"

#include "archive_fixture.h"
#include "check.h"
#include "core/error.h"

namespace clip_es::model_config_test {

namespace {

ModelConfig read_config(const std::string& json) {
  const fixture::TemporaryFile file(fixture::make_zip({{"data.pkl", "\x80\x02}."}, {"extra/clip-es.json", json}}));
  return read_model_config(Archive(file.path()));
}

void check_refused(const std::string& json, const std::string& part) {
  CHECK_ERROR(read_config(json), ErrorCode::kModelFormat, "clip-es.json: " + part);
}

}  // namespace

TEST("an archive without clip-es.json, and one with an empty object, have OpenAI's configuration") {
  const fixture::TemporaryFile file(fixture::make_zip({{"data.pkl", "\x80\x02}."}}));
  for (const ModelConfig& config : {read_model_config(Archive(file.path())), read_config("{}")}) {
    CHECK(!config.activation);
    CHECK(config.image_heads == 0);
    CHECK(config.text_heads == 0);
    CHECK((config.mean == std::array<float, 3>{0.48145466f, 0.4578275f, 0.40821073f}));
    CHECK((config.std == std::array<float, 3>{0.26862954f, 0.26130258f, 0.27577711f}));
  }
}

TEST("clip-es.json sets activation, heads, mean and std") {
  const ModelConfig config =
      read_config(R"({"activation": "gelu", "heads": {"image": 1024, "text": 1}, "mean": [0, -0.5, 1], "std": [0.5, 1, 2]})");
  CHECK(config.activation == Activation::kGelu);
  CHECK(config.image_heads == 1024);
  CHECK(config.text_heads == 1);
  CHECK((config.mean == std::array<float, 3>{0, -0.5f, 1}));
  CHECK((config.std == std::array<float, 3>{0.5f, 1, 2}));
  CHECK(read_config(R"({"activation": "quick_gelu"})").activation == Activation::kQuickGelu);
}

TEST("clip-es.json with a value out of range is refused with the value") {
  check_refused(R"({"activation": "relu"})", R"(activation is "relu", expected "quick_gelu" or "gelu")");
  check_refused(R"({"activation": 1})", "activation is of type number, expected a string");
  for (const char* count : {"0", "-1", "1025", "12.5", "1e+300"})
    for (const char* tower : {"image", "text"})
      check_refused(std::string("{\"heads\": {\"") + tower + "\": " + count + "}}", std::string("heads.") + tower + " is " + count);
  check_refused(R"({"heads": 12})", "heads is of type number, expected an object");
  check_refused(R"({"heads": {"video": 12}})", "key heads.video is not known");
  check_refused(R"({"mean": [0.5, 0.5]})", "mean has 2 numbers, expected 3");
  check_refused(R"({"mean": [0.5, 0.5, 0.5, 0.5]})", "mean has 4 numbers, expected 3");
  check_refused(R"({"mean": [0.5, 1e39, 0.5]})", "mean contains 1e+39");
  check_refused(R"({"std": [0.5, 0.5, 0]})", "std contains 0, expected numbers above 0");
  check_refused(R"({"std": [-1, 0.5, 0.5]})", "std contains -1");
  check_refused(R"({"std": [1e-60, 0.5, 0.5]})", "std contains 0");
  check_refused(R"({"layers": 12})", "key layers is not known, expected activation, heads, mean or std");
  check_refused("[]", "the document is of type array, expected an object");
  check_refused("{\"heads\"", "it is not valid JSON");
}

}  // namespace clip_es::model_config_test
