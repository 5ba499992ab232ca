#include "class_set.h"

#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>

#include "core/error.h"
#include "core/json.h"

namespace clip_es {
namespace {

constexpr const char* kFormat = "clip-es class set 1";

void require(bool ok, const std::string& what) {
  if (!ok) throw Error(ErrorCode::kModelFormat, what);
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw Error(ErrorCode::kModelRead, path + ": " + std::strerror(errno));
  std::string bytes{std::istreambuf_iterator<char>(in), {}};
  if (in.bad()) throw Error(ErrorCode::kModelRead, path + ": cannot be read");
  return bytes;
}

const Json& member(const Json& json, const std::string& name) {
  const Json* found = json.find(name);
  require(found != nullptr, "\"" + name + "\" is missing");
  return *found;
}

int64_t whole(const Json& json, const std::string& name) {
  const double value = json.number(name);
  require(value >= 0 && value < 1e15 && value == std::floor(value), name + " is not a whole number");
  return static_cast<int64_t>(value);
}

// One array of the file: its sizes, and where its bytes are.
struct Array {
  std::vector<int64_t> sizes;
  std::string_view bytes;

  template <class T, class As>
  std::vector<As> elements() const {
    std::vector<As> out(bytes.size() / sizeof(T));
    for (size_t i = 0; i < out.size(); ++i) {
      T value;
      std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
      out[i] = static_cast<As>(value);
    }
    return out;
  }
};

Array find_array(const Json& header, std::string_view body, const std::string& name, const std::string& dtype, size_t dimensions) {
  const Json& entry = member(header, name);
  const Json::Array &shape = member(entry, "shape").array("shape"), &offsets = member(entry, "data_offsets").array("data_offsets");
  require(member(entry, "dtype").text("dtype") == dtype && shape.size() == dimensions && offsets.size() == 2,
          "array " + name + " is of another kind");
  Array out;
  double count = 1;
  for (const Json& size : shape) {
    out.sizes.push_back(whole(size, "a size of " + name));
    count *= static_cast<double>(out.sizes.back());
  }
  const int64_t begin = whole(offsets[0], "an offset"), end = whole(offsets[1], "an offset");
  require(begin <= end && end <= static_cast<int64_t>(body.size()) && static_cast<double>(end - begin) == 4 * count,
          "array " + name + " does not fit the file");
  out.bytes = body.substr(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
  return out;
}

std::vector<std::string> texts(const Json& metadata, const std::string& name) {
  std::vector<std::string> out;
  const Json list = Json::parse(member(metadata, name).text(name));
  for (const Json& item : list.array(name)) out.push_back(item.text("an element of " + name));
  return out;
}

ClassSet parse(const std::string& bytes) {
  uint64_t length = 0;
  require(bytes.size() >= sizeof length, "it has " + std::to_string(bytes.size()) + " bytes");
  std::memcpy(&length, bytes.data(), sizeof length);
  require(length <= bytes.size() - sizeof length, "its header is cut off");
  const Json header = Json::parse(std::string_view(bytes).substr(sizeof length, length));
  const std::string_view body = std::string_view(bytes).substr(sizeof length + length);
  const Json& metadata = member(header, "__metadata__");
  require(member(metadata, "format").text("format") == kFormat, std::string("its format is not '") + kFormat + "'");

  const Array rows = find_array(header, body, "rows", "F32", 2), background = find_array(header, body, "background", "F32", 2);
  ClassSet set{.model = member(metadata, "model").text("model"),
               .names = texts(metadata, "names"),
               .background = texts(metadata, "background"),
               .embedding = rows.sizes[1],
               .rows = rows.elements<float, float>(),
               .first_row = find_array(header, body, "first_row", "I32", 1).elements<int32_t, int64_t>(),
               .background_rows = background.elements<float, float>()};
  bool ok = !set.names.empty() && set.first_row.size() == set.names.size() + 1 && set.first_row.front() == 0 &&
            set.first_row.back() == rows.sizes[0];
  for (size_t i = 1; ok && i < set.first_row.size(); ++i) ok = set.first_row[i - 1] < set.first_row[i];
  ok = ok && background.sizes[0] == static_cast<int64_t>(set.background.size()) &&
       (set.background.empty() || background.sizes[1] == set.embedding);
  require(ok, "its classes and rows do not agree");
  for (const std::vector<float>* values : {&set.rows, &set.background_rows})
    for (const float value : *values) require(std::isfinite(value), "an embedding is not finite");
  return set;
}

}  // namespace

void ClassSet::require_model(const Model& encoder) const {
  if (model == encoder.fingerprint_text() && embedding == encoder.shape.embedding) return;
  throw Error(ErrorCode::kInvalidArg, "the classes were encoded by model " + model + ", not by this one, " + encoder.fingerprint_text() +
                                          ": encode and save them with this model");
}

ClassSet ClassSet::subset(std::span<const int64_t> classes) const {
  ClassSet out{.model = model,
               .names = {},
               .background = background,
               .embedding = embedding,
               .rows = {},
               .first_row = {0},
               .background_rows = background_rows};
  for (const int64_t c : classes) {
    if (c < 0 || c >= static_cast<int64_t>(names.size()))
      throw Error(ErrorCode::kInvalidArg,
                  "class " + std::to_string(c) + " is not among the " + std::to_string(names.size()) + " of the class set");
    const auto index = static_cast<size_t>(c);
    out.names.push_back(names[index]);
    out.rows.insert(out.rows.end(), rows.begin() + first_row[index] * embedding, rows.begin() + first_row[index + 1] * embedding);
    out.first_row.push_back(out.first_row.back() + first_row[index + 1] - first_row[index]);
  }
  return out;
}

ClassSet read_class_set(const std::string& path) {
  const std::string bytes = read_file(path);
  try {
    return parse(bytes);
  } catch (const Error& e) {
    throw Error(ErrorCode::kModelFormat, path + " is not a class set that clip-es saved, or is damaged: " + e.what());
  }
}

}  // namespace clip_es
