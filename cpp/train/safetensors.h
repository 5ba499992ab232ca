// Files of named tensors in the format safetensors (https://github.com/huggingface/safetensors): the length of a JSON header, the header,
// and the bytes of the tensors.
#pragma once
#include <torch/torch.h>

#include <map>
#include <string>

namespace clip_es::train {

struct Safetensors {
  std::map<std::string, std::string> metadata;
  std::map<std::string, torch::Tensor> tensors;  // on the CPU
};

bool is_safetensors(const std::string& path);  // by the start of the file

// Throws Error kIo when the file cannot be read, and kModelFormat, with the path and the reason, when it is damaged.
Safetensors read_safetensors(const std::string& path);

// Writes the file whole or not at all. Throws Error kIo.
void write_safetensors(const std::string& path, const Safetensors& content);

}  // namespace clip_es::train
