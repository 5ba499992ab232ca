// What the stages that take several photos at once get for each photo, and where they write its results.
#pragma once
#include <cstdint>

#include "cam/attention_affinity.h"
#include "cam/box_mask.h"
#include "cam/label_texts.h"
#include "cam/last_block.h"
#include "core/image.h"
#include "core/maps.h"
#include "mask/pseudo_mask.h"

namespace clip_es {

struct GradCamOfPhoto {
  DeviceLastBlock last_block;
  LabelTexts texts;
  DeviceMaps cams;  // (K)
  // Of the labels, then of the background. A shorter span gets the first values. Written by wait().
  HostSpan<float> logits, probabilities;
};

struct BoxesOfPhoto {
  DeviceMaps cams;
  BoxSettings settings;
  DeviceSpan<uint8_t> boxes;  // (K, N)
};

struct RefinementOfPhoto {
  DeviceSpan<const float> attention;  // (N, N)
  DeviceMaps cams;
  DeviceSpan<const uint8_t> boxes;
  AffinitySettings settings;
  DeviceMaps refined;
};

struct MaskOfPhoto {
  DeviceMaps maps;  // normalised in place
  HostSpan<const uint8_t> value;
  PhotoSize size;
  MaskSettings settings;
  MaskOutputs outputs;  // in the host's memory, written by wait()
};

}  // namespace clip_es
