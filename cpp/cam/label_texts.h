// The texts that compete in one image's softmax.
#pragma once
#include <cstdint>
#include <span>

namespace clip_es {

// A label has one row, or a row for each synonym if the CAMs of its synonyms are averaged. In the softmax the mean of its rows stands for
// the label.
struct LabelTexts {
  std::span<const float> rows;         // (R, E), rows of length one
  std::span<const int64_t> first_row;  // (K + 1): label k owns rows [first_row[k], first_row[k + 1])
  std::span<const float> background;   // (M, E), rows of length one
  std::span<const uint8_t> value{};    // (K): the mask's byte for each label

  int64_t labels() const { return std::ssize(first_row) - 1; }
};

// The number of texts in the softmax: the labels, then the background words.
inline int64_t count_texts(const LabelTexts& texts, int64_t embedding) { return texts.labels() + std::ssize(texts.background) / embedding; }

// Throws Error kInvalidArg if there is only one text, because a softmax over one text is always 1.
void require_competition(const LabelTexts&);

}  // namespace clip_es
