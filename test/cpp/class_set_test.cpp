#include "class_set.h"

#include <algorithm>

#include "archive_fixture.h"
#include "check.h"
#include "core/error.h"
#include "options.h"

using namespace clip_es;

namespace {

std::string saved_by_typescript() { return options().golden + "/classes.safetensors"; }

double length(const std::vector<float>& rows, int64_t row, int64_t size) {
  double squares = 0;
  for (int64_t i = 0; i < size; ++i)
    squares += static_cast<double>(rows[static_cast<size_t>(row * size + i)]) * rows[static_cast<size_t>(row * size + i)];
  return std::sqrt(squares);
}

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

TEST("a class set that is not there is an error of reading") {
  CHECK_ERROR(read_class_set("/nowhere/classes.safetensors"), ErrorCode::kModelRead, "/nowhere/classes.safetensors");
}
