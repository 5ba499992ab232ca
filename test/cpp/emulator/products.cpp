// LibTorch's products as a CUDA build of LibTorch offers them: queued on the stream of the guard. LibTorch's CPU functions compute them.
#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include "core/float16.h"
#include "core/platform/library.h"
#include "memory.h"
#include "queue.h"
#include "torch/backend_table.h"
#include "torch/library.h"
#include "torch/tensor.h"

using namespace clip_es::torch;

struct CUDAStreamGuardOpaque {
  cudaStream_t previous;
};

namespace emulator {
namespace {

thread_local cudaStream_t guarded = nullptr;

using GetSizes = Status(TensorHandle, int64_t** result);
using GetDtype = Status(TensorHandle, int32_t* result);

struct HostFunctions {
  AddmmOut *addmm_out, *baddbmm_out;
  MmOut *mm_out, *bmm_out;
  CpuAttention* attention;
  GetSizes* get_sizes;
  GetDtype* get_dtype;
};

template <class Function>
void find(const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(clip_es::platform::find_symbol(library_handle(), name));
  if (!function) fail("LibTorch lacks %s", name);
}

const HostFunctions& host() {
  static const HostFunctions functions = [] {
    HostFunctions found{};
    find("aoti_torch_cpu_addmm_out", found.addmm_out);
    find("aoti_torch_cpu_baddbmm_out", found.baddbmm_out);
    find("aoti_torch_cpu_mm_out", found.mm_out);
    find("aoti_torch_cpu_bmm_out", found.bmm_out);
    find("aoti_torch_cpu__scaled_dot_product_flash_attention_for_cpu", found.attention);
    find("aoti_torch_get_sizes", found.get_sizes);
    find("aoti_torch_get_dtype", found.get_dtype);
    return found;
  }();
  return functions;
}

void require(Status status, const char* function) {
  if (status != 0) fail("%s of LibTorch failed", function);
}

// A handle of the same tensor that outlives the caller's.
std::shared_ptr<const Tensor> keep(TensorHandle handle) {
  TensorHandle kept = nullptr;
  require(aoti_torch_new_tensor_handle(handle, &kept), "aoti_torch_new_tensor_handle");
  return std::make_shared<const Tensor>(kept);
}

void queue_product(std::function<void()> product) {
  const std::lock_guard lock(running());
  ++counts.products;
  queue_of(guarded)->add(std::move(product));
}

template <MmOut* HostFunctions::*kFunction>
Status queue_mm(TensorHandle out, TensorHandle a, TensorHandle b) {
  queue_product([out = keep(out), a = keep(a), b = keep(b)] { require((host().*kFunction)(out->get(), a->get(), b->get()), "mm"); });
  return 0;
}

template <class T>
const T* data_of(const Tensor& tensor) {
  void* data = nullptr;
  require(aoti_torch_get_data_ptr(tensor.get(), &data), "aoti_torch_get_data_ptr");
  return static_cast<const T*>(data);
}

const int64_t* strides_of(const Tensor& tensor) {
  int64_t* strides = nullptr;
  require(aoti_torch_get_strides(tensor.get(), &strides), "aoti_torch_get_strides");
  return strides;
}

int32_t dtype_of(const Tensor& tensor) {
  int32_t dtype = 0;
  require(host().get_dtype(tensor.get(), &dtype), "aoti_torch_get_dtype");
  return dtype;
}

// A float32 copy of a bfloat16 matrix.
struct Widened {
  std::vector<float> values;
  Tensor tensor;

  explicit Widened(const Tensor& from) : tensor(nullptr) {
    if (dtype_of(from) != aoti_torch_dtype_bfloat16()) fail("mm_dtype_out was called with a matrix that is not bfloat16");
    int64_t* sizes = nullptr;
    require(host().get_sizes(from.get(), &sizes), "aoti_torch_get_sizes");
    const std::array<int64_t, 2> shape{sizes[0], sizes[1]};
    const int64_t* const strides = strides_of(from);
    const auto* data = data_of<uint16_t>(from);
    for (int64_t row = 0; row < shape[0]; ++row)
      for (int64_t column = 0; column < shape[1]; ++column)
        values.push_back(clip_es::bfloat16_to_float(data[row * strides[0] + column * strides[1]]));
    tensor = clip_es::torch::wrap_matrix(values.data(), aoti_torch_dtype_float32(), shape, {shape[1], 1});
  }
};

// LibTorch has this function for GPUs only. A float32 product of the widened matrices has the same terms.
Status queue_mm_dtype(TensorHandle out, TensorHandle a, TensorHandle b, int32_t dtype) {
  queue_product([=, out = keep(out), a = keep(a), b = keep(b)] {
    if (dtype != aoti_torch_dtype_float32() || dtype_of(*out) != dtype) fail("mm_dtype_out was called for a result that is not float32");
    const Widened left(*a), right(*b);
    require(host().mm_out(out->get(), left.tensor.get(), right.tensor.get()), "mm");
  });
  return 0;
}

template <AddmmOut* HostFunctions::*kFunction>
Status queue_addmm(TensorHandle out, TensorHandle added, TensorHandle a, TensorHandle b, double beta, double alpha) {
  queue_product([=, out = keep(out), added = keep(added), a = keep(a), b = keep(b)] {
    require((host().*kFunction)(out->get(), added->get(), a->get(), b->get(), beta, alpha), "addmm");
  });
  return 0;
}

std::shared_ptr<std::byte> device_memory(size_t bytes) {
  return {allocate(bytes, Memory::kDevice), [](std::byte* memory) { release(memory, Memory::kDevice); }};
}

template <size_t kDimensions>
TensorHandle wrap(const std::shared_ptr<std::byte>& memory, int32_t dtype, const std::array<int64_t, kDimensions>& sizes,
                  const std::array<int64_t, kDimensions>& strides) {
  TensorHandle handle = nullptr;
  require(aoti_torch_create_tensor_from_blob_v2(memory.get(), kDimensions, sizes.data(), strides.data(), 0, dtype,
                                                aoti_torch_device_type_cpu(), 0, &handle, aoti_torch_layout_strided(), nullptr, 0),
          "aoti_torch_create_tensor_from_blob_v2");
  return handle;
}

struct AttentionShape {
  int64_t images, heads, n, size;
};

// Copies LibTorch's results into the layouts of its CUDA function: out (images, n, heads, size), log_sum_exp (images, heads, n).
void copy_results(const AttentionShape& s, const Tensor& from_out, const Tensor& from_log, uint16_t* out, float* log_sum_exp) {
  const auto* values = data_of<uint16_t>(from_out);
  const auto* logs = data_of<float>(from_log);
  const int64_t *in = strides_of(from_out), *in_log = strides_of(from_log);
  for (int64_t image = 0; image < s.images; ++image)
    for (int64_t head = 0; head < s.heads; ++head)
      for (int64_t row = 0; row < s.n; ++row) {
        for (int64_t c = 0; c < s.size; ++c)
          out[((image * s.n + row) * s.heads + head) * s.size + c] = values[image * in[0] + head * in[1] + row * in[2] + c * in[3]];
        log_sum_exp[(image * s.heads + head) * s.n + row] = logs[image * in_log[0] + head * in_log[1] + row * in_log[2]];
      }
}

// The memory of the results belongs to the queued work. When that has run, it is freed behind all work that was queued in the meantime, as
// LibTorch uses it again for later work of the same stream only.
Status queue_attention(TensorHandle query, TensorHandle key, TensorHandle value, double dropout, int32_t causal, TensorHandle*,
                       double* scale, TensorHandle* out, TensorHandle* log_sum_exp) {
  int64_t* sizes = nullptr;
  require(host().get_sizes(query, &sizes), "aoti_torch_get_sizes");
  const AttentionShape s{sizes[0], sizes[1], sizes[2], sizes[3]};
  const int64_t rows = s.images * s.heads * s.n;
  const auto out_memory = device_memory(rows * s.size * sizeof(uint16_t)), log_memory = device_memory(rows * sizeof(float));
  *out = wrap<4>(out_memory, aoti_torch_dtype_bfloat16(), {s.images, s.heads, s.n, s.size},
                 {s.n * s.heads * s.size, s.size, s.heads * s.size, 1});
  *log_sum_exp = wrap<3>(log_memory, aoti_torch_dtype_float32(), {s.images, s.heads, s.n}, {s.heads * s.n, s.n, 1});
  queue_product([=, query = keep(query), key = keep(key), value = keep(value), factor = *scale] {
    double own_factor = factor;
    TensorHandle results[2] = {};
    require(host().attention(query->get(), key->get(), value->get(), dropout, causal, nullptr, &own_factor, &results[0], &results[1]),
            "flash attention");
    copy_results(s, Tensor(results[0]), Tensor(results[1]), reinterpret_cast<uint16_t*>(out_memory.get()),
                 reinterpret_cast<float*>(log_memory.get()));
  });
  return 0;
}

Status create_guard(void* stream, int32_t, StreamGuardHandle* guard) {
  *guard = new CUDAStreamGuardOpaque{guarded};
  guarded = static_cast<cudaStream_t>(stream);
  return 0;
}

Status delete_guard(StreamGuardHandle guard) {
  guarded = guard->previous;
  delete guard;
  return 0;
}

}  // namespace

Backend products() {
  Backend::host();  // throws if no LibTorch is loaded, or if it lacks a function
  static const BackendTable table{.device_type = aoti_torch_device_type_cpu(),
                                  .addmm_out = queue_addmm<&HostFunctions::addmm_out>,
                                  .mm_out = queue_mm<&HostFunctions::mm_out>,
                                  .mm_dtype_out = queue_mm_dtype,
                                  .bmm_out = queue_mm<&HostFunctions::bmm_out>,
                                  .baddbmm_out = queue_addmm<&HostFunctions::baddbmm_out>,
                                  .cpu_attention = queue_attention,
                                  .create_guard = create_guard,
                                  .delete_guard = delete_guard};
  return {table, 0};
}

}  // namespace emulator
