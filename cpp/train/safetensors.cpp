#include "safetensors.h"

#include <cstring>

#include "core/error.h"
#include "core/json.h"
#include "files.h"

namespace clip_es::train {
namespace {

constexpr size_t kLengthBytes = 8;
constexpr uint64_t kLongestHeader = 100'000'000;

struct Type {
  const char* name;
  torch::ScalarType type;
};
const Type kTypes[] = {{"F32", torch::kFloat32}, {"F16", torch::kFloat16}, {"BF16", torch::kBFloat16}, {"F64", torch::kFloat64},
                       {"I64", torch::kInt64},   {"I32", torch::kInt32},   {"U8", torch::kUInt8},      {"BOOL", torch::kBool}};

[[noreturn]] void damaged(const std::string& path, const std::string& what) {
  throw Error(ErrorCode::kModelFormat, path + " is not a valid safetensors file: " + what + "; copy or write it again");
}

uint64_t header_length(const std::string& bytes) {
  uint64_t length = 0;
  if (bytes.size() >= kLengthBytes) std::memcpy(&length, bytes.data(), kLengthBytes);
  return length;
}

// [begin, end) of a tensor in the data.
std::pair<uint64_t, uint64_t> read_offsets(const Json& entry, const std::string& path, const std::string& name) {
  const Json::array_t& offsets = json_array(json_member(entry, "data_offsets"), "data_offsets");
  if (offsets.size() != 2 || !offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned())
    damaged(path, "tensor " + name + " has no valid data_offsets");
  return {offsets[0].get<uint64_t>(), offsets[1].get<uint64_t>()};
}

torch::Tensor read_tensor(const Json& entry, std::string_view data, const std::string& path, const std::string& name) {
  const std::string& type_name = json_string(json_member(entry, "dtype"), "dtype");
  const auto* type = std::find_if(std::begin(kTypes), std::end(kTypes), [&](const Type& t) { return t.name == type_name; });
  if (type == std::end(kTypes)) damaged(path, "tensor " + name + " has the unknown type " + type_name);
  std::vector<int64_t> shape;
  uint64_t bytes = torch::elementSize(type->type);
  for (const Json& size : json_array(json_member(entry, "shape"), "shape")) {
    if (!size.is_number_unsigned() || __builtin_mul_overflow(bytes, size.get<uint64_t>(), &bytes))
      damaged(path, "tensor " + name + " has an impossible shape");
    shape.push_back(size.get<int64_t>());
  }
  const auto [begin, end] = read_offsets(entry, path, name);
  if (begin > end || end > data.size() || end - begin != bytes)
    damaged(path, "tensor " + name + " lies outside the file or does not have the size of its shape");
  torch::Tensor tensor = torch::empty(shape, type->type);
  std::memcpy(tensor.data_ptr(), data.data() + begin, bytes);
  return tensor;
}

Safetensors parse(const std::string& bytes, const std::string& path) {
  const uint64_t length = header_length(bytes);
  if (length > kLongestHeader || length + kLengthBytes > bytes.size()) damaged(path, "the header is longer than the file");
  const Json header = parse_json(std::string_view(bytes).substr(kLengthBytes, length));
  const std::string_view data = std::string_view(bytes).substr(kLengthBytes + length);
  Safetensors content;
  for (const auto& [name, entry] : json_object(header, "the header")) {
    if (name != "__metadata__") content.tensors.emplace(name, read_tensor(entry, data, path, name));
    else
      for (const auto& [key, value] : json_object(entry, name)) content.metadata.emplace(key, json_string(value, key));
  }
  return content;
}

const char* name_of(torch::ScalarType type) {
  for (const Type& known : kTypes)
    if (known.type == type) return known.name;
  throw Error(ErrorCode::kInternal, std::string("safetensors has no type ") + torch::toString(type));
}

}  // namespace

bool is_safetensors(const std::string& path) {
  const std::string start = read_file(path, kLengthBytes + 1);
  return start.size() > kLengthBytes && start.back() == '{' && header_length(start) <= kLongestHeader;
}

Safetensors read_safetensors(const std::string& path) {
  const std::string bytes = read_file(path);
  try {
    return parse(bytes, path);
  } catch (const Error& error) {
    if (std::string_view(error.what()).starts_with(path)) throw;
    damaged(path, error.what());
  }
}

void write_safetensors(const std::string& path, const Safetensors& content) {
  Json header = Json::object();
  if (!content.metadata.empty()) header["__metadata__"] = content.metadata;
  std::vector<torch::Tensor> values;
  uint64_t offset = 0;
  for (const auto& [name, tensor] : content.tensors) {
    const torch::Tensor& t = values.emplace_back(tensor.detach().to(torch::kCPU).contiguous());
    header[name] = {{"dtype", name_of(t.scalar_type())}, {"shape", t.sizes().vec()}, {"data_offsets", {offset, offset + t.nbytes()}}};
    offset += t.nbytes();
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // aligns the data
  const uint64_t length = text.size();
  std::vector<std::string_view> parts{{reinterpret_cast<const char*>(&length), kLengthBytes}, text};
  for (const torch::Tensor& t : values) parts.emplace_back(static_cast<const char*>(t.const_data_ptr()), t.nbytes());
  write_file(path, parts);
}

}  // namespace clip_es::train
