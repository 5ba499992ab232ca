#include "cam/label_texts.h"

#include "core/error.h"

namespace clip_es {

void require_competition(const LabelTexts& texts) {
  if (texts.labels() == 1 && texts.background.empty())
    throw Error(ErrorCode::kInvalidArg,
                "there is one label and no background words, so its probability is always 1; pass background words or more labels");
}

}  // namespace clip_es
