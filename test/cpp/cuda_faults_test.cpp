// What the engine does when a call of the CUDA runtime fails: every call of a load and of a small photo fails once, as an error that stays,
// as after a fault of a kernel, or as memory that is not there. Nothing may crash, hang or leak, which the sanitizers see.
#include <algorithm>
#include <cstring>

#include "check.h"
#include "cuda_support.h"
#include "emulator/control.h"
#include "options.h"
#include "segment_job.h"
#include "segmenter.h"
#include "support.h"

namespace clip_es::cuda_faults_test {

namespace {

constexpr int kInvalidValue = 1, kOutOfMemory = 2;  // as cudaError_t has them

const cuda::Functions& real() { return *cuda::clip_es_cuda_functions(cuda::kVersion); }

// The next call that fails, 0 for the very next one.
struct Plan {
  int64_t failing = -1;  // negative: none
  bool stays = false;    // all later calls fail, too
  bool memory_only = false;
  int64_t calls = 0;
  bool happened = false;
} plan;

int next_error(bool allocates) {
  if (plan.failing < 0 || (plan.memory_only && !allocates)) return 0;
  const int64_t call = plan.calls++;
  if (call != plan.failing && !(plan.stays && plan.happened)) return 0;
  plan.happened = true;
  return plan.memory_only ? kOutOfMemory : kInvalidValue;
}

// A function of the table that obeys the plan. Calls that free something or wait are made all the same: a GPU frees the memory of a broken
// context, too.
template <auto kMember, bool kAlways, bool kAllocates>
struct Planned;
template <class... A, int (*cuda::Functions::*kMember)(A...), bool kAlways, bool kAllocates>
struct Planned<kMember, kAlways, kAllocates> {
  static int call(A... arguments) {
    const int error = next_error(kAllocates);
    if (error && !kAlways) return error;
    const int result = (real().*kMember)(arguments...);
    return error ? error : result;
  }
};

cuda::Functions planned_functions() {
  cuda::Functions functions = real();
#define PLAN(name, always, allocates) functions.name = Planned<&cuda::Functions::name, always, allocates>::call
  PLAN(use_gpu, false, false);
  PLAN(allocate, false, true);
  PLAN(release, true, false);
  PLAN(allocate_pinned, false, true);
  PLAN(release_pinned, true, false);
  PLAN(create_stream, false, false);
  PLAN(destroy_stream, true, false);
  PLAN(wait, true, false);
  PLAN(create_event, false, false);
  PLAN(destroy_event, true, false);
  PLAN(record, false, false);
  PLAN(seconds_between, false, false);
  PLAN(clear, false, false);
  PLAN(copy, false, false);
  PLAN(copy_in, false, false);
  PLAN(copy_out, false, false);
#define X(name, Arguments) PLAN(name, false, false);
  CLIP_ES_CUDA_KERNELS(X)
#undef X
#undef PLAN
  return functions;
}

std::unique_ptr<Segmenter> load(Precision precision) {
  static const cuda::Functions functions = planned_functions();
  const auto gpu = std::make_shared<cuda::Gpu>(functions, emulator::products(), 0);
  return std::make_unique<Segmenter>(options().golden + kSmallModel, SegmenterSettings{.precision = precision, .threads = 1, .max_side = 0},
                                     nullptr, std::make_unique<cuda::CudaDevice>(gpu));
}

SegmentJob small_photo() {
  const Case c = small_case("astronaut_97x128");
  return {c, corner_of(npy::read_ppm(c.folder + "/photo.ppm"), 33, 20)};
}

// Runs `work` with the plan. Returns the code of what it throws, or nothing.
std::optional<ErrorCode> code_with(const Plan& next, const std::function<void()>& work) {
  plan = next;
  std::optional<ErrorCode> code;
  try {
    work();
  } catch (const Error& error) {
    code = error.code;
  }
  plan.failing = -1;
  return code;
}

void segment(Segmenter& segmenter, SegmentJob& job) {
  Request request = job.request();
  segmenter.segment({&request, 1});
  request.rethrow_failure();
}

// Fails the call 0, 1, … of `work`, until it has no more calls. `check` gets the code.
int64_t fail_each_call(Plan next, const std::function<void()>& work, const std::function<void(std::optional<ErrorCode>)>& check) {
  for (next.failing = 0;; ++next.failing) {
    const std::optional<ErrorCode> code = code_with(next, work);
    if (!plan.happened) {
      CHECK(!code);
      return next.failing;
    }
    check(code);
  }
}

void need_emulator() {
  need_libtorch();
  if (!gpu_is_emulated()) check::skip("a GPU cannot be told to fail");
}

}  // namespace

TEST("CUDA: whichever call fails while a model is loaded, loading says that the device is unavailable") {
  need_emulator();
  std::unique_ptr<Segmenter> loaded;  // destroyed when no call fails any more
  const int64_t calls = fail_each_call(
      {.stays = true}, [&] { loaded = load(Precision::kFloat32); },
      [](std::optional<ErrorCode> code) { CHECK(code == ErrorCode::kDeviceUnavailable); });
  check::note(std::to_string(calls) + " calls");
  CHECK(calls > 50);
}

TEST("CUDA: whichever call fails for a photo, the photo says that the device is unavailable, and later photos have the usual mask") {
  need_emulator();
  const auto first = load(Precision::kFloat32);
  SegmentJob usual = small_photo();
  segment(*first, usual);
  for (const bool stays : {true, false}) {
    const auto segmenter = first->clone(1);
    SegmentJob job = small_photo();
    const int64_t calls = fail_each_call(
        {.stays = stays}, [&] { segment(*segmenter, job); },
        [](std::optional<ErrorCode> code) { CHECK(code == ErrorCode::kDeviceUnavailable); });
    check::note(std::to_string(calls) + " calls");
    CHECK(calls > 50);
    CHECK(job.mask == usual.mask && job.maps == usual.maps);
  }
}

TEST("CUDA: whichever allocation fails, loading and photos say that memory is missing, and the next try succeeds") {
  need_emulator();
  const auto is_out_of_memory = [](std::optional<ErrorCode> code) { CHECK(code == ErrorCode::kOutOfMemory); };
  std::unique_ptr<Segmenter> first;
  const int64_t of_load = fail_each_call(
      {.memory_only = true}, [&] { first = load(Precision::kFloat32); }, is_out_of_memory);
  SegmentJob usual = small_photo(), job = small_photo();
  segment(*first, usual);
  const int64_t of_photo = fail_each_call(
      {.memory_only = true}, [&] { segment(*first->clone(1), job); }, is_out_of_memory);
  check::note(std::to_string(of_load) + " allocations of a load, " + std::to_string(of_photo) + " of a photo");
  CHECK(of_load > 0 && of_photo > 0);
  CHECK(job.mask == usual.mask && job.maps == usual.maps);
}

}  // namespace clip_es::cuda_faults_test
