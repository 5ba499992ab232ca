#include "archive/archive.h"

#include <algorithm>
#include <utility>

#include "archive/pickle.h"
#include "archive/tensor_reader.h"
#include "core/error.h"

namespace clip_es {
namespace {

using Kind = Pickle::Kind;
using Ref = Pickle::Ref;

// Limits of the memory and time that a malicious file can take. They are large enough for any CLIP model.
constexpr uint64_t kLargestPickle = 8 << 20;  // ViT-L/14 has about 200 KB
constexpr uint64_t kLargestExtraFile = 1 << 20;
constexpr size_t kMostVisits = 1'000'000;  // values visited in search of tensors; a shared value counts at every visit
constexpr int kDeepest = 64;               // levels of nested modules
constexpr size_t kLongestName = 512;
constexpr size_t kMostDimensions = 16;
constexpr int64_t kMostElements = int64_t{1} << 48;

struct DTypeInfo {
  DType dtype;
  std::string_view storage;  // the name of PyTorch's class
  const char* name;
  uint64_t size;
};
constexpr DTypeInfo kDTypes[] = {
    {DType::kFloat16, "HalfStorage", "float16", 2},  {DType::kBFloat16, "BFloat16Storage", "bfloat16", 2},
    {DType::kFloat32, "FloatStorage", "float32", 4}, {DType::kFloat64, "DoubleStorage", "float64", 8},
    {DType::kUInt8, "ByteStorage", "uint8", 1},      {DType::kInt8, "CharStorage", "int8", 1},
    {DType::kInt16, "ShortStorage", "int16", 2},     {DType::kInt32, "IntStorage", "int32", 4},
    {DType::kInt64, "LongStorage", "int64", 8},      {DType::kBool, "BoolStorage", "bool", 1},
};

const DTypeInfo* find_dtype(std::string_view storage) {
  for (const DTypeInfo& info : kDTypes)
    if (info.storage == storage) return &info;
  return nullptr;
}

const char* name_of(DType dtype) {
  for (const DTypeInfo& info : kDTypes)
    if (info.dtype == dtype) return info.name;
  return "unknown";
}

std::string as_text(const std::vector<std::byte>& bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

[[noreturn]] void fail(const ZipFile& zip, const std::string& what) { throw Error(ErrorCode::kModelFormat, zip.path() + ": " + what); }

// PyTorch writes all records into one folder, "archive/" or the name of the file.
std::string find_root(const ZipFile& zip) {
  std::string root;
  for (const auto& [name, entry] : zip.entries()) {
    const size_t slash = name.find('/');
    if (slash == name.npos) continue;
    const std::string_view record = std::string_view(name).substr(slash + 1);
    if (record == "model.json") fail(zip, "it was written by PyTorch before 1.3; load it with torch.jit and save it again");
    if (record != "data.pkl") continue;
    if (!root.empty()) fail(zip, "it holds two archives, " + root + " and " + name.substr(0, slash + 1) + "; keep one");
    root = name.substr(0, slash + 1);
  }
  if (root.empty())
    fail(zip,
         "it is a zip file without data.pkl, so neither a TorchScript archive nor a torch.save file; write an archive with "
         "tools/export_archive.py");
  return root;
}

// Finds the tensors in one pickle of the archive.
class TensorFinder {
 public:
  using Tensors = std::map<std::string, ArchiveTensor, std::less<>>;

  // `folder`: contains the storages of the pickle.
  TensorFinder(const ZipFile& zip, const Pickle& pickle, std::string folder, Tensors& tensors)
      : zip_(zip), pickle_(pickle), folder_(std::move(folder)), tensors_(tensors) {}

  void find(std::string name) { visit(pickle_.root(), name, 0); }

 private:
  // kDeepest limits the recursion and kMostVisits the work, because values of a pickle can be shared or cyclic.
  void visit(Ref ref, std::string& name, int depth) {
    if (depth > kDeepest)
      fail(zip_, name + " is nested deeper than " + std::to_string(kDeepest) +
                     "; save only the weights, with torch.save(model.state_dict(), file)");
    if (++visits_ > kMostVisits)
      fail(zip_, "it has more than " + std::to_string(kMostVisits) +
                     " attributes; save only the weights, with torch.save(model.state_dict(), file)");
    const Pickle::Value& value = pickle_[ref];
    if (value.kind == Kind::kCall) visit_call(value, name, depth);
    if (value.state) visit(*value.state, name, depth + 1);
    if (value.kind == Kind::kSequence)
      for (size_t i = 0; i < value.items.size(); ++i) visit_child(value.items[i], std::to_string(i), name, depth);
    if (value.kind == Kind::kDict)
      for (size_t i = 0; i + 1 < value.items.size(); i += 2) {
        const Pickle::Value& key = pickle_[value.items[i]];
        if (key.kind == Kind::kText) visit_child(value.items[i + 1], key.text, name, depth);
        if (key.kind == Kind::kInteger) visit_child(value.items[i + 1], std::to_string(key.integer), name, depth);
      }
  }

  void visit_child(Ref child, std::string_view key, std::string& name, int depth) {
    const Pickle::Value& value = pickle_[child];
    const bool branch = value.kind == Kind::kCall || value.kind == Kind::kSequence || value.kind == Kind::kDict;
    if (!branch) return;
    const size_t parent = name.size();
    if (parent + key.size() >= kLongestName) fail(zip_, "a name in " + name + " is longer than " + std::to_string(kLongestName));
    if (!name.empty()) name += '.';
    name += key;
    visit(child, name, depth + 1);
    name.resize(parent);
  }

  void visit_call(const Pickle::Value& call, std::string& name, int depth) {
    if (pickle_.is_global(call.callee, "torch._utils", "_rebuild_tensor_v2")) return add(call, name);
    const bool wrapper = pickle_.is_global(call.callee, "torch._utils", "_rebuild_parameter") ||
                         pickle_.is_global(call.callee, "torch.jit._pickle", "restore_type_tag") ||
                         pickle_.is_global(call.callee, "torch.jit._pickle", "build_tensorlist");
    if (!wrapper) return;  // other functions do not create tensors
    const Pickle::Value& arguments = pickle_[call.arguments];
    if (!arguments.items.empty()) visit(arguments.items[0], name, depth + 1);
  }

  // _rebuild_tensor_v2(storage, first element, shape, strides, …)
  void add(const Pickle::Value& call, const std::string& name) {
    const auto& arguments = items(call.arguments, 4, name);
    const Storage storage = read_storage(arguments[0], name);
    ArchiveTensor tensor{storage.dtype, integers(arguments[2], name), integers(arguments[3], name), integer(arguments[1], name),
                         storage.record};
    check_extent(tensor, storage.elements, name);
    if (!tensors_.emplace(name, std::move(tensor)).second) refuse(name, "occurs twice");
  }

  struct Storage {
    DType dtype;
    std::string record;
    int64_t elements;
  };

  // ("storage", torch.FloatStorage, "0", "cpu", elements): the key names a record.
  Storage read_storage(Ref ref, const std::string& name) const {
    if (pickle_[ref].kind != Kind::kPersistent) refuse(name, "has no storage");
    const auto& id = items(pickle_[ref].arguments, 5, name);
    const Pickle::Value& type = pickle_[id[1]];
    const Pickle::Value& key = pickle_[id[2]];
    if (type.kind != Kind::kGlobal || key.kind != Kind::kText) refuse(name, "has a storage of an unknown form");
    const DTypeInfo* info = type.module == "torch" ? find_dtype(type.text) : nullptr;
    if (!info) fail(zip_, "tensor " + name + " is a " + std::string(type.text.substr(0, 80)) + "; convert it to float32");
    const std::string record = folder_ + std::string(key.text);
    const ZipEntry* entry = zip_.find(record);
    if (!entry) refuse(name, "is stored in record " + record + ", which is missing");
    if (!entry->stored) refuse(name, "is stored in record " + record + ", which is compressed; records must not be compressed");
    const int64_t elements = integer(id[4], name);
    if (elements < 0 || static_cast<uint64_t>(elements) > entry->size / info->size)
      refuse(name, "has a storage of " + std::to_string(elements) + " " + info->name + " elements, but record " + record + " has " +
                       std::to_string(entry->size) + " bytes");
    return {info->dtype, record, elements};
  }

  // Checks that all elements are inside the storage, and that their number and positions cannot overflow.
  void check_extent(const ArchiveTensor& tensor, int64_t storage_elements, const std::string& name) const {
    const std::string what = "has shape " + to_string(tensor.shape) + " and strides " + to_string(tensor.strides);
    if (tensor.shape.size() != tensor.strides.size() || tensor.shape.size() > kMostDimensions) refuse(name, what);
    bool possible = tensor.first >= 0 && tensor.first < kMostElements;
    bool empty = false;
    int64_t count = 1, last = tensor.first;
    for (size_t d = 0; d < tensor.shape.size() && possible; ++d) {
      const int64_t size = tensor.shape[d];
      int64_t reach = 0;
      possible = size >= 0 && tensor.strides[d] >= 0 && !__builtin_mul_overflow(size - 1, tensor.strides[d], &reach) &&
                 !__builtin_add_overflow(last, reach, &last) && last < kMostElements &&
                 !__builtin_mul_overflow(count, std::max<int64_t>(size, 1), &count) && count < kMostElements;
      empty = empty || size == 0;
    }
    if (!possible) refuse(name, what + ", which are impossible");
    if (!empty && last >= storage_elements)
      refuse(name,
             what + ", which refer to element " + std::to_string(last) + " of a storage that has " + std::to_string(storage_elements));
  }

  const std::vector<Ref>& items(Ref ref, size_t least, const std::string& name) const {
    const Pickle::Value& value = pickle_[ref];
    if (value.kind != Kind::kSequence || value.items.size() < least) refuse(name, "has too few arguments");
    return value.items;
  }

  int64_t integer(Ref ref, const std::string& name) const {
    if (pickle_[ref].kind != Kind::kInteger) refuse(name, "has a size that is not an integer");
    return pickle_[ref].integer;
  }

  std::vector<int64_t> integers(Ref ref, const std::string& name) const {
    std::vector<int64_t> values;
    for (const Ref item : items(ref, 0, name)) values.push_back(integer(item, name));
    return values;
  }

  [[noreturn]] void refuse(const std::string& name, const std::string& what) const {
    fail(zip_, "tensor " + name + " " + what + "; download the archive again, or write it again with torch.jit.save");
  }

  const ZipFile& zip_;
  const Pickle& pickle_;
  std::string folder_;
  Tensors& tensors_;
  size_t visits_ = 0;
};

}  // namespace

int64_t ArchiveTensor::elements() const {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

std::string to_string(std::span<const int64_t> shape) {
  std::string text = "(";
  for (size_t d = 0; d < shape.size(); ++d) text += (d ? ", " : "") + std::to_string(shape[d]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

Archive::Archive(const std::string& path) : zip_(path) {
  const std::string root = find_root(zip_);
  const auto code = zip_.entries().lower_bound(root + "code/");
  is_torchscript_ = code != zip_.entries().end() && code->first.starts_with(root + "code/");
  const std::string byte_order = root + "byteorder";  // written by PyTorch 2.1 and newer
  if (zip_.find(byte_order) && as_text(zip_.read_whole(byte_order, 16)) != "little")
    fail(zip_, "it was written on a big-endian machine; write it again on a little-endian one");
  for (const std::string part : {"data", "constants"}) {
    const std::string record = root + part + ".pkl";
    if (!zip_.find(record)) continue;
    const Pickle pickle(zip_.read_whole(record, kLargestPickle), path + ": " + record);
    TensorFinder(zip_, pickle, root + part + "/", tensors_).find(part == "data" ? "" : part);
  }
}

void Archive::read(const std::string& name, std::span<float> out) const {
  const auto refuse = [&](const std::string& what) { fail(zip_, "tensor " + name + " " + what); };
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) refuse("is missing");
  const ArchiveTensor& tensor = found->second;
  if (!is_floating_point(tensor.dtype)) refuse(std::string("is ") + name_of(tensor.dtype) + ", expected a floating-point type");
  if (static_cast<uint64_t>(tensor.elements()) != out.size())
    refuse("is " + to_string(tensor.shape) + ", but " + std::to_string(out.size()) + " elements are expected");
  const ZipEntry& record = *zip_.find(tensor.record);
  if (!zip_.verify(record)) refuse("is damaged (CRC-32 of record " + tensor.record + " differs); download the archive again");
  read_tensor(zip_, record, tensor, out);
}

std::optional<std::string> Archive::extra_file(std::string_view name) const {
  const std::string record = find_root(zip_) + "extra/" + std::string(name);
  if (!zip_.find(record)) return std::nullopt;
  return as_text(zip_.read_whole(record, kLargestExtraFile));
}

}  // namespace clip_es
