#include "class_set.h"

#include <cmath>
#include <cstring>

#include "core/error.h"
#include "core/json.h"
#include "core/platform/file.h"
#include "core/platform/system_error.h"

namespace clip_es {
namespace {

constexpr const char* kClassSetFormat = "clip-es class set 1";

void require(bool ok, const std::string& message) {
  if (!ok) throw Error(ErrorCode::kModelFormat, message);
}

std::string read_file(const std::string& path) try {
  const platform::File file(path);
  std::string bytes(file.size(), '\0');
  size_t used = 0;
  while (used < bytes.size()) {
    const size_t count = file.read(used, std::as_writable_bytes(std::span(bytes).subspan(used)));
    if (count == 0) break;  // it became shorter; the parser says what is missing
    used += count;
  }
  bytes.resize(used);
  return bytes;
} catch (const platform::SystemError& error) {
  throw Error(ErrorCode::kModelRead, path + " cannot be read: " + error.what());
}

int64_t whole_number(const Json& json, const std::string& name) {
  const double value = json_number(json, name);
  require(value >= 0 && value < 1e15 && value == std::floor(value), name + " is not a whole number from 0 to 10^15");
  return static_cast<int64_t>(value);
}

// One array of the file: its shape and its bytes. They are copied because the file does not align them.
struct FileArray {
  std::vector<int64_t> shape;
  std::string_view bytes;

  template <class Stored, class Element>
  std::vector<Element> elements() const {
    std::vector<Element> out(bytes.size() / sizeof(Stored));
    for (size_t i = 0; i < out.size(); ++i) {
      Stored value;
      std::memcpy(&value, bytes.data() + i * sizeof(Stored), sizeof(Stored));
      out[i] = static_cast<Element>(value);
    }
    return out;
  }
};

// `dtype` must be a type of 4 bytes.
FileArray find_array(const Json& header, std::string_view body, const std::string& name, const std::string& dtype, size_t dimensions) {
  const Json& entry = json_member(header, name);
  const std::string& found_dtype = json_string(json_member(entry, "dtype"), "dtype");
  const Json::array_t& shape = json_array(json_member(entry, "shape"), "shape");
  const Json::array_t& offsets = json_array(json_member(entry, "data_offsets"), "data_offsets");
  require(found_dtype == dtype && shape.size() == dimensions, "array " + name + " has type " + found_dtype + " and " +
                                                                  std::to_string(shape.size()) + " dimensions, expected " + dtype +
                                                                  " and " + std::to_string(dimensions));
  require(offsets.size() == 2, "array " + name + " has " + std::to_string(offsets.size()) + " data_offsets, expected 2");
  FileArray out;
  double count = 1;
  for (const Json& size : shape) {
    out.shape.push_back(whole_number(size, "a size of array " + name));
    count *= static_cast<double>(out.shape.back());
  }
  const int64_t begin = whole_number(offsets[0], "an offset of array " + name),
                end = whole_number(offsets[1], "an offset of array " + name);
  require(begin <= end && end <= std::ssize(body) && static_cast<double>(end - begin) == 4 * count,
          "the shape and the data_offsets of array " + name + " do not match the size of the file");
  out.bytes = body.substr(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
  return out;
}

// safetensors allows only strings in its metadata, so a list is stored as a string of JSON.
std::vector<std::string> read_list(const Json& metadata, const std::string& name) {
  std::vector<std::string> out;
  const Json list = parse_json(json_string(json_member(metadata, name), name));
  for (const Json& item : json_array(list, name)) out.push_back(json_string(item, "an element of " + name));
  return out;
}

void check_rows(const ClassSet& set, int64_t rows) {
  const size_t classes = set.names.size();
  require(classes > 0, "it has no classes");
  require(set.first_row.size() == classes + 1, "first_row has " + std::to_string(set.first_row.size()) + " elements, expected " +
                                                   std::to_string(classes + 1) + " (one more than there are classes)");
  require(set.first_row.front() == 0 && set.first_row.back() == rows,
          "first_row must start with 0 and end with the number of rows, " + std::to_string(rows));
  for (size_t c = 0; c < classes; ++c) require(set.first_row[c] < set.first_row[c + 1], "class " + set.names[c] + " has no rows");
}

void check_finite(const std::vector<float>& embeddings, const std::string& name) {
  for (const float value : embeddings) require(std::isfinite(value), "array " + name + " contains a value that is not finite");
}

ClassSet parse(const std::string& bytes) {
  uint64_t length = 0;
  require(bytes.size() >= sizeof length, "it has only " + std::to_string(bytes.size()) + " bytes");
  std::memcpy(&length, bytes.data(), sizeof length);
  require(length <= bytes.size() - sizeof length, "its header ends after the end of the file");
  const Json header = parse_json(std::string_view(bytes).substr(sizeof length, length));
  const std::string_view body = std::string_view(bytes).substr(sizeof length + length);
  const Json& metadata = json_member(header, "__metadata__");
  const std::string& format = json_string(json_member(metadata, "format"), "format");
  require(format == kClassSetFormat, "its format is '" + format + "', expected '" + kClassSetFormat + "'");

  const FileArray rows = find_array(header, body, "rows", "F32", 2), background = find_array(header, body, "background", "F32", 2);
  ClassSet set{.model = json_string(json_member(metadata, "model"), "model"),
               .names = read_list(metadata, "names"),
               .background = read_list(metadata, "background"),
               .embedding = rows.shape[1],
               .rows = rows.elements<float, float>(),
               .first_row = find_array(header, body, "first_row", "I32", 1).elements<int32_t, int64_t>(),
               .background_rows = background.elements<float, float>()};
  check_rows(set, rows.shape[0]);
  require(background.shape[0] == std::ssize(set.background),
          "array background has " + std::to_string(background.shape[0]) + " rows for " + std::to_string(set.background.size()) + " texts");
  require(
      set.background.empty() || background.shape[1] == set.embedding,
      "array background has rows of " + std::to_string(background.shape[1]) + " values, array rows has " + std::to_string(set.embedding));
  check_finite(set.rows, "rows");
  check_finite(set.background_rows, "background");
  return set;
}

}  // namespace

void ClassSet::require_model(const Model& encoder) const {
  if (model == encoder.fingerprint_text() && embedding == encoder.shape.embedding) return;
  throw Error(ErrorCode::kInvalidArg, "the class set was encoded by model " + model + ", but the loaded model is " +
                                          encoder.fingerprint_text() + "; encode and save the classes with the loaded model");
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
    if (c < 0 || c >= std::ssize(names))
      throw Error(ErrorCode::kInvalidArg, "class " + std::to_string(c) + " does not exist: the class set has " +
                                              std::to_string(names.size()) + " classes, numbered from 0");
    const size_t index = c;
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
    throw Error(ErrorCode::kModelFormat, path + " is not a class set written by ClassSet.save, or it is damaged: " + e.what());
  }
}

}  // namespace clip_es
