#include "crf/argmax.h"

#include "core/mask.h"

namespace clip_es::crf {

void take_argmax(HostContext& context, const float* marginals, int64_t labels, int64_t pixels, const CrfOutputs& outputs) {
  const auto byte_of = [&](int64_t label) {
    if (label == 0) return kBackground;
    return outputs.value.empty() ? static_cast<uint8_t>(label) : outputs.value[label - 1];
  };
  context.pool.split(pixels, kFewestPixels, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float largest = marginals[i];
      int64_t winner = 0;
      for (int64_t label = 1; label < labels; ++label)
        if (const float marginal = marginals[label * pixels + i]; marginal > largest) {
          largest = marginal;
          winner = label;
        }
      if (outputs.mask) outputs.mask[i] = largest < outputs.ignore_below ? kIgnored : byte_of(winner);
      if (outputs.confidence) outputs.confidence[i] = largest;
    }
  });
}

}  // namespace clip_es::crf
