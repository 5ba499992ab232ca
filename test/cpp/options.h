// What the tests' command line says.
#pragma once
#include <string>

struct TestOptions {
  std::string libtorch;  // LibTorch's folder; empty: $CLIP_ES_LIBTORCH
  std::string model = "models/emoji-clip.pt";
  std::string golden = "test/golden";
  std::string device;  // the GPU to test, "cuda" or "cuda:N"; empty: the kernels run on the host
};
TestOptions& options();
