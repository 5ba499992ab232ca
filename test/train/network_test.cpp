// Shapes, sizes and determinism of the networks, and what they predict.
#include "network.h"

#include "check.h"
#include "core/error.h"
#include "frozen_batch_norm.h"
#include "inference.h"
#include "validation.h"

using namespace clip_es;
using namespace clip_es::train;

namespace {

int64_t parameters(const Network& network) {
  int64_t count = 0;
  for (const torch::Tensor& parameter : network.parameters()) count += parameter.numel();
  return count;
}

Photo grey_photo(int width, int height) { return {width, height, std::vector<uint8_t>(static_cast<size_t>(3 * width * height), 90)}; }

}  // namespace

TEST("the small network has fewer than two million parameters, and takes photos of every size") {
  const auto network = make_network("small", 81, WeightStyle::kTorchvision, 1);
  CHECK(parameters(*network) < 2'000'000);
  network->eval();
  for (const auto& [height, width] : {std::pair{1, 1}, {7, 33}, {64, 48}, {65, 129}}) {
    const torch::Tensor result = probabilities(*network, torch::randn({1, 3, height, width}), {0.5, 1}, true);
    CHECK(result.sizes() == torch::IntArrayRef({81, height, width}));
    CHECK_BELOW((result.sum(0) - 1).abs().max().item<double>(), 1e-5);
  }
}

TEST("ResNet-50 and ResNet-101 have torchvision's number of parameters and output stride 8") {
  // torchvision counts 23,508,032 and 42,500,160 without the classifier, of which 53,120 and 105,344 are batch norm's, which is frozen
  // here.
  const int64_t head = 4 * (2048 * 9 * 21 + 21);
  const auto r50 = make_network("deeplabv2-resnet50", 21, WeightStyle::kTorchvision, 1);
  CHECK(parameters(*r50) == 23'508'032 - 53'120 + head);
  const auto r101 = make_network("deeplabv2-resnet101", 21, WeightStyle::kCaffe, 1);
  CHECK(parameters(*r101) == 42'500'160 - 105'344 + head);
  const torch::NoGradGuard no_gradient;
  CHECK(r50->logits(torch::randn({1, 3, 65, 81})).sizes() == torch::IntArrayRef({1, 21, 9, 11}));
  CHECK(r101->logits(torch::randn({1, 3, 65, 81})).sizes() == torch::IntArrayRef({1, 21, 9, 11}));
}

TEST("multi-scale inputs give the logits of each scale and their maximum") {
  const auto network = make_network("small", 3, WeightStyle::kTorchvision, 1);
  network->eval();
  const torch::NoGradGuard no_gradient;
  const auto all = training_logits(*network, torch::randn({1, 3, 64, 64}), {0.5, 0.75});
  CHECK(all.size() == 4);
  CHECK(all[1].size(2) == all[0].size(2) / 2);
  CHECK(all[3].sizes() == all[0].sizes());
  CHECK((all[3] >= all[0]).all().item<bool>());
  CHECK(!torch::equal(all[3], all[0]));
  CHECK(training_logits(*network, torch::randn({1, 3, 64, 64}), {}).size() == 1);
}

TEST("the weights of a new network depend on the seed only") {
  const auto a = make_network("small", 3, WeightStyle::kTorchvision, 1), b = make_network("small", 3, WeightStyle::kTorchvision, 1),
             c = make_network("small", 3, WeightStyle::kTorchvision, 2);
  const std::string name = "stage8.0.weight";
  CHECK(torch::equal(state_of(*a).at(name), state_of(*b).at(name)));
  CHECK(!torch::equal(state_of(*a).at(name), state_of(*c).at(name)));
  CHECK_ERROR(make_network("large", 3, WeightStyle::kTorchvision, 1), ErrorCode::kInvalidArg, "'large' is not a network");
}

TEST("frozen batch norm equals PyTorch's batch norm in evaluation") {
  FrozenBatchNorm norm(4);
  torch::manual_seed(1);
  for (torch::Tensor& buffer : norm->buffers()) buffer.copy_(torch::rand({4}) + 0.5);
  const auto state = norm->named_buffers();
  const torch::Tensor x = torch::randn({2, 4, 3, 3});
  const torch::Tensor expected =
      torch::batch_norm(x, state["weight"], state["bias"], state["running_mean"], state["running_var"], false, 0, 1e-5, false);
  CHECK_BELOW((norm->forward(x) - expected).abs().max().item<double>(), 1e-6);
  CHECK(norm->parameters().empty());
}

TEST("a photo and its mirror image have mirrored probabilities with flips") {
  const auto network = make_network("small", 3, WeightStyle::kTorchvision, 1);
  network->eval();
  const torch::Tensor x = torch::randn({1, 3, 32, 40});
  const torch::Tensor a = probabilities(*network, x, {1}, true), b = probabilities(*network, x.flip(3), {1}, true).flip(2);
  CHECK_BELOW((a - b).abs().max().item<double>(), 1e-5);
}

TEST("a grey photo becomes the normalised input of its style") {
  const torch::Tensor input = to_input(grey_photo(3, 2), normalisation_of(WeightStyle::kTorchvision), torch::kCPU);
  CHECK(input.sizes() == torch::IntArrayRef({1, 3, 2, 3}));
  CHECK_BELOW(std::abs(input[0][0][0][0].item<double>() - (90.0 / 255 - 0.485) / 0.229), 1e-5);
  const torch::Tensor caffe = to_input(grey_photo(3, 2), normalisation_of(WeightStyle::kCaffe), torch::kCPU);
  CHECK_BELOW(std::abs(caffe[0][0][0][0].item<double>() - (90 - 104.008)), 1e-4);
}

TEST("intersection over union counts all pixels with a known label") {
  Confusion confusion(3);
  confusion.add({4, 1, {0, 0, 1, 255}}, {4, 1, {0, 1, 1, 1}});
  const auto iou = confusion.iou();
  CHECK(*iou[0] == 0.5 && *iou[1] == 0.5 && !iou[2]);
  CHECK(confusion.miou() == 0.5);
}
