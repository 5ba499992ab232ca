#include "checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>

#include "core/error.h"
#include "core/json.h"
#include "core/platform/file.h"
#include "files.h"
#include "safetensors.h"

namespace clip_es::train {
namespace {

constexpr size_t kKept = 3;
constexpr const char* kFormat = "clip-es-train-1";
constexpr std::string_view kMomentum = "momentum.";

std::string member(const Safetensors& file, const std::string& key, const std::string& path) {
  const auto found = file.metadata.find(key);
  if (found == file.metadata.end())
    throw Error(ErrorCode::kModelFormat,
                path + " has no '" + key + "' in its metadata; expected a file that clip-es train wrote, such as RUN/best.safetensors");
  return found->second;
}

ModelInfo info_of(const Safetensors& file, const std::string& path) {
  if (const std::string format = member(file, "clip_es", path); format != kFormat)
    throw Error(ErrorCode::kModelFormat, path + " has the format " + format + ", expected " + kFormat + "; use the release that wrote it");
  ModelInfo info;
  info.network = member(file, "network", path);
  const Json classes = parse_json(member(file, "classes", path));
  for (const Json& name : json_array(classes, "classes")) info.classes.push_back(json_string(name, "a class"));
  if (member(file, "style", path) == to_string(WeightStyle::kCaffe)) info.style = WeightStyle::kCaffe;
  info.iteration = std::stoll(member(file, "iteration", path));
  return info;
}

// Copies all tensors. None may be missing.
void load_state_dict(Network& network, const Safetensors& file, const std::string& path) {
  const torch::NoGradGuard no_gradient;
  for (auto& [name, tensor] : state_of(network)) {
    const auto found = file.tensors.find(name);
    if (found == file.tensors.end() || found->second.sizes() != tensor.sizes())
      throw Error(ErrorCode::kModelFormat, path + ": tensor " + name + " is missing or has another shape; the file is not complete");
    tensor.copy_(found->second);
  }
}

}  // namespace

void save_weights(const std::string& path, const Network& network, const ModelInfo& info) {
  Safetensors file;
  file.metadata = {{"clip_es", kFormat},
                   {"format", "pt"},  // as PyTorch's tools expect it
                   {"network", info.network},
                   {"classes", Json(info.classes).dump()},
                   {"style", to_string(info.style)},
                   {"iteration", std::to_string(info.iteration)}};
  file.tensors = state_of(network);
  write_safetensors(path, file);
}

Model load_model(const std::string& path) {
  const Safetensors file = read_safetensors(path);
  Model model{info_of(file, path), nullptr};
  model.network = make_network(model.info.network, static_cast<int64_t>(model.info.classes.size()), model.info.style, 0);
  load_state_dict(*model.network, file, path);
  return model;
}

std::string checkpoint_name(int64_t iteration) {
  char name[32];
  std::snprintf(name, sizeof(name), "%06lld", static_cast<long long>(iteration));
  return name;
}

std::string Checkpoints::weights_path(int64_t iteration) const { return folder_ + "/" + checkpoint_name(iteration) + ".safetensors"; }

std::string Checkpoints::state_path(int64_t iteration) const {
  std::string path = weights_path(iteration);
  return path.insert(path.rfind('.'), ".state");
}

std::string Checkpoints::save(const Network& network, const Optimiser& optimiser, const ModelInfo& info, const Progress& progress) const {
  Safetensors state;
  state.metadata = {{"iteration", std::to_string(progress.iteration)}, {"validated", std::to_string(progress.validated)}};
  if (progress.best) state.metadata["best"] = Json({progress.best->iteration, progress.best->miou}).dump();
  for (const auto& [name, tensor] : optimiser.momentum()) state.tensors.emplace(std::string(kMomentum) + name, tensor);
  write_safetensors(state_path(progress.iteration), state);
  const std::string path = weights_path(progress.iteration);
  save_weights(path, network, info);  // last: a checkpoint is complete if it has weights
  delete_old();
  return path;
}

std::vector<int64_t> Checkpoints::complete() const {
  std::vector<int64_t> iterations;
  std::error_code error;  // a folder that does not exist has no checkpoints
  for (const auto& entry : std::filesystem::directory_iterator(folder_, error)) {
    const std::string stem = entry.path().stem().string();
    int64_t iteration = 0;
    const auto [end, fault] = std::from_chars(stem.data(), stem.data() + stem.size(), iteration);
    const bool weights = fault == std::errc() && end == stem.data() + stem.size() && entry.path().extension() == ".safetensors";
    if (weights && platform::exists(state_path(iteration))) iterations.push_back(iteration);
  }
  std::sort(iterations.begin(), iterations.end());
  return iterations;
}

std::optional<int64_t> Checkpoints::newest() const {
  const std::vector<int64_t> iterations = complete();
  return iterations.empty() ? std::nullopt : std::optional(iterations.back());
}

void Checkpoints::delete_old() const {
  std::vector<int64_t> iterations = complete();
  if (iterations.size() <= kKept) return;
  iterations.resize(iterations.size() - kKept);
  for (const int64_t iteration : iterations) {
    std::error_code ignored;  // a file that cannot be deleted does no harm
    std::filesystem::remove(weights_path(iteration), ignored);
    std::filesystem::remove(state_path(iteration), ignored);
  }
}

Progress Checkpoints::load_state(int64_t iteration, Optimiser& optimiser) const {
  const std::string path = state_path(iteration);
  const Safetensors state = read_safetensors(path);
  Progress progress;
  progress.iteration = std::stoll(member(state, "iteration", path));
  progress.validated = std::stoll(member(state, "validated", path));
  if (const auto best = state.metadata.find("best"); best != state.metadata.end()) {
    const Json pair = parse_json(best->second);
    progress.best = Best{pair.at(0).get<int64_t>(), pair.at(1).get<double>()};
  }
  std::map<std::string, torch::Tensor> momentum;
  for (const auto& [name, tensor] : state.tensors)
    if (name.starts_with(kMomentum)) momentum.emplace(name.substr(kMomentum.size()), tensor);
  optimiser.load_momentum(momentum);
  return progress;
}

}  // namespace clip_es::train
