// Reading a model: what is refused, and what the archive's configuration changes.
#include "clip/model_file.h"

#include <cmath>
#include <map>

#include "archive_fixture.h"
#include "check.h"
#include "core/error.h"

namespace clip_es::model_file_test {

namespace {

struct Parameter {
  std::vector<int64_t> shape;
  std::vector<float> values;
};

int64_t product(const std::vector<int64_t>& sizes) {
  int64_t count = 1;
  for (const int64_t size : sizes) count *= size;
  return count;
}

Parameter filled(const std::vector<int64_t>& shape, float value = 0.25f) { return {shape, std::vector<float>(product(shape), value)}; }

// A CLIP with 2 blocks in each tower, patches of 2 pixels and a grid of 2 x 2. A test changes one part to make it invalid.
struct TestArchive {
  explicit TestArchive(int64_t image_width = 64, int64_t text_width = 64) {
    const int64_t embedding = 8;
    add("visual.conv1.weight", {image_width, 3, 2, 2});
    add("visual.class_embedding", {image_width});
    add("visual.positional_embedding", {5, image_width});
    add("visual.proj", {image_width, embedding});
    for (const char* norm : {"visual.ln_pre", "visual.ln_post"}) add_norm(norm, image_width);
    add("token_embedding.weight", {10, text_width});
    add("positional_embedding", {4, text_width});
    add("text_projection", {text_width, embedding});
    add_norm("ln_final", text_width);
    for (const char* index : {"0", "1"}) {
      add_block(std::string("visual.transformer.resblocks.") + index, image_width);
      add_block(std::string("transformer.resblocks.") + index, text_width);
    }
    parameters["logit_scale"] = filled({}, 2);
  }

  void add(const std::string& name, const std::vector<int64_t>& shape) { parameters[name] = filled(shape); }
  void add_norm(const std::string& name, int64_t width) {
    for (const char* part : {".weight", ".bias"}) add(name + part, {width});
  }
  void add_block(const std::string& name, int64_t width, int64_t hidden = 16) {
    for (const char* norm : {".ln_1", ".ln_2"}) add_norm(name + norm, width);
    add(name + ".attn.in_proj_weight", {3 * width, width});
    add(name + ".attn.in_proj_bias", {3 * width});
    add(name + ".attn.out_proj.weight", {width, width});
    add(name + ".attn.out_proj.bias", {width});
    add(name + ".mlp.c_fc.weight", {hidden, width});
    add(name + ".mlp.c_fc.bias", {hidden});
    add(name + ".mlp.c_proj.weight", {width, hidden});
    add(name + ".mlp.c_proj.bias", {width});
  }

  std::string bytes() const {
    std::string pickle = "\x80\x02}";
    fixture::Records records;
    for (const auto& [name, parameter] : parameters) {
      const std::string key = std::to_string(records.size());
      std::vector<int64_t> strides(parameter.shape.size(), 1);
      for (size_t d = strides.size(); d-- > 1;) strides[d - 1] = strides[d] * parameter.shape[d];
      const auto count = static_cast<int64_t>(parameter.values.size());
      pickle += fixture::text(name) + fixture::tensor({parameter.shape, strides, 0, count, "FloatStorage", key}) + "s";
      records.push_back({"data/" + key, fixture::bytes_of(parameter.values)});
    }
    records.push_back({"data.pkl", pickle + "."});
    if (is_torchscript) records.push_back({"code/__torch__.py", "class Root(Module):\n  __parameters__ = []\n"});
    if (!config.empty()) records.push_back({"extra/clip-es.json", config});
    return fixture::make_zip(records);
  }

  void check_refused(const std::string& part) const {
    const fixture::TemporaryFile file(bytes());
    CHECK_ERROR(ModelFile{file.path()}, ErrorCode::kModelFormat, part);
    CHECK_ERROR(ModelFile{file.path()}, ErrorCode::kModelFormat, file.path() + ": ");
  }

  std::map<std::string, Parameter> parameters;
  std::string config;
  bool is_torchscript = false;
};

}  // namespace

TEST("a model's sizes come from its tensors, and its blocks have their own weights") {
  TestArchive archive(128, 64);
  archive.add_block("visual.transformer.resblocks.1", 128, 24);
  std::ranges::fill(archive.parameters["visual.transformer.resblocks.1.ln_2.bias"].values, 3.0f);
  std::ranges::fill(archive.parameters["transformer.resblocks.1.ln_1.weight"].values, 4.0f);
  const fixture::TemporaryFile file(archive.bytes());
  const ModelFile source(file.path());
  const Model& model = *source.model();
  CHECK(model.shape.patch == 2 && model.shape.width == 128 && model.shape.layers == 2 && model.shape.resolution == 4);
  CHECK(model.shape.embedding == 8 && model.shape.context == 4 && model.shape.vocabulary == 10);
  CHECK(model.image.heads == 2 && model.text.heads == 1 && model.text.width == 64 && model.text_layers == 2 && model.last_hidden == 24);
  CHECK(model.logit_scale == std::exp(2.0f));
  CHECK(source.image_block(1).ln_2.beta[0] == 3 && source.image_block(0).ln_2.beta[0] == 0.25f);
  CHECK(source.text_block(1).ln_1.gamma[0] == 4 && source.text_block(0).ln_1.gamma[0] == 0.25f);
  CHECK(source.patch_embedding().inputs == 12 && source.patch_embedding().outputs == 128);
}

TEST("the configuration of an archive sets the heads of each tower, the activation, mean and deviation") {
  TestArchive archive;
  archive.config = R"({"heads": {"image": 4, "text": 2}, "activation": "gelu", "mean": [0.1, 0.2, 0.3], "std": [1, 2, 3]})";
  const fixture::TemporaryFile file(archive.bytes());
  const ModelFile source(file.path());
  const Model& model = *source.model();
  CHECK(model.image.heads == 4 && model.text.heads == 2);
  CHECK(model.image.activation == Activation::kGelu && model.text.activation == Activation::kGelu);
  CHECK((model.mean == std::array{0.1f, 0.2f, 0.3f} && model.std == std::array{1.0f, 2.0f, 3.0f}));
}

TEST("a model tells what a bare state dict leaves unsaid, and nothing of other archives") {
  struct Case {
    bool is_torchscript;
    const char* config;
    bool activation, heads;  // what is assumed
  };
  const Case cases[] = {
      {false, "", true, true},
      {false, R"({"activation": "gelu"})", false, true},
      {false, R"({"heads": {"image": 2}})", true, true},
      {false, R"({"heads": {"image": 2, "text": 1}})", true, false},
      {false, R"({"activation": "quick_gelu", "heads": {"image": 2, "text": 1}})", false, false},
      {true, "", false, false},
      {true, R"({"activation": "gelu"})", false, false},
  };
  for (const Case& c : cases) {
    TestArchive archive;
    archive.is_torchscript = c.is_torchscript;
    archive.config = c.config;
    const fixture::TemporaryFile file(archive.bytes());
    const auto model = ModelFile(file.path()).model();
    CHECK(model->assumed_activation == c.activation);
    CHECK(model->assumed_heads == c.heads);
  }
}

TEST("a width that does not divide into heads is refused, with and without a configured number of heads") {
  TestArchive(96, 64).check_refused("the image tower's width 96 does not divide into heads of 64");
  TestArchive(64, 96).check_refused("the text tower's width 96 does not divide into heads of 64");
  TestArchive(32, 64).check_refused("the image tower's width 32 does not divide into heads of 64");
  TestArchive archive;
  archive.config = R"({"heads": {"image": 3}})";
  archive.check_refused("the image tower's width 64 does not divide into 3 heads");
  archive.config = R"({"heads": {"text": 5}})";
  archive.check_refused("the text tower's width 64 does not divide into 5 heads");
}

TEST("a missing tensor and a missing block are refused by name") {
  for (const char* name : {"visual.proj", "visual.conv1.weight", "ln_final.bias", "text_projection", "logit_scale"}) {
    TestArchive archive;
    archive.parameters.erase(name);
    archive.check_refused(std::string("tensor ") + name + " is missing");
  }
  for (const std::string tower : {"visual.transformer.resblocks.", "transformer.resblocks."}) {
    TestArchive gap;
    gap.parameters.erase(tower + "0.attn.in_proj_weight");
    gap.check_refused("tensor " + tower + "0.attn.in_proj_weight is missing");
    gap.add_block(tower + "0", 64);
    gap.add_block(tower + "3", 64);
    gap.check_refused("tensor " + tower + "2.attn.in_proj_weight is missing, but later blocks are present");
    gap.parameters.erase(tower + "0.attn.in_proj_weight");
    gap.parameters.erase(tower + "1.attn.in_proj_weight");
    gap.parameters.erase(tower + "3.attn.in_proj_weight");
    gap.check_refused("tensor " + tower + "0.attn.in_proj_weight is missing");
  }
}

TEST("a tensor of another shape is refused with both shapes") {
  TestArchive archive;
  archive.add("visual.class_embedding", {65});
  archive.check_refused("tensor visual.class_embedding is (65,), but the other tensors require (64,)");
  archive = TestArchive();
  archive.add("visual.class_embedding", {64, 1});
  archive.check_refused("tensor visual.class_embedding is (64, 1), expected 1 dimensions");
  archive = TestArchive();
  archive.add("token_embedding.weight", {0, 64});
  archive.check_refused("tensor token_embedding.weight is (0, 64), expected 2 dimensions, none of them zero");
  archive = TestArchive();
  archive.add("text_projection", {64, 9});
  archive.check_refused("tensor visual.proj is (64, 8), but text_projection has embeddings of size 9");
  for (const int64_t positions : {1, 4, 6}) {
    archive = TestArchive();
    archive.add("visual.positional_embedding", {positions, 64});
    archive.check_refused("tensor visual.positional_embedding has " + std::to_string(positions) +
                          " rows; expected a square number plus one");
  }
}

TEST("values that are not finite are refused, also in a block that is read later") {
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    TestArchive archive;
    archive.parameters["visual.ln_pre.bias"].values.back() = bad;
    archive.check_refused("tensor visual.ln_pre.bias holds a value that is not finite");
    archive = TestArchive();
    archive.parameters["visual.transformer.resblocks.1.mlp.c_proj.bias"].values.back() = bad;
    const fixture::TemporaryFile file(archive.bytes());
    const ModelFile source(file.path());
    CHECK_ERROR(source.image_block(1), ErrorCode::kModelFormat, "tensor visual.transformer.resblocks.1.mlp.c_proj.bias holds a value");
  }
  TestArchive scale;
  scale.parameters["logit_scale"] = filled({}, 89);  // e^89 exceeds float32
  scale.check_refused("tensor logit_scale overflows");
}

TEST("the logit scale may be a scalar or a vector of one, but nothing longer") {
  TestArchive archive;
  archive.parameters["logit_scale"] = filled({1}, 3);
  const fixture::TemporaryFile file(archive.bytes());
  CHECK(ModelFile(file.path()).model()->logit_scale == std::exp(3.0f));
  archive.add("logit_scale", {2});
  archive.check_refused("tensor logit_scale is (2,)");
}

TEST("a ResNet CLIP is refused by name") {
  TestArchive archive;
  archive.add("visual.layer1.0.conv1.weight", {4, 4, 1, 1});
  archive.check_refused("this is a ResNet CLIP");
}

TEST("reading a model stops when it is cancelled, also between its blocks") {
  std::atomic<bool> cancelled{false};
  const fixture::TemporaryFile file(TestArchive().bytes());
  const ModelFile source(file.path(), &cancelled);
  cancelled = true;
  const auto is_cancelled = [](auto read) {
    try {
      read();
    } catch (const Cancelled&) {
      return true;
    }
    return false;
  };
  CHECK(is_cancelled([&] { ModelFile(file.path(), &cancelled); }));
  CHECK(is_cancelled([&] { source.image_block(0); }));
  CHECK(is_cancelled([&] { source.text_block(0); }));
}

}  // namespace clip_es::model_file_test
