// The options of the command line of clip_es_test.
#pragma once
#include <string>

struct TestOptions {
  std::string libtorch;  // the folder of a LibTorch; empty: $CLIP_ES_LIBTORCH. Without both, tests that need LibTorch are skipped
  std::string model = "models/emoji-clip.pt";
  std::string golden = "test/golden";
  std::string device;  // the GPU to test, "cuda" or "cuda:N"; empty: the CUDA kernels run in the emulator
};
TestOptions& options();
