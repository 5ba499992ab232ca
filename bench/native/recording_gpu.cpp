#include "recording_gpu.h"

#include <cstdlib>
#include <cstring>
#include <utility>

#include "core/arena.h"
#include "torch/backend_table.h"

using namespace clip_es;

namespace estimate {
namespace {

using cuda::Event, cuda::Functions, cuda::GpuProperties, cuda::Stream;

std::vector<Launch>& launches() {
  static std::vector<Launch> all;
  return all;
}

int record(const char* name, const Cost& cost) {
  if (cost.launches > 0) launches().push_back({name, cost});
  return 0;
}

double bytes_of(size_t bytes) { return static_cast<double>(bytes); }

int gpu_properties(int, GpuProperties* out) {
  constexpr size_t kGpuMemory = size_t{80} << 30;
  *out = {.name = "a recording GPU", .major = 9, .minor = 0, .memory = kGpuMemory};
  return 0;
}

// An address that is not used again.
void* new_address(size_t bytes) {
  constexpr size_t kAlignment = 256;
  static uintptr_t next = uintptr_t{1} << 44;
  return reinterpret_cast<void*>(std::exchange(next, next + (bytes + kAlignment) / kAlignment * kAlignment));
}

int allocate(size_t bytes, void** memory) {
  *memory = new_address(bytes);
  return 0;
}

// The host reads and writes pinned memory, so it exists.
int allocate_pinned(size_t bytes, void** memory) {
  *memory = allocate_aligned(bytes).release();
  return 0;
}

int release_pinned(void* memory) {
  FreeAligned{}(memory);
  return 0;
}

int copy_in(Stream, const void*, size_t bytes, void*) {
  return record("copy to the GPU", {.launches = 1, .written = bytes_of(bytes), .copied = bytes_of(bytes)});
}

int copy_out(Stream, const void*, size_t bytes, void* host) {
  std::memset(host, 0, bytes);  // else a result might not be finite, which is an error
  return record("copy to the host", {.launches = 1, .read = bytes_of(bytes), .copied = bytes_of(bytes)});
}

const Functions& functions() {
#define X(kernel, Arguments) .kernel = [](Stream, const cuda::Arguments& in) { return record(#kernel, cost_of(in)); },
  static const Functions all{
      .error_text = [](int) { return "no error"; },
      .is_out_of_memory = [](int) { return false; },
      .gpu_count = [](int* count) { return *count = 1, 0; },
      .gpu_properties = gpu_properties,
      .use_gpu = [](int) { return 0; },
      .allocate = allocate,
      .release = [](void*) { return 0; },
      .allocate_pinned = allocate_pinned,
      .release_pinned = release_pinned,
      .create_stream = [](Stream* stream) { return *stream = nullptr, 0; },
      .destroy_stream = [](Stream) { return 0; },
      .wait = [](Stream) { return 0; },
      .create_event = [](Event* event) { return *event = nullptr, 0; },
      .destroy_event = [](Event) { return 0; },
      .record = [](Event, Stream) { return 0; },
      .seconds_between = [](Event, Event, double* seconds) { return *seconds = 0, 0; },
      .clear = [](Stream, void*, size_t bytes) { return record("clear", {.launches = 1, .written = bytes_of(bytes)}); },
      .copy = [](Stream, const void*, size_t bytes,
                 void*) { return record("copy", {.launches = 1, .read = bytes_of(bytes), .written = bytes_of(bytes)}); },
      .copy_in = copy_in,
      .copy_out = copy_out,
      CLIP_ES_CUDA_KERNELS(X)};
#undef X
  return all;
}

void record_product(const torch::Batch& a, const torch::Batch& b, const torch::Batch& out, const void* added) {
  record(a.dtype == torch::Dtype::kBFloat16 ? "bfloat16 product" : "float32 product", product_cost(a, b, out.dtype, added != nullptr));
}

torch::Backend::Attended record_attention(int64_t images, int64_t n, int64_t width, int64_t heads) {
  record("flash attention", attention_cost(images, n, width, heads));
  return {.handle = nullptr,
          .out = new_address(static_cast<size_t>(images * n * width) * sizeof(uint16_t)),
          .log_sum_exp = static_cast<const float*>(new_address(static_cast<size_t>(images * heads * n) * sizeof(float))),
          .image_stride = heads * n,
          .head_stride = n,
          .row_stride = 1};
}

}  // namespace

std::shared_ptr<cuda::Gpu> recording_gpu() {
  static const torch::BackendTable table{.record_product = record_product, .record_attention = record_attention};
  return std::make_shared<cuda::Gpu>(functions(), torch::Backend(table, 0), 0);
}

std::vector<Launch> take_launches() { return std::exchange(launches(), {}); }

}  // namespace estimate
