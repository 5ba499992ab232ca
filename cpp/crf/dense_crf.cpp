#include "crf/dense_crf.h"

#include <cmath>
#include <string>

#include "crf/argmax.h"
#include "crf/mean_field.h"
#include "ops/mean_field.h"

namespace clip_es {
namespace {

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorCode::kInvalidArg, "CRF: " + message); }

void check_positive(float value, const char* name) {
  if (!(value > 0) || !std::isfinite(value)) refuse(std::string(name) + " is " + std::to_string(value) + "; it must be greater than 0");
}

void check_weight(float value, const char* name) {
  if (!(value >= 0) || !std::isfinite(value)) refuse(std::string(name) + " is " + std::to_string(value) + "; it must be 0 or more");
}

void check_input(const CrfInput& input) {
  if (input.width < 1 || input.height < 1)
    refuse("the photo has " + std::to_string(input.width) + " x " + std::to_string(input.height) + " pixels; both sides must be 1 or more");
  if (input.labels < 1 || input.labels > ops::kMostLabels)
    refuse("there are " + std::to_string(input.labels) + " labels; pass between 1 and " + std::to_string(ops::kMostLabels));
}

void check_settings(const CrfSettings& settings) {
  if (settings.rounds < 0) refuse("the number of rounds is " + std::to_string(settings.rounds) + "; it must be 0 or more");
  check_positive(settings.position_sigma, "the position sigma");
  check_positive(settings.bilateral_position_sigma, "the bilateral position sigma");
  check_positive(settings.bilateral_colour_sigma, "the bilateral colour sigma");
  check_weight(settings.position_weight, "the position weight");
  check_weight(settings.bilateral_weight, "the bilateral weight");
}

void check_outputs(const CrfOutputs& outputs, int64_t labels) {
  if (!outputs.value.empty() && std::ssize(outputs.value) != labels - 1)
    refuse(std::to_string(outputs.value.size()) + " mask values were passed for " + std::to_string(labels) + " labels; pass " +
           std::to_string(labels - 1) + ", one for each label after the background, or none");
}

}  // namespace

void dense_crf(HostContext& context, const CrfInput& input, const CrfSettings& settings, const CrfOutputs& outputs) {
  check_input(input);
  check_settings(settings);
  check_outputs(outputs, input.labels);
  Arena::Scope scope(context.arena);
  const int64_t pixels = input.width * input.height;
  float* marginals = outputs.marginals;
  if (!marginals) marginals = context.arena.take<float>(input.labels * pixels).data();
  crf::infer_marginals(context, input, settings, marginals);
  if (outputs.mask || outputs.confidence) crf::take_argmax(context, marginals, input.labels, pixels, outputs);
}

}  // namespace clip_es
