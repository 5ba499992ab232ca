#include "predictor.h"

#include <cstdio>
#include <iostream>

#include "checkpoint.h"
#include "core/error.h"
#include "core/json.h"
#include "device.h"
#include "events.h"
#include "inference.h"
#include "out_of_memory.h"

namespace clip_es::train {
namespace {

struct Request {
  Json id;
  Photo photo;
};

int side(const Json& request, const char* key) {
  const double size = json_number(json_member(request, key), key);
  if (!(size >= 1 && size <= 65535 && size == static_cast<int>(size)))
    throw Error(ErrorCode::kInvalidArg, std::string(key) + " is " + Json(size).dump() + ", expected an integer from 1 to 65535");
  return static_cast<int>(size);
}

// Returns false at the end of the input. After a wrong line the position of the next request is unknown, so errors end the program.
bool read_request(Request& request) {
  std::string line;
  if (!std::getline(std::cin, line)) return false;
  const Json json = parse_json(line);
  request.id = json_member(json, "id");
  request.photo = {side(json, "width"), side(json, "height"), {}};
  request.photo.rgb.resize(size_t{3} * static_cast<size_t>(request.photo.width) * static_cast<size_t>(request.photo.height));
  std::cin.read(reinterpret_cast<char*>(request.photo.rgb.data()), static_cast<std::streamsize>(request.photo.rgb.size()));
  if (!std::cin) throw Error(ErrorCode::kInvalidArg, "the input ended inside the pixels of request " + request.id.dump());
  return true;
}

void write_line(const Json& line) {
  const std::string text = line.dump() + '\n';
  std::fwrite(text.data(), 1, text.size(), stdout);
}

void answer(const Request& request, const torch::Tensor& result) {
  write_line({{"id", request.id}, {"width", request.photo.width}, {"height", request.photo.height}, {"labels", result.size(0)}});
  std::fwrite(result.data_ptr<float>(), sizeof(float), static_cast<size_t>(result.numel()), stdout);
}

void answer_error(const Request& request, ErrorCode code, const std::string& message) {
  write_line({{"id", request.id}, {"error", {{"code", name_of(code)}, {"message", message}}}});
}

}  // namespace

void predict(const PredictJob& job) {
  const torch::Device device = open_device(job.device, job.threads);
  const Model model = load_model(job.weights);
  const Normalisation normalisation = normalisation_of(model.info.style);
  model.network->to(device);
  model.network->eval();
  report_ready(model.info);
  std::ios::sync_with_stdio(false);
  for (Request request; read_request(request); std::fflush(stdout)) try {
      const torch::Tensor input = to_input(request.photo, normalisation, device);
      answer(request, probabilities(*model.network, input, job.scales, job.flip).cpu().contiguous());
    } catch (const std::exception& error) {
      if (!is_out_of_memory(error)) throw;
      answer_error(request, ErrorCode::kOutOfMemory,
                   "memory ran out for a photo of " + std::to_string(request.photo.width) + " x " + std::to_string(request.photo.height) +
                       "; use smaller scales or a smaller photo");
    }
}

}  // namespace clip_es::train
