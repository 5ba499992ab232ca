// Training steps for the comparison with plain PyTorch: see tools/train/twin_steps.py.
#pragma once
#include <string>

// Writes FOLDER/NAME.safetensors for each case: the batch, the weights before and after two steps, the losses and the first gradients. The
// metadata has the settings with the names of a job file.
void write_twin_cases(const std::string& folder);
