// The command line of the tests.
#pragma once
#include <string>

struct TestOptions {
  std::string libtorch;  // the folder of a LibTorch; empty: $CLIP_ES_LIBTORCH, and without that the tests that need one are skipped
  std::string model = "models/emoji-clip.pt";
  std::string golden = "test/golden";
  std::string device;  // the GPU to test, "cuda" or "cuda:N"; empty: the kernels run on the host
};
TestOptions& options();
