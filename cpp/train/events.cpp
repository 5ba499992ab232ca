#include "events.h"

#include <cstdio>

#include "core/json.h"

namespace clip_es::train {
namespace {

void write_line(const Json& event) {
  const std::string line = event.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
  std::fwrite(line.data(), 1, line.size(), stdout);
  std::fflush(stdout);
}

Json or_null(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

}  // namespace

void report_start(int64_t iteration, int64_t parameters, const std::string& device, int threads, bool resumed) {
  write_line({{"event", "start"},
              {"iteration", iteration},
              {"parameters", parameters},
              {"device", device},
              {"threads", threads},
              {"resumed", resumed}});
}

void report_iteration(const IterationReport& r) {
  write_line({{"event", "iteration"},
              {"iteration", r.iteration},
              {"loss", r.loss},
              {"learningRate", r.learning_rate},
              {"seconds", r.seconds},
              {"waited", r.waited}});
}

void report_validation(const ValidationReport& r) {
  Json iou = Json::array();
  for (const std::optional<double>& value : r.iou) iou.push_back(or_null(value));
  write_line({{"event", "validation"}, {"iteration", r.iteration}, {"miou", r.miou}, {"iou", iou}, {"pictures", r.pictures}});
}

void report_checkpoint(int64_t iteration, const std::string& path) {
  write_line({{"event", "checkpoint"}, {"iteration", iteration}, {"path", path}});
}

void report_end(int64_t iteration, const std::optional<Best>& best) {
  const Json value = best ? Json{{"iteration", best->iteration}, {"miou", best->miou}} : Json(nullptr);
  write_line({{"event", "end"}, {"iteration", iteration}, {"best", value}});
}

void report_error(const std::string& code, const std::string& message) {
  write_line({{"event", "error"}, {"code", code}, {"message", message}});
}

void report_ready(const ModelInfo& info) { write_line({{"event", "ready"}, {"classes", info.classes}, {"network", info.network}}); }

}  // namespace clip_es::train
