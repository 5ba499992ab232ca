#include "trainer.h"

#include <chrono>
#include <cmath>

#include "batch_loader.h"
#include "checkpoint.h"
#include "core/error.h"
#include "dataset.h"
#include "device.h"
#include "events.h"
#include "files.h"
#include "initial_weights.h"
#include "loss.h"
#include "memory_need.h"
#include "optimiser.h"
#include "out_of_memory.h"
#include "run_folder.h"
#include "stop_signal.h"
#include "validation.h"

namespace clip_es::train {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

Model start_model(const TrainJob& job) {
  Model model{{job.network.name, job.classes, WeightStyle::kTorchvision, 0}, nullptr};
  std::optional<InitialWeights> weights;
  if (job.network.weights) weights = read_initial_weights(*job.network.weights);
  if (weights) model.info.style = weights->style;
  model.network = make_network(job.network.name, static_cast<int64_t>(job.classes.size()), model.info.style, job.seed);
  if (weights) load_initial_weights(*model.network, job.network.name, *weights);
  return model;
}

Model continue_model(const TrainJob& job, const std::string& path) {
  Model model = load_model(path);
  if (model.info.network != job.network.name || model.info.classes != job.classes)
    throw Error(ErrorCode::kInvalidArg, job.run + " holds a run with the network " + model.info.network + " and " +
                                            std::to_string(model.info.classes.size()) + " classes, not " + job.network.name + " with " +
                                            std::to_string(job.classes.size()) + " classes; choose another folder");
  return model;
}

Network& move_to(const torch::Device& device, Network& network) {
  network.to(device);
  return network;
}

class Run {
 public:
  explicit Run(const TrainJob& job)
      : job_(job),
        device_(open_device(job.device, job.threads)),
        checkpoints_(job.run),
        resumed_(checkpoints_.newest()),
        model_(resumed_ ? continue_model(job, checkpoints_.weights_path(*resumed_)) : start_model(job)),
        normalisation_(normalisation_of(model_.info.style)),
        optimiser_(move_to(device_, *model_.network), job.training) {
    if (resumed_) progress_ = checkpoints_.load_state(*resumed_, optimiser_);
    losses_.emplace(job.run + "/log.jsonl", progress_.iteration);
    validations_.emplace(job.run + "/validation.jsonl", progress_.validated);
  }

  Outcome run() {
    report_start(progress_.iteration, count_parameters(), job_.device, job_.threads, resumed_.has_value());
    if (!resumed_) save_checkpoint();  // the last good checkpoint of a run that fails early
    BatchLoader loader(job_, normalisation_, static_cast<uint64_t>(progress_.iteration * job_.training.accumulate));
    finish_iteration();  // the validation that an earlier process did not complete
    while (progress_.iteration < job_.training.iterations) {
      if (stop_requested()) return stop();
      run_iteration(loader);
      finish_iteration();
    }
    if (stop_requested() && !is_validated()) return stop();
    if (job_.validation.empty()) save_best();
    report_end(progress_.iteration, progress_.best);
    return Outcome::kDone;
  }

 private:
  int64_t count_parameters() const {
    int64_t count = 0;
    for (const torch::Tensor& parameter : model_.network->parameters()) count += parameter.numel();
    return count;
  }

  // One step of the optimiser, on the mean gradient of `accumulate` batches.
  void run_iteration(BatchLoader& loader) {
    const auto start = Clock::now();
    const TrainingSettings& settings = job_.training;
    const double rate = settings.learning_rate * poly_factor(progress_.iteration, settings.iterations, settings.power);
    double loss = 0, waited = 0;
    model_.network->train();
    for (int64_t i = 0; i < settings.accumulate; ++i) {
      const auto asked = Clock::now();
      const Batch batch = loader.next();
      waited += seconds_since(asked);
      loss += add_gradients(batch) / static_cast<double>(settings.accumulate);
    }
    optimiser_.step(rate);
    ++progress_.iteration;
    losses_->add(loss_line(progress_.iteration, loss));
    if (progress_.iteration % job_.every.log == 0 || progress_.iteration == settings.iterations)
      report_iteration({progress_.iteration, loss, rate, seconds_since(start), waited});
  }

  double add_gradients(const Batch& batch) {
    const torch::Tensor labels = batch.labels.to(device_), confidence = batch.confidence.to(device_);
    torch::Tensor loss;
    for (const torch::Tensor& logits : training_logits(*model_.network, batch.images.to(device_), job_.network.msc)) {
      const torch::Tensor term = confidence_guided_loss(logits, labels, confidence, job_.training);
      loss = loss.defined() ? loss + term : term;
    }
    const double value = loss.item<double>();
    if (!std::isfinite(value)) fail_diverged(batch);
    (loss / static_cast<double>(job_.training.accumulate)).backward();
    return value;
  }

  [[noreturn]] void fail_diverged(const Batch& batch) const {
    std::string names;
    for (const std::string& name : batch.names) names += (names.empty() ? "" : ", ") + name;
    throw Error(ErrorCode::kDiverged, "the loss of iteration " + std::to_string(progress_.iteration + 1) +
                                          " is not a number; its photos are " + names + "; the last good checkpoint is " +
                                          checkpoints_.weights_path(checkpoints_.newest().value_or(0)) +
                                          "; train in a new folder with a lower learning rate or with gradient clipping");
  }

  // What is due after an iteration: validation, checkpoint. An interrupted validation is repeated when the run continues.
  void finish_iteration() {
    const int64_t iteration = progress_.iteration;
    if (!is_validated()) run_validation();
    if (iteration != checkpoints_.newest() && (iteration % job_.every.checkpoint == 0 || iteration == job_.training.iterations))
      save_checkpoint();
  }

  bool is_validated() const {
    const int64_t iteration = progress_.iteration;
    const bool due = iteration > 0 && (iteration % job_.every.validation == 0 || iteration == job_.training.iterations);
    return !due || job_.validation.empty() || progress_.validated == iteration;
  }

  void run_validation() {
    ValidationReport report{progress_.iteration, 0, {}, {}};
    const std::string folder = job_.run + "/pictures/" + checkpoint_name(progress_.iteration);
    const auto on_mask = [&](size_t index, const Mask& mask) {
      if (static_cast<int64_t>(index) >= job_.pictures) return;
      report.pictures.push_back(folder + "/" + job_.validation[index].name + ".png");
      make_folder(report.pictures.back().substr(0, report.pictures.back().rfind('/')));  // names may have folders
      write_mask(report.pictures.back(), mask);
    };
    const auto confusion = validate(*model_.network, job_, normalisation_, device_, on_mask, stop_requested);
    if (!confusion) return;
    report.miou = confusion->miou();
    report.iou = confusion->iou();
    progress_.validated = progress_.iteration;
    validations_->add(validation_line(report));
    report_validation(report);
    if (progress_.best && progress_.best->miou >= report.miou) return;
    progress_.best = Best{progress_.iteration, report.miou};
    save_best();
  }

  ModelInfo info() const {
    ModelInfo info = model_.info;
    info.iteration = progress_.iteration;
    return info;
  }

  void check_weights() const {
    for (const auto& [name, tensor] : state_of(*model_.network))
      if (tensor.is_floating_point() && !torch::isfinite(tensor).all().item<bool>())
        throw Error(ErrorCode::kDiverged, "the weights " + name + " are not finite after iteration " + std::to_string(progress_.iteration) +
                                              "; the last good checkpoint is " +
                                              checkpoints_.weights_path(checkpoints_.newest().value_or(0)) +
                                              "; train in a new folder with a lower learning rate or with gradient clipping");
  }

  void save_checkpoint() {
    check_weights();
    report_checkpoint(progress_.iteration, checkpoints_.save(*model_.network, optimiser_, info(), progress_));
  }

  void save_best() {
    check_weights();
    save_weights(job_.run + "/best.safetensors", *model_.network, info());
  }

  Outcome stop() {
    save_checkpoint();
    return Outcome::kStopped;
  }

  const TrainJob& job_;
  const torch::Device device_;
  const Checkpoints checkpoints_;
  const std::optional<int64_t> resumed_;  // the iteration of the checkpoint
  Model model_;
  const Normalisation normalisation_;
  Optimiser optimiser_;
  Progress progress_;
  std::optional<Log> losses_, validations_;
};

}  // namespace

Outcome train(const TrainJob& job) try {
  make_folder(job.run + "/checkpoints");
  const RunLock lock(job.run);
  catch_stop_signals();
  if (job.device == "cpu") check_memory(job);
  check_all(job.samples, job.classes.size(), job.threads);
  check_all(job.validation, job.classes.size(), job.threads);
  return Run(job).run();
} catch (const Error&) {
  throw;
} catch (const std::exception& error) {
  if (!is_out_of_memory(error)) throw;
  const double half = needed_bytes(job, job.training.batch, job.training.crop) / 2;
  throw Error(ErrorCode::kOutOfMemory, "memory ran out with batch " + std::to_string(job.training.batch) + " and crop " +
                                           std::to_string(job.training.crop) + "; if half of it is free, " + what_fits(job, half));
}

}  // namespace clip_es::train
