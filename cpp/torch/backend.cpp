#include "torch/backend.h"

#include <dlfcn.h>

#include <cmath>
#include <span>
#include <string_view>
#include <vector>

#include "torch/backend_table.h"
#include "torch/library.h"

namespace clip_es::torch {
namespace {

constexpr const char* kRemedy = "; use a CUDA build of LibTorch 2.11 or newer, such as the one pip installs, or device 'cpu'";

[[noreturn]] void unavailable(const std::string& what) { throw Error(ErrorCode::kDeviceUnavailable, what + kRemedy); }

// As check(), and memory that ran out keeps its own code.
void check_device(AOTITorchError code, const char* function) {
  try {
    check(code, function);
  } catch (const Error& error) {
    if (std::string_view(error.what()).find("out of memory") == std::string_view::npos) throw;
    throw Error(ErrorCode::kOutOfMemory,
                std::string("the GPU's memory is used up: a smaller maxSide, fewer labels or a smaller model needs "
                            "less; so does ending other programs on it (") +
                    error.what() + ")");
  }
}

template <class Function>
void find(void* library, const char* name, Function*& function, std::string& missing) {
  function = reinterpret_cast<Function*>(dlsym(library, name));
  if (!function) missing += missing.empty() ? name : std::string(", ") + name;
}

void fill_common(BackendTable& table, std::string& missing) {
  find(library_handle(), "aoti_torch_get_data_ptr", table.get_data_ptr, missing);
  find(library_handle(), "aoti_torch_get_strides", table.get_strides, missing);
}

BackendTable cuda_table() {
  const std::string file = cuda_library_file();
  if (file.empty()) unavailable("the LibTorch at " + loaded_folder() + " computes on the CPU alone: it has no libtorch_cuda.so");
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) unavailable("LibTorch's CUDA part does not load: " + std::string(dlerror()));
  BackendTable table;
  std::string missing;
#define X(member, type, name) find(library, name, table.member, missing);
  CLIP_ES_TORCH_CUDA_FUNCTIONS(X)
#undef X
  fill_common(table, missing);
  int32_t (*device_type)() = nullptr;
  find(library_handle(), "aoti_torch_device_type_cuda", device_type, missing);
  if (!missing.empty()) unavailable(file + " lacks " + missing);
  table.device_type = device_type();
  return table;
}

BackendTable host_table() {
  BackendTable table;
  std::string missing;
  table.addmm_out = aoti_torch_cpu_addmm_out;
  table.mm_out = aoti_torch_cpu_mm_out;
  find(library_handle(), "aoti_torch_cpu_bmm_out", table.bmm_out, missing);
  find(library_handle(), "aoti_torch_cpu_baddbmm_out", table.baddbmm_out, missing);
  find(library_handle(), "aoti_torch_cpu__scaled_dot_product_flash_attention_for_cpu", table.cpu_attention, missing);
  fill_common(table, missing);
  if (!missing.empty()) throw Error(ErrorCode::kLibTorch, "the LibTorch at " + loaded_folder() + " lacks " + missing);
  table.device_type = aoti_torch_device_type_cpu();
  return table;
}

size_t bytes_of(Dtype dtype) { return dtype == Dtype::kFloat32 ? sizeof(float) : sizeof(uint16_t); }

Tensor wrap(const BackendTable& table, int32_t index, const void* data, Dtype dtype, std::span<const int64_t> sizes,
            std::span<const int64_t> strides) {
  AtenTensorHandle handle;
  check(aoti_torch_create_tensor_from_blob_v2(const_cast<void*>(data), static_cast<int64_t>(sizes.size()), sizes.data(), strides.data(), 0,
                                              dtype == Dtype::kFloat32 ? aoti_torch_dtype_float32() : aoti_torch_dtype_bfloat16(),
                                              table.device_type, index, &handle, aoti_torch_layout_strided(), nullptr, 0),
        "aoti_torch_create_tensor_from_blob_v2");
  return Tensor(handle);
}

Tensor wrap_2d(const BackendTable& table, int32_t index, const Batch& m) {
  return wrap(table, index, m.data, m.dtype, std::array{m.rows, m.columns}, std::array{m.row_stride, m.column_stride});
}

Tensor wrap_3d(const BackendTable& table, int32_t index, const Batch& m) {
  return wrap(table, index, m.data, m.dtype, std::array{m.batches, m.rows, m.columns},
              std::array{m.batch_stride, m.row_stride, m.column_stride});
}

// LibTorch resizes a result of the wrong shape in silence; the shapes are checked here instead.
void require_product(const Batch& a, const Batch& b, const Batch& out) {
  const bool ok = a.columns == b.rows && out.rows == a.rows && out.columns == b.columns && a.batches == b.batches &&
                  out.batches == a.batches && a.dtype == b.dtype && out.dtype == a.dtype;
  auto shape = [](const Batch& m) {
    return "(" + std::to_string(m.batches) + ", " + std::to_string(m.rows) + ", " + std::to_string(m.columns) + ")";
  };
  if (!ok) throw Error(ErrorCode::kLibTorch, "a product of " + shape(a) + " and " + shape(b) + " is no " + shape(out));
}

}  // namespace

std::string cuda_library_file() { return library_file_beside("libtorch_cuda.so"); }

Backend Backend::cuda(int index) {
  static const BackendTable table = cuda_table();
  return Backend(table, index);
}

Backend Backend::host() {
  static const BackendTable table = host_table();
  return Backend(table, 0);
}

Backend::Guard::Guard(const Backend& backend, void* stream) : backend_(backend) {
  aoti_torch_grad_mode_set_enabled(false);  // of this thread
  if (backend_.table_->create_guard)
    check(backend_.table_->create_guard(stream, backend_.index_, &guard_), "aoti_torch_create_cuda_stream_guard");
}

Backend::Guard::~Guard() {
  if (guard_) backend_.table_->delete_guard(guard_);
}

void Backend::mm(const Batch& a, const Batch& b, const Batch& out, const void* bias) const {
  require_product(a, b, out);
  const Tensor result = wrap_2d(*table_, index_, out), left = wrap_2d(*table_, index_, a), right = wrap_2d(*table_, index_, b);
  if (!bias) return check_device(table_->mm_out(result.get(), left.get(), right.get()), "mm_out");
  // One dimension: LibTorch then lets cuBLAS add it on the way out.
  const Tensor added = wrap(*table_, index_, bias, out.dtype, std::array{out.columns}, std::array{int64_t{1}});
  check_device(table_->addmm_out(result.get(), added.get(), left.get(), right.get(), 1, 1), "addmm_out");
}

void Backend::bmm(const Batch& a, const Batch& b, const Batch& out, bool add) const {
  require_product(a, b, out);
  const Tensor result = wrap_3d(*table_, index_, out), left = wrap_3d(*table_, index_, a), right = wrap_3d(*table_, index_, b);
  if (add) check_device(table_->baddbmm_out(result.get(), result.get(), left.get(), right.get(), 1, 1), "baddbmm_out");
  else check_device(table_->bmm_out(result.get(), left.get(), right.get()), "bmm_out");
}

Backend::Attended Backend::attention(const void* qkv, int64_t images, int64_t n, int64_t width, int64_t heads) const {
  const int64_t size = width / heads;
  auto part = [&](int64_t which) {
    const auto* data = static_cast<const std::byte*>(qkv) + static_cast<size_t>(which * width) * bytes_of(Dtype::kBFloat16);
    return wrap(*table_, index_, data, Dtype::kBFloat16, std::array{images, heads, n, size},
                std::array{n * 3 * width, size, 3 * width, int64_t{1}});
  };
  const Tensor query = part(0), key = part(1), value = part(2);
  double scale = 1 / std::sqrt(static_cast<double>(size));
  AtenTensorHandle results[7] = {};
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
  for (AtenTensorHandle handle : results) owned->emplace_back(handle);

  void *out = nullptr, *log_sum_exp = nullptr;
  int64_t *out_strides = nullptr, *lse_strides = nullptr;
  check(table_->get_data_ptr(results[0], &out), "aoti_torch_get_data_ptr");
  check(table_->get_data_ptr(results[1], &log_sum_exp), "aoti_torch_get_data_ptr");
  check(table_->get_strides(results[0], &out_strides), "aoti_torch_get_strides");
  check(table_->get_strides(results[1], &lse_strides), "aoti_torch_get_strides");
  if ((images > 1 && out_strides[0] != n * width) || (heads > 1 && out_strides[1] != size) || (n > 1 && out_strides[2] != width) ||
      out_strides[3] != 1)
    throw Error(ErrorCode::kLibTorch, "flash attention of LibTorch " + version() + " lays its result out in a way that is not known here");
  return {std::move(owned), out, static_cast<const float*>(log_sum_exp), lse_strides[0], lse_strides[1], lse_strides[2]};
}

}  // namespace clip_es::torch
