// clip_es_train train JOB.json      trains a network: see job.h for the job and events.h for the output
// clip_es_train predict JOB.json    answers requests for predictions: see predictor.h
// Exit status: 0, 1 failure (the last event says why), 2 wrong arguments, 130 stopped by a signal.
#include <cstdio>
#include <exception>
#include <string_view>

#include "core/error.h"
#include "events.h"
#include "out_of_memory.h"
#include "predictor.h"
#include "trainer.h"

using namespace clip_es;
using namespace clip_es::train;

namespace {

constexpr int kFailed = 1, kUsage = 2, kInterrupted = 130;

int run(std::string_view subcommand, const char* job) {
  if (subcommand == "train") return train::train(read_train_job(job)) == Outcome::kStopped ? kInterrupted : 0;
  if (subcommand == "predict") {
    predict(read_predict_job(job));
    return 0;
  }
  std::fprintf(stderr, "'%.*s' is not a subcommand; expected train or predict\n", static_cast<int>(subcommand.size()), subcommand.data());
  return kUsage;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: clip_es_train train|predict JOB.json\n");
    return kUsage;
  }
  try {
    return run(argv[1], argv[2]);
  } catch (const Error& error) {
    report_error(name_of(error.code), error.what());
  } catch (const std::exception& error) {
    if (is_out_of_memory(error)) report_error(name_of(ErrorCode::kOutOfMemory), "memory ran out; a smaller batch or crop needs less");
    else
      report_error(name_of(ErrorCode::kInternal),
                   std::string("this is a bug in clip-es: ") + error.what() + "; please report it with this message and the job file");
  }
  return kFailed;
}
