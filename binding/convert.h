// Converts JavaScript's arguments to the engine's types, and the engine's results to JavaScript. TypeScript has checked the arguments.
#pragma once
#include <napi.h>

#include <span>
#include <vector>

#include "errors.h"
#include "job_queue.h"
#include "segmenter.h"

namespace clip_es::binding {

// The memory of a typed array, which JavaScript owns. Empty for undefined.
template <class T>
std::span<T> elements(const Napi::Value& value) {
  if (value.IsUndefined()) return {};
  const auto array = value.As<Napi::TypedArray>();
  auto* base = static_cast<uint8_t*>(array.ArrayBuffer().Data());
  return {reinterpret_cast<T*>(base + array.ByteOffset()), array.ElementLength()};
}

// { data: Uint8Array, width, height, channels: 1, 3 or 4, rowBytes, blueFirst }
Image to_image(const Napi::Object&);

// Int32Array (boxes * 4): left, top, right, bottom
std::vector<PixelBox> to_boxes(const Napi::Value&);

// { device, precision: 'float32' | 'bfloat16' | 'int8', threads, maxSide (0: no limit) }
SegmenterSettings to_segmenter_settings(const Napi::Object&);
// { concurrency, maxBatch, maxDelay (milliseconds) }
QueueSettings to_queue_settings(const Napi::Object&);

// { rounds, positionSigma, positionWeight, bilateralPositionSigma, bilateralColourSigma, bilateralWeight, released }
CrfSettings to_crf_settings(const Napi::Object&);

// { attention: 'query' | 'key', and the other fields of SimilaritySettings in camel case }
SimilaritySettings to_similarity_settings(const Napi::Object&);

// { maps?: what to_similarity_settings takes, scales: Float64Array, flip, refine, boxThreshold, minScore, backgroundPower, backgroundBelow,
// ignoreBelow,
//   crf?: what to_crf_settings takes }
// The scales stay in JavaScript's memory.
SegmentSettings to_segment_settings(const Napi::Object&);

// { rows: Float32Array (R * E), firstRow: Int32Array (K + 1), background: Float32Array (M * E), values: Uint8Array (K) }
// The arrays stay in JavaScript's memory, except first_row, which is converted to the engine's 64-bit integers.
struct Texts {
  explicit Texts(const Napi::Object&);
  LabelTexts view() const { return {rows, first_row, background, values}; }

  std::span<const float> rows, background;
  std::vector<int64_t> first_row;
  std::span<const uint8_t> values;
};

// { mask?, confidence?, cams?, scores }
SegmentOutputs to_outputs(const Napi::Object&);

Napi::Object to_js(Napi::Env, const Segmenter&);                         // the model and how it was loaded
Napi::Object to_js(Napi::Env, const StageTimes&, double queue_seconds);  // in milliseconds
Napi::Value to_js(Napi::Env, const Failure&);                            // an Error with a code

}  // namespace clip_es::binding
