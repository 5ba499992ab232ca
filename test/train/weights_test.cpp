// Files of weights: safetensors, checkpoints, and the names of other programs.
#include "check.h"
#include "checkpoint.h"
#include "core/error.h"
#include "files.h"
#include "initial_weights.h"
#include "safetensors.h"
#include "temporary_folder.h"

using namespace clip_es;
using namespace clip_es::train;

namespace {

bool same_state(const Network& a, const Network& b) {
  const auto first = state_of(a), second = state_of(b);
  for (const auto& [name, tensor] : first)
    if (!torch::equal(tensor, second.at(name))) return false;
  return first.size() == second.size();
}

void change(Network& network) {
  const torch::NoGradGuard no_gradient;
  for (torch::Tensor& parameter : network.parameters()) parameter.add_(0.5);
}

// The state of a ResNet-50 with the names of another program.
Safetensors renamed(const Network& network, const std::function<std::string(const std::string&)>& rename) {
  Safetensors file;
  for (const auto& [name, tensor] : state_of(network))
    if (const std::string other = rename(name); !other.empty()) file.tensors.emplace(other, tensor);
  return file;
}

std::string torchvision_name(const std::string& name) { return name.starts_with("backbone.") ? name.substr(9) : ""; }

// As deeplab-pytorch converts Caffe's weights.
std::string caffe_name(const std::string& name) {
  if (name.starts_with("aspp.")) return "base." + name;
  const std::string bare = name.substr(9);
  if (bare.starts_with("conv1.")) return "base.layer1.conv1.conv." + bare.substr(6);
  if (bare.starts_with("bn1.")) return "base.layer1.conv1.bn." + bare.substr(4);
  const size_t dot = bare.find('.', 7);  // layerN.B.PART.WHAT
  const std::string block = "base.layer" + std::to_string(bare[5] - '0' + 1) + ".block" + std::to_string(std::stoi(bare.substr(7)) + 1);
  const std::string part = bare.substr(dot + 1);
  const std::string names[] = {"reduce", "conv3x3", "increase"};
  if (part.starts_with("downsample.")) return block + ".shortcut." + (part[11] == '0' ? "conv." : "bn.") + part.substr(13);
  const size_t digit = part.find_first_of("123");
  return block + "." + names[static_cast<size_t>(part[digit] - '1')] + "." + part.substr(0, digit) + part.substr(digit + 1);
}

}  // namespace

TEST("safetensors files keep every type, shape, value and text") {
  const TemporaryFolder folder;
  Safetensors file;
  file.metadata = {{"a", "1"}, {"b", "ä"}};
  file.tensors = {{"float", torch::randn({2, 3})},
                  {"long", torch::arange(5)},
                  {"scalar", torch::tensor(2.5f)},
                  {"empty", torch::empty({0, 4})},
                  {"bytes", torch::tensor({1, 255}, torch::kUInt8)},
                  {"half", torch::randn({3}).to(torch::kFloat16)}};
  write_safetensors(folder / "x", file);
  CHECK(is_safetensors(folder / "x"));
  const Safetensors read = read_safetensors(folder / "x");
  CHECK(read.metadata == file.metadata);
  for (const auto& [name, tensor] : file.tensors) {
    CHECK(read.tensors.at(name).scalar_type() == tensor.scalar_type());
    CHECK(torch::equal(read.tensors.at(name), tensor));
  }
}

TEST("damaged safetensors files are refused with the path") {
  const TemporaryFolder folder;
  write_safetensors(folder / "x", {{}, {{"w", torch::ones({4})}}});
  const std::string good = read_file(folder / "x");
  const auto refuse = [&](const std::string& bytes, const std::string& part) {
    write_file(folder / "y", bytes);
    CHECK_ERROR(read_safetensors(folder / "y"), ErrorCode::kModelFormat, part);
    CHECK_ERROR(read_safetensors(folder / "y"), ErrorCode::kModelFormat, folder / "y");
  };
  refuse("", "header");
  refuse(good.substr(0, 20), "header");
  refuse(good.substr(0, good.size() - 1), "tensor w");
  std::string changed = good;
  changed.replace(changed.find("[4]"), 3, "[5]");
  refuse(changed, "size of its shape");
  changed = good;
  changed.replace(changed.find("F32"), 3, "F33");
  refuse(changed, "unknown type F33");
  changed = good;
  changed[8] = 'x';
  refuse(changed, "JSON");
  CHECK_ERROR(read_safetensors(folder / "none"), ErrorCode::kIo, "none");
}

TEST("a file of weights makes the same network again") {
  const TemporaryFolder folder;
  const auto network = make_network("small", 3, WeightStyle::kTorchvision, 5);
  change(*network);
  save_weights(folder / "w.safetensors", *network, {"small", {"background", "a", "b"}, WeightStyle::kCaffe, 17});
  const Model model = load_model(folder / "w.safetensors");
  CHECK(same_state(*network, *model.network));
  CHECK(model.info.classes.size() == 3 && model.info.classes[2] == "b");
  CHECK(model.info.style == WeightStyle::kCaffe);
  CHECK(model.info.iteration == 17);
  write_safetensors(folder / "other", {{}, {{"w", torch::ones({4})}}});
  CHECK_ERROR(load_model(folder / "other"), ErrorCode::kModelFormat, "best.safetensors");
}

TEST("checkpoints keep the state, and the last three stay") {
  const TemporaryFolder folder;
  make_folder(folder / "checkpoints");
  const Checkpoints checkpoints(folder / "");
  CHECK(!checkpoints.newest());
  const auto network = make_network("small", 2, WeightStyle::kTorchvision, 5);
  TrainingSettings settings{};
  settings.momentum = 0.9;
  Optimiser optimiser(*network, settings);
  network->logits(torch::randn({2, 3, 32, 32})).sum().backward();
  optimiser.step(0.1);
  for (const int64_t iteration : {0, 5, 1000000, 15})
    checkpoints.save(*network, optimiser, {"small", {"background", "a"}, {}, iteration}, {iteration, 5, Best{5, 0.1 + 0.2}});
  CHECK(checkpoints.newest() == 1000000);
  CHECK(!std::filesystem::exists(checkpoints.weights_path(0)));
  CHECK(std::filesystem::exists(checkpoints.weights_path(5)));
  Optimiser other(*network, settings);
  const Progress progress = checkpoints.load_state(15, other);
  CHECK(progress.iteration == 15 && progress.validated == 5 && progress.best->iteration == 5 && progress.best->miou == 0.1 + 0.2);
  for (const auto& [name, momentum] : optimiser.momentum()) CHECK(torch::equal(momentum, other.momentum().at(name)));
  std::filesystem::remove(checkpoints.weights_path(1000000));  // as if the process was killed before the weights were written
  CHECK(checkpoints.newest() == 15);
}

TEST("torchvision's and Caffe's names become this program's, and tell the style") {
  const TemporaryFolder folder;
  const auto source = make_network("deeplabv2-resnet50", 4, WeightStyle::kTorchvision, 1);
  change(*source);
  Safetensors torchvision = renamed(*source, torchvision_name);
  torchvision.tensors.emplace("fc.weight", torch::ones({10, 4}));
  write_safetensors(folder / "tv", torchvision);
  const InitialWeights from_torchvision = read_initial_weights(folder / "tv");
  CHECK(from_torchvision.style == WeightStyle::kTorchvision);
  const auto target = make_network("deeplabv2-resnet50", 4, WeightStyle::kTorchvision, 2);
  load_initial_weights(*target, "deeplabv2-resnet50", from_torchvision);
  for (const auto& [name, tensor] : state_of(*target)) CHECK(torch::equal(tensor, state_of(*source).at(name)) == !target->is_head(name));

  write_safetensors(folder / "caffe", renamed(*source, caffe_name));
  const InitialWeights from_caffe = read_initial_weights(folder / "caffe");
  CHECK(from_caffe.style == WeightStyle::kCaffe);
  load_initial_weights(*target, "deeplabv2-resnet50", from_caffe);
  CHECK(same_state(*source, *target));  // with the head, which has the same classes
}

TEST("initial weights of another network are refused, and a head of other classes is left out") {
  const auto small = make_network("small", 3, WeightStyle::kTorchvision, 1), wider = make_network("small", 5, WeightStyle::kTorchvision, 2);
  InitialWeights weights{"FILE", WeightStyle::kTorchvision, state_of(*small)};
  load_initial_weights(*wider, "small", weights);
  CHECK(torch::equal(state_of(*wider).at("stem.0.weight"), state_of(*small).at("stem.0.weight")));
  weights.tensors.erase("stem.0.weight");
  CHECK_ERROR(load_initial_weights(*wider, "small", weights), ErrorCode::kModelFormat, "stem.0.weight of shape (32, 3, 3, 3) is missing");
}

TEST("a .pth file of torch.save is read without running its code") {
  const InitialWeights weights = read_initial_weights("test/golden/archives/state-dict.pt");
  CHECK(!weights.tensors.empty());
}
