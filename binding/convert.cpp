#include "convert.h"

namespace clip_es::binding {
namespace {

double number(const Napi::Object& object, const char* name) { return object.Get(name).As<Napi::Number>().DoubleValue(); }
int64_t integer(const Napi::Object& object, const char* name) { return object.Get(name).As<Napi::Number>().Int64Value(); }

template <class T>
T* pointer(const Napi::Object& object, const char* name) {
  return elements<T>(object.Get(name)).data();
}

}  // namespace

Image to_image(const Napi::Object& image) {
  return {.data = elements<const uint8_t>(image.Get("data")).data(),
          .width = integer(image, "width"),
          .height = integer(image, "height"),
          .channels = integer(image, "channels"),
          .row_bytes = integer(image, "rowBytes"),
          .blue_first = image.Get("blueFirst").As<Napi::Boolean>().Value()};
}

std::vector<PixelBox> to_boxes(const Napi::Value& value) {
  const auto numbers = elements<const int32_t>(value);
  std::vector<PixelBox> boxes;
  for (size_t i = 0; i < numbers.size(); i += 4) boxes.push_back({numbers[i], numbers[i + 1], numbers[i + 2], numbers[i + 3]});
  return boxes;
}

SegmenterSettings to_segmenter_settings(const Napi::Object& settings) {
  Precision precision = Precision::kFloat32;
  find_precision(settings.Get("precision").As<Napi::String>().Utf8Value(), precision);
  return {.precision = precision,
          .threads = static_cast<int>(integer(settings, "threads")),
          .max_side = integer(settings, "maxSide"),
          .device = settings.Get("device").As<Napi::String>().Utf8Value(),
          .weights_folder = settings.Get("weightsFolder").As<Napi::String>().Utf8Value(),
          .lower_priority = settings.Get("priority").As<Napi::String>().Utf8Value() == "low"};
}

QueueSettings to_queue_settings(const Napi::Object& settings) {
  return {.concurrency = static_cast<int>(integer(settings, "concurrency")),
          .max_batch = static_cast<size_t>(integer(settings, "maxBatch")),
          .max_delay = std::chrono::duration<double, std::milli>(number(settings, "maxDelay"))};
}

CrfSettings to_crf_settings(const Napi::Object& settings) {
  const auto value = [&](const char* name) { return static_cast<float>(number(settings, name)); };
  return {.rounds = static_cast<int>(integer(settings, "rounds")),
          .position_sigma = value("positionSigma"),
          .position_weight = value("positionWeight"),
          .bilateral_position_sigma = value("bilateralPositionSigma"),
          .bilateral_colour_sigma = value("bilateralColourSigma"),
          .bilateral_weight = value("bilateralWeight"),
          .released = settings.Get("released").As<Napi::Boolean>().Value()};
}

SimilaritySettings to_similarity_settings(const Napi::Object& settings) {
  const auto value = [&](const char* name) { return static_cast<float>(number(settings, name)); };
  const auto is_on = [&](const char* name) { return settings.Get(name).As<Napi::Boolean>().Value(); };
  return {.key_attention = settings.Get("attention").As<Napi::String>().Utf8Value() == "key",
          .neighbourhood = value("neighbourhood"),
          .residual = is_on("residual"),
          .feed_forward = is_on("feedForward"),
          .attend_class = is_on("attendClass"),
          .mix = value("mix"),
          .mix_factor = value("mixFactor"),
          .repair = value("repair"),
          .mid_attention = is_on("midAttention"),
          .aggregate = is_on("aggregate"),
          .fuse = is_on("fuse"),
          .class_token = value("classToken"),
          .logit_scale = value("logitScale"),
          .window = integer(settings, "window"),
          .stride = integer(settings, "stride")};
}

SegmentSettings to_segment_settings(const Napi::Object& settings) {
  SegmentSettings out;
  if (const Napi::Value maps = settings.Get("maps"); !maps.IsUndefined()) out.similarity = to_similarity_settings(maps.As<Napi::Object>());
  out.scales = elements<const double>(settings.Get("scales"));
  out.flip = settings.Get("flip").As<Napi::Boolean>().Value();
  out.refine = settings.Get("refine").As<Napi::Boolean>().Value();
  out.box.threshold = number(settings, "boxThreshold");
  out.min_score = static_cast<float>(number(settings, "minScore"));
  out.mask.background_power = static_cast<float>(number(settings, "backgroundPower"));
  out.mask.background_below = static_cast<float>(number(settings, "backgroundBelow"));
  out.mask.ignore_below = static_cast<float>(number(settings, "ignoreBelow"));
  if (const Napi::Value crf = settings.Get("crf"); !crf.IsUndefined()) out.crf = to_crf_settings(crf.As<Napi::Object>());
  return out;
}

Texts::Texts(const Napi::Object& texts)
    : rows(elements<const float>(texts.Get("rows"))),
      background(elements<const float>(texts.Get("background"))),
      values(elements<const uint8_t>(texts.Get("values"))) {
  const auto first = elements<const int32_t>(texts.Get("firstRow"));
  first_row.assign(first.begin(), first.end());
}

SegmentOutputs to_outputs(const Napi::Object& outputs) {
  return {.image = {.mask = pointer<uint8_t>(outputs, "mask"),
                    .confidence = pointer<float>(outputs, "confidence"),
                    .maps = pointer<float>(outputs, "cams")},
          .scores = pointer<float>(outputs, "scores")};
}

const char* name_of(WeightsOrigin origin) {
  switch (origin) {
    case WeightsOrigin::kArchive: return "archive";
    case WeightsOrigin::kMemory: return "memory";
    case WeightsOrigin::kFile: return "file";
  }
  return "";
}

Napi::Object to_js(Napi::Env env, const Segmenter& segmenter) {
  const Model& model = segmenter.model();
  Napi::Object out = Napi::Object::New(env);
  const auto set = [&](const char* name, int64_t value) { out.Set(name, static_cast<double>(value)); };
  set("patch", model.shape.patch);
  set("width", model.shape.width);
  set("layers", model.shape.layers);
  set("resolution", model.shape.resolution);
  set("embedding", model.shape.embedding);
  set("context", model.shape.context);
  set("vocabulary", model.shape.vocabulary);
  set("heads", model.image.heads);
  out.Set("activation", model.image.activation == Activation::kGelu ? "gelu" : "quickgelu");
  out.Set("assumedActivation", model.assumed_activation);
  out.Set("assumedHeads", model.assumed_heads);
  out.Set("logitScale", model.logit_scale);
  out.Set("fingerprint", model.fingerprint_text());
  out.Set("precision", clip_es::name_of(segmenter.precision()));
  out.Set("device", segmenter.device());
  out.Set("weightsFrom", name_of(segmenter.load().origin));
  out.Set("weightsFailure", segmenter.load().failure);
  return out;
}

Napi::Object to_js(Napi::Env env, const StageTimes& times, double queue_seconds) {
  Napi::Object out = Napi::Object::New(env);
  const auto set = [&](const char* name, double seconds) { out.Set(name, 1000 * seconds); };
  set("queue", queue_seconds);
  set("preprocess", times.preprocess);
  set("encode", times.encode);
  set("gradcam", times.gradcam);
  set("refine", times.refine);
  set("mask", times.mask);
  set("crf", times.crf);
  return out;
}

Napi::Value to_js(Napi::Env env, const Failure& failure) {
  const Napi::Error error = Napi::Error::New(env, failure.message);
  error.Value().Set("code", failure.code);
  return error.Value();
}

}  // namespace clip_es::binding
