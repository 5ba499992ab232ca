#include "class_set.h"

#include <algorithm>

#include "archive_fixture.h"
#include "check.h"
#include "core/error.h"
#include "options.h"

namespace clip_es::class_set_test {

namespace {

std::string saved_by_typescript() { return options().golden + "/classes.safetensors"; }

double length(const std::vector<float>& rows, int64_t row, int64_t size) {
  double squares = 0;
  for (int64_t i = 0; i < size; ++i) squares += static_cast<double>(rows[row * size + i]) * rows[row * size + i];
  return std::sqrt(squares);
}

using Bytes = std::string;

struct TestArray {
  std::string dtype, shape;
  Bytes bytes;
};

// A class set of 2 classes, 3 rows of 2 values and 1 background text. A test changes one part to make it invalid.
struct ClassSetFile {
  std::string format = "clip-es class set 1";
  std::string names = R"([\"cat\",\"dog\"])", background_texts = R"([\"sky\"])";
  TestArray rows{"F32", "[3,2]", fixture::bytes_of(std::vector<float>{1, 0, 0, 1, 0.6f, 0.8f})};
  TestArray first_row{"I32", "[3]", fixture::bytes_of(std::vector<int32_t>{0, 1, 3})};
  TestArray background{"F32", "[1,2]", fixture::bytes_of(std::vector<float>{0.8f, 0.6f})};

  Bytes bytes() const {
    std::string header = R"({"__metadata__":{"format":")" + format + R"(","model":"m","names":")" + names + R"(","background":")" +
                         background_texts + R"("})";
    Bytes body;
    const std::pair<const char*, const TestArray*> arrays[] = {{"rows", &rows}, {"first_row", &first_row}, {"background", &background}};
    for (const auto& [name, array] : arrays) {
      const std::string begin = std::to_string(body.size()), end = std::to_string(body.size() + array->bytes.size());
      header += std::string(",\"") + name + R"(":{"dtype":")" + array->dtype + R"(","shape":)" + array->shape + R"(,"data_offsets":[)" +
                begin + "," + end + "]}";
      body += array->bytes;
    }
    header += "}";
    return fixture::bytes_of(uint64_t{header.size()}) + header + body;
  }

  void check_refused(const std::string& part) const {
    const fixture::TemporaryFile file(bytes());
    CHECK_ERROR(read_class_set(file.path()), ErrorCode::kModelFormat, part);
    CHECK_ERROR(read_class_set(file.path()), ErrorCode::kModelFormat, file.path() + " is not a class set written by ClassSet.save");
  }
};

}  // namespace

TEST("a class set that TypeScript saved is read with its names, synonyms and unit rows") {
  const ClassSet set = read_class_set(saved_by_typescript());
  CHECK((set.names == std::vector<std::string>{"cat", "dog", "Müsli"}));
  CHECK((set.background == std::vector<std::string>{"sky", "sea"}));
  CHECK((set.first_row == std::vector<int64_t>{0, 1, 3, 4}));
  CHECK(set.embedding == 128);
  for (int64_t row = 0; row < 4; ++row) CHECK_BELOW(std::abs(length(set.rows, row, 128) - 1), 1e-6);
  for (int64_t row = 0; row < 2; ++row) CHECK_BELOW(std::abs(length(set.background_rows, row, 128) - 1), 1e-6);
}

TEST("a subset of a class set keeps each class's own rows, in the order asked for") {
  const ClassSet set = read_class_set(saved_by_typescript());
  const int64_t chosen[] = {2, 1};
  const ClassSet part = set.subset(chosen);
  CHECK((part.names == std::vector<std::string>{"Müsli", "dog"}));
  CHECK((part.first_row == std::vector<int64_t>{0, 1, 3}));
  CHECK(std::equal(part.rows.begin(), part.rows.begin() + 128, set.rows.begin() + 3 * 128));
  CHECK(std::equal(part.rows.begin() + 128, part.rows.end(), set.rows.begin() + 128));
  const int64_t outside[] = {3};
  CHECK_ERROR(set.subset(outside), ErrorCode::kInvalidArg, "class 3 does not exist: the class set has 3 classes");
}

TEST("a class set cut off anywhere is refused") {
  const std::string whole = fixture::read_file(saved_by_typescript());
  for (size_t size = 0; size < whole.size(); size += 61) {
    const fixture::TemporaryFile file(whole.substr(0, size));
    CHECK_ERROR(read_class_set(file.path()), ErrorCode::kModelFormat, "not a class set");
  }
}

TEST("a class set with a damaged header is refused or reads the same shapes, and nothing crashes") {
  const std::string whole = fixture::read_file(saved_by_typescript());
  int refused = 0;
  for (size_t at = 0; at < 700; at += 3) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x15);
    const fixture::TemporaryFile file(damaged);
    try {
      CHECK(read_class_set(file.path()).rows.size() == 4 * 128);
    } catch (const Error& error) {
      CHECK(error.code == ErrorCode::kModelFormat);
      ++refused;
    }
  }
  CHECK(refused > 100);
}

TEST("a class set that does not exist is ERR_MODEL_READ") {
  CHECK_ERROR(read_class_set("/nowhere/classes.safetensors"), ErrorCode::kModelRead, "/nowhere/classes.safetensors");
}

TEST("a minimal class set is read") {
  const fixture::TemporaryFile file(ClassSetFile{}.bytes());
  const ClassSet set = read_class_set(file.path());
  CHECK((set.names == std::vector<std::string>{"cat", "dog"}));
  CHECK((set.rows == std::vector<float>{1, 0, 0, 1, 0.6f, 0.8f}));
  CHECK((set.background_rows == std::vector<float>{0.8f, 0.6f}));
  ClassSetFile none;
  none.background_texts = "[]";
  none.background = {"F32", "[0,0]", ""};
  const fixture::TemporaryFile without(none.bytes());
  CHECK(read_class_set(without.path()).background.empty());
}

TEST("a class set whose first_row does not match its classes is refused") {
  const auto refused = [](const std::vector<int32_t>& first_row, const std::string& part) {
    ClassSetFile file;
    file.first_row = {"I32", "[" + std::to_string(first_row.size()) + "]", fixture::bytes_of(first_row)};
    file.check_refused(part);
  };
  refused({0, 3}, "first_row has 2 elements, expected 3");
  refused({0, 1, 2, 3}, "first_row has 4 elements, expected 3");
  refused({}, "first_row has 0 elements");
  refused({1, 2, 3}, "first_row must start with 0");
  refused({0, 1, 2}, "end with the number of rows, 3");
  refused({0, 1, 4}, "end with the number of rows, 3");
  refused({0, 0, 3}, "class cat has no rows");
  refused({0, 3, 3}, "class dog has no rows");
  refused({0, 4, 3}, "class dog has no rows");
  ClassSetFile none;
  none.names = "[]";
  none.rows = {"F32", "[0,2]", ""};
  none.first_row = {"I32", "[1]", fixture::bytes_of(std::vector<int32_t>{0})};
  none.check_refused("it has no classes");
}

TEST("a class set whose background does not match is refused") {
  ClassSetFile width;
  width.background = {"F32", "[1,3]", fixture::bytes_of(std::vector<float>{1, 0, 0})};
  width.check_refused("array background has rows of 3 values, array rows has 2");
  ClassSetFile count;
  count.background = {"F32", "[2,2]", fixture::bytes_of(std::vector<float>{1, 0, 0, 1})};
  count.check_refused("array background has 2 rows for 1 texts");
}

TEST("a class set with values that are not finite is refused") {
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    ClassSetFile rows;
    rows.rows.bytes = fixture::bytes_of(std::vector<float>{1, 0, 0, 1, 0, bad});
    rows.check_refused("array rows contains a value that is not finite");
    ClassSetFile background;
    background.background.bytes = fixture::bytes_of(std::vector<float>{0, bad});
    background.check_refused("array background contains a value that is not finite");
  }
}

TEST("a class set whose arrays have another type, shape or place is refused") {
  ClassSetFile file;
  file.rows.dtype = "F16";
  file.check_refused("array rows has type F16 and 2 dimensions, expected F32 and 2");
  file = {};
  file.first_row.shape = "[3,1]";
  file.check_refused("array first_row has type I32 and 2 dimensions, expected I32 and 1");
  for (const char* shape : {"[4,2]", "[2,2]", "[1000000000,1000000000]"}) {
    file = {};
    file.rows.shape = shape;
    file.check_refused("the shape and the data_offsets of array rows do not match");
  }
  for (const char* shape : {"[-1,2]", "[1.5,2]", "[1e300,2]"}) {
    file = {};
    file.rows.shape = shape;
    file.check_refused("a size of array rows is not a whole number");
  }
  const std::pair<const char*, const char*> offsets[] = {{"[0,24]", "[0,240]"}, {"[0,24]", "[24,0]"}};
  for (const auto& [from, to] : offsets) {
    Bytes bytes = ClassSetFile{}.bytes();
    std::string header = bytes.substr(8, bytes.find("}}") + 2 - 8);
    const Bytes body = bytes.substr(8 + header.size());
    header.replace(header.find(from), std::string(from).size(), to);
    const fixture::TemporaryFile moved(fixture::bytes_of(uint64_t{header.size()}) + header + body);
    CHECK_ERROR(read_class_set(moved.path()), ErrorCode::kModelFormat, "the data_offsets of array rows do not match");
  }
}

TEST("a file of another format, or with metadata of another type, is refused as a class set") {
  ClassSetFile file;
  file.format = "clip-es class set 2";
  file.check_refused("its format is 'clip-es class set 2', expected 'clip-es class set 1'");
  file = {};
  file.names = R"({})";
  file.check_refused("names is of type object, expected an array");
  file.names = "[1,2]";
  file.check_refused("an element of names is of type number, expected a string");
}

TEST("a class set of another model is refused with both models, also one of the same name with another width") {
  Model model{};
  model.fingerprint = 0x1a2b;
  model.shape.embedding = 2;
  CHECK(model.fingerprint_text() == "0000000000001a2b");
  ClassSet set;
  set.model = "0000000000001a2b";
  set.embedding = 2;
  set.require_model(model);
  set.embedding = 3;
  CHECK_ERROR(set.require_model(model), ErrorCode::kInvalidArg, "the loaded model is 0000000000001a2b");
  set.embedding = 2;
  set.model = "ffff000000001a2b";
  CHECK_ERROR(set.require_model(model), ErrorCode::kInvalidArg, "encoded by model ffff000000001a2b");
}

TEST("a negative class index and an array with three offsets are refused") {
  const ClassSet set = read_class_set(saved_by_typescript());
  const int64_t negative[] = {-1};
  CHECK_ERROR(set.subset(negative), ErrorCode::kInvalidArg, "class -1 does not exist");
  Bytes bytes = ClassSetFile{}.bytes();
  std::string header = bytes.substr(8, bytes.find("}}") + 2 - 8);
  const Bytes body = bytes.substr(8 + header.size());
  header.replace(header.find("[0,24]"), 6, "[0,24,24]");
  const fixture::TemporaryFile file(fixture::bytes_of(uint64_t{header.size()}) + header + body);
  CHECK_ERROR(read_class_set(file.path()), ErrorCode::kModelFormat, "array rows has 3 data_offsets, expected 2");
}

}  // namespace clip_es::class_set_test
