#include "torch/backend.h"

#include <cmath>
#include <span>
#include <string_view>
#include <vector>

#include "core/platform/library.h"
#include "core/platform/system_error.h"
#include "torch/backend_table.h"
#include "torch/library.h"
#include "torch/tensor.h"

namespace clip_es::torch {
namespace {

constexpr const char* kRemedy =
    "; use a CUDA build of LibTorch 2.11 or newer (npx clip-es setup --cuda finds or fetches one), or device 'cpu'";

[[noreturn]] void throw_unavailable(const std::string& what) { throw Error(ErrorCode::kDeviceUnavailable, what + kRemedy); }

// As check(), but throws kOutOfMemory if the GPU has no free memory.
void check_device(Status status, const char* function) {
  try {
    check(status, function);
  } catch (const Error& error) {
    if (std::string_view(error.what()).find("out of memory") == std::string_view::npos) throw;
    throw Error(ErrorCode::kOutOfMemory, std::string("the GPU has no free memory; use a smaller maxSide, fewer labels or a smaller model, "
                                                     "or end other programs that use the GPU (") +
                                             error.what() + ")");
  }
}

template <class Function>
void find(void* library, const char* name, Function*& function, std::string& missing) {
  function = reinterpret_cast<Function*>(platform::find_symbol(library, name));
  if (function) return;
  if (!missing.empty()) missing += ", ";
  missing += name;
}

void* open_cuda(const std::string& file) try { return platform::open_library(file); } catch (const platform::SystemError& error) {
  throw_unavailable(std::string("LibTorch's CUDA library cannot be loaded: ") + error.what());
}

BackendTable cuda_table() {
  const std::string file = cuda_library_file();
  if (file.empty()) throw_unavailable("the LibTorch at " + loaded_folder() + " is a CPU build: it has no libtorch_cuda.so");
  void* library = open_cuda(file);
  if (!aoti_torch_device_type_cuda) throw_unavailable("the LibTorch at " + loaded_folder() + " lacks aoti_torch_device_type_cuda");
  std::string missing;
#define X(name, ...)                              \
  std::add_pointer_t<__VA_ARGS__> name = nullptr; \
  find(library, #name, name, missing);
  CLIP_ES_TORCH_CUDA_FUNCTIONS(X)
#undef X
  if (!missing.empty()) throw_unavailable(file + " lacks " + missing);
  return {.device_type = aoti_torch_device_type_cuda(),
          .addmm_out = aoti_torch_cuda_addmm_out,
          .mm_out = aoti_torch_cuda_mm_out,
          .mm_dtype_out = aoti_torch_cuda_mm_dtype_out,
          .bmm_out = aoti_torch_cuda_bmm_out,
          .baddbmm_out = aoti_torch_cuda_baddbmm_out,
          .cuda_attention = aoti_torch_cuda__scaled_dot_product_flash_attention,
          .create_guard = aoti_torch_create_cuda_stream_guard,
          .delete_guard = aoti_torch_delete_cuda_stream_guard};
}

BackendTable host_table() {
  if (!is_loaded())
    throw Error(ErrorCode::kLibTorch, "no LibTorch is loaded, but LibTorch's products were asked for; call load_library() first");
  std::string missing;
#define X(name, ...)                              \
  std::add_pointer_t<__VA_ARGS__> name = nullptr; \
  find(library_handle(), #name, name, missing);
  CLIP_ES_TORCH_HOST_FUNCTIONS(X)
#undef X
  if (!missing.empty()) throw Error(ErrorCode::kLibTorch, "the LibTorch at " + loaded_folder() + " lacks " + missing);
  return {.device_type = aoti_torch_device_type_cpu(),
          .addmm_out = aoti_torch_cpu_addmm_out,
          .mm_out = aoti_torch_cpu_mm_out,
          .bmm_out = aoti_torch_cpu_bmm_out,
          .baddbmm_out = aoti_torch_cpu_baddbmm_out,
          .cpu_attention = aoti_torch_cpu__scaled_dot_product_flash_attention_for_cpu};
}

int32_t code_of(Dtype dtype) { return dtype == Dtype::kFloat32 ? aoti_torch_dtype_float32() : aoti_torch_dtype_bfloat16(); }

Tensor wrap_matrix(const BackendTable& table, int32_t index, const Batch& m) {
  return wrap(m.data, code_of(m.dtype), table.device_type, index, std::array{m.rows, m.columns}, std::array{m.row_stride, m.column_stride});
}

Tensor wrap_batch(const BackendTable& table, int32_t index, const Batch& m) {
  return wrap(m.data, code_of(m.dtype), table.device_type, index, std::array{m.batches, m.rows, m.columns},
              std::array{m.batch_stride, m.row_stride, m.column_stride});
}

// Checks the shapes, because LibTorch would resize a result of another shape without an error.
void require_product(const Batch& a, const Batch& b, const Batch& out) {
  const bool ok = a.columns == b.rows && out.rows == a.rows && out.columns == b.columns && a.batches == b.batches &&
                  out.batches == a.batches && a.dtype == b.dtype;
  auto shape = [](const Batch& m) {
    return "(" + std::to_string(m.batches) + ", " + std::to_string(m.rows) + ", " + std::to_string(m.columns) + ")";
  };
  if (!ok) throw Error(ErrorCode::kLibTorch, "the product of " + shape(a) + " and " + shape(b) + " does not fit into " + shape(out));
}

}  // namespace

std::string cuda_library_file() { return is_loaded() ? sibling_library("torch_cuda") : ""; }

Backend Backend::cuda(int index) {
  static const BackendTable table = cuda_table();
  return Backend(table, index);
}

Backend Backend::host() {
  static const BackendTable table = host_table();
  return Backend(table, 0);
}

Backend::Guard::Guard(const Backend& backend, void* stream) : backend_(backend) {
  if (backend_.table_->record_product) return;
  aoti_torch_grad_mode_set_enabled(false);  // of the calling thread
  if (!backend_.table_->create_guard) return;
  StreamGuardHandle guard = nullptr;
  check(backend_.table_->create_guard(stream, backend_.index_, &guard), "aoti_torch_create_cuda_stream_guard");
  guard_ = guard;
}

Backend::Guard::~Guard() {
  if (guard_) backend_.table_->delete_guard(static_cast<StreamGuardHandle>(guard_));
}

void Backend::mm(const Batch& a, const Batch& b, const Batch& out, const void* bias) const {
  require_product(a, b, out);
  if (table_->record_product) return table_->record_product(a, b, out, bias);
  const bool widens = a.dtype == Dtype::kBFloat16 && out.dtype == Dtype::kFloat32;
  if (out.dtype != a.dtype && (!widens || bias || !table_->mm_dtype_out))
    throw Error(ErrorCode::kLibTorch, "LibTorch cannot compute this product with a result of another type than the matrices");
  const Tensor result = wrap_matrix(*table_, index_, out), left = wrap_matrix(*table_, index_, a), right = wrap_matrix(*table_, index_, b);
  if (widens) return check_device(table_->mm_dtype_out(result.get(), left.get(), right.get(), code_of(out.dtype)), "mm_dtype_out");
  if (!bias) return check_device(table_->mm_out(result.get(), left.get(), right.get()), "mm_out");
  // If the bias has one dimension, LibTorch lets cuBLAS add it in the epilogue of the product.
  const Tensor added = wrap(bias, code_of(out.dtype), table_->device_type, index_, std::array{out.columns}, std::array{int64_t{1}});
  check_device(table_->addmm_out(result.get(), added.get(), left.get(), right.get(), 1, 1), "addmm_out");
}

void Backend::bmm(const Batch& a, const Batch& b, const Batch& out, bool add) const {
  require_product(a, b, out);
  if (table_->record_product) return table_->record_product(a, b, out, add ? out.data : nullptr);
  const Tensor result = wrap_batch(*table_, index_, out), left = wrap_batch(*table_, index_, a), right = wrap_batch(*table_, index_, b);
  if (add) check_device(table_->baddbmm_out(result.get(), result.get(), left.get(), right.get(), 1, 1), "baddbmm_out");
  else check_device(table_->bmm_out(result.get(), left.get(), right.get()), "bmm_out");
}

Backend::Attended Backend::attention(const void* qkv, int64_t images, int64_t n, int64_t width, int64_t heads) const {
  if (table_->record_attention) return table_->record_attention(images, n, width, heads);
  const int64_t size = width / heads;
  auto part = [&](int64_t which) {
    const auto* data = static_cast<const uint16_t*>(qkv) + which * width;
    return wrap(data, code_of(Dtype::kBFloat16), table_->device_type, index_, std::array{images, heads, n, size},
                std::array{n * 3 * width, size, 3 * width, int64_t{1}});
  };
  const Tensor query = part(0), key = part(1), value = part(2);
  double scale = 1 / std::sqrt(static_cast<double>(size));
  TensorHandle results[7] = {};
  if (table_->cuda_attention) {
    int64_t longest_query = 0, longest_key = 0;
    check_device(table_->cuda_attention(query.get(), key.get(), value.get(), 0, 0, 0, &scale, &results[0], &results[1], &results[2],
                                        &results[3], &longest_query, &longest_key, &results[4], &results[5], &results[6]),
                 "flash attention");
  } else {
    check_device(table_->cpu_attention(query.get(), key.get(), value.get(), 0, 0, nullptr, &scale, &results[0], &results[1]),
                 "flash attention");
  }
  auto owned = std::make_shared<std::vector<Tensor>>();
  for (TensorHandle handle : results) owned->emplace_back(handle);

  void *out = nullptr, *log_sum_exp = nullptr;
  int64_t *out_strides = nullptr, *lse_strides = nullptr;
  check(aoti_torch_get_data_ptr(results[0], &out), "aoti_torch_get_data_ptr");
  check(aoti_torch_get_data_ptr(results[1], &log_sum_exp), "aoti_torch_get_data_ptr");
  check(aoti_torch_get_strides(results[0], &out_strides), "aoti_torch_get_strides");
  check(aoti_torch_get_strides(results[1], &lse_strides), "aoti_torch_get_strides");
  if ((images > 1 && out_strides[0] != n * width) || (heads > 1 && out_strides[1] != size) || (n > 1 && out_strides[2] != width) ||
      out_strides[3] != 1)
    throw Error(ErrorCode::kLibTorch,
                "flash attention of LibTorch " + version() + " returns its result in an unknown memory layout; use another LibTorch");
  return {std::move(owned), out, static_cast<const float*>(log_sum_exp), lse_strides[0], lse_strides[1], lse_strides[2]};
}

}  // namespace clip_es::torch
