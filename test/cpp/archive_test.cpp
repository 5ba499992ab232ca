// The archive reader on valid files. Every value is compared with PyTorch's value, or with the formula that produced it.
#include "archive/archive.h"

#include <algorithm>
#include <cstdio>
#include <numeric>

#include "archive_fixture.h"
#include "check.h"
#include "core/crc32.h"
#include "core/error.h"
#include "options.h"

namespace clip_es::archive_test {

using fixture::bytes_of;
using fixture::TemporaryFile;

namespace {

std::string small_archive(const std::string& name) { return options().golden + "/archives/" + name; }

std::vector<float> read(const Archive& archive, const std::string& name) {
  const auto found = archive.tensors().find(name);
  if (found == archive.tensors().end()) check::fail(__FILE__, __LINE__, "no tensor " + name);
  std::vector<float> values(static_cast<size_t>(found->second.elements()));
  archive.read(name, values);
  return values;
}

const char* name_of_dtype(DType dtype) {
  constexpr const char* kNames[] = {"float16", "bfloat16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64", "bool"};
  return kNames[static_cast<size_t>(dtype)];
}

bool is_float(DType dtype) { return dtype <= DType::kFloat64; }

// The value of a float16 number by its definition (IEEE 754-2008, section 3.4).
double half_value(uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  double value = std::ldexp(exponent ? 1024 + fraction : fraction, (exponent ? exponent : 1) - 25);
  if (exponent == 31) value = fraction ? NAN : INFINITY;
  return bits & 0x8000 ? -value : value;
}

bool same(double a, double b) { return (std::isnan(a) && std::isnan(b)) || (a == b && std::signbit(a) == std::signbit(b)); }

// The elements of "base" in archives/views.pt at these indices. Each element equals its index.
std::vector<float> counted(std::initializer_list<int> values) { return {values.begin(), values.end()}; }

}  // namespace

TEST("every tensor of the golden archive equals the tensor that torch.jit.load reads, bit for bit") {
  const Archive archive(options().golden + "/vit-small-random.pt");
  std::istringstream list(fixture::read_file(small_archive("vit-small-random.txt")));
  std::string name, dtype, shape, checksum;
  size_t count = 0;
  for (; list >> name >> dtype >> shape >> checksum; ++count) {
    const ArchiveTensor& tensor = archive.tensors().at(name);
    CHECK(name_of_dtype(tensor.dtype) == dtype);
    std::string sizes;
    for (const int64_t size : tensor.shape) sizes += (sizes.empty() ? "" : "x") + std::to_string(size);
    CHECK((sizes.empty() ? "scalar" : sizes) == shape);
    if (!is_float(tensor.dtype)) continue;
    const std::vector<float> values = read(archive, name);
    char hex[9];
    std::snprintf(hex, sizeof hex, "%08x", crc32(std::as_bytes(std::span(values))));
    CHECK(hex == checksum);
  }
  CHECK(count > 50);
  CHECK(count == archive.tensors().size());
}

TEST("every tensor of the embedded model can be read and is finite") {
  const Archive archive(options().model);
  CHECK(archive.tensors().contains("visual.proj"));
  for (const auto& [name, tensor] : archive.tensors())
    if (is_float(tensor.dtype))
      for (const float value : read(archive, name)) CHECK(std::isfinite(value));
}

TEST("views of one storage give the right elements in the right order") {
  const Archive archive(small_archive("views.pt"));
  std::vector<float> base(24);
  std::iota(base.begin(), base.end(), 0.0f);
  CHECK(read(archive, "base") == base);
  CHECK(read(archive, "transposed") == counted({0, 6, 12, 18, 1, 7, 13, 19, 2, 8, 14, 20, 3, 9, 15, 21, 4, 10, 16, 22, 5, 11, 17, 23}));
  CHECK(read(archive, "column") == counted({2, 8, 14, 20}));
  CHECK(read(archive, "strided") == counted({6, 9, 18, 21}));
  CHECK(read(archive, "expanded") == std::vector<float>(15, 13.0f));
  CHECK(read(archive, "rows_repeated") == counted({4, 4, 4, 10, 10, 10, 16, 16, 16, 22, 22, 22}));
  CHECK(read(archive, "overlapping") == counted({5, 6, 7, 8, 7, 8, 9, 10, 9, 10, 11, 12}));
  CHECK(read(archive, "scalar") == counted({23}));
  CHECK(read(archive, "permuted") == counted({0, 4, 8, 12, 16, 20, 1, 5, 9, 13, 17, 21, 2, 6, 10, 14, 18, 22, 3, 7, 11, 15, 19, 23}));
  CHECK(read(archive, "empty").empty());
  CHECK(archive.tensors().at("transposed").record == archive.tensors().at("base").record);
}

TEST("modules and lists give dotted names") {
  const Archive archive(small_archive("views.pt"));
  const std::vector<float> weight = {0, 0.25f, 0.5f, 0.75f, 1, 1.25f};
  CHECK(read(archive, "blocks.0.weight") == weight);
  CHECK(read(archive, "blocks.1.weight") == weight);
  CHECK(read(archive, "listed.0") == std::vector<float>(2, 7.0f));
  CHECK(read(archive, "listed.1") == std::vector<float>(1, 8.0f));
}

TEST("float16, bfloat16 and float64 are converted to the nearest float32") {
  const Archive archive(small_archive("views.pt"));
  const double tiny = std::ldexp(1.0, -24);
  const double halves[] = {0.0, -0.0, 1.0, -2.5, 65504.0, std::ldexp(1.0, -14), tiny, -3 * tiny, 1023 * tiny, INFINITY, -INFINITY, NAN};
  const std::vector<float> read_halves = read(archive, "as_float16");
  CHECK(std::ranges::equal(read_halves, halves, same));
  CHECK(read(archive, "as_bfloat16") == counted({-12, -9, -6, -3, 0, 3, 6, 9}));
  const double doubles[] = {static_cast<float>(1.0 / 3), INFINITY, -0.0, std::ldexp(1.0, -149)};
  CHECK(std::ranges::equal(read(archive, "as_float64"), doubles, same));
}

TEST("all 65536 float16 values are converted exactly") {
  std::vector<uint16_t> halves(65536);
  std::iota(halves.begin(), halves.end(), uint16_t{0});
  const TemporaryFile file(fixture::one_tensor({{65536}, {1}, 0, 65536, "HalfStorage"}, bytes_of(halves)));
  const std::vector<float> values = read(Archive(file.path()), "weight");
  for (size_t i = 0; i < values.size(); ++i) CHECK(same(values[i], half_value(halves[i])));
}

TEST("integers and booleans are listed with their type, and refused as weights") {
  const Archive archive(small_archive("views.pt"));
  std::vector<float> values(3);
  for (const std::string dtype : {"uint8", "int8", "int16", "int32", "int64", "bool"}) {
    CHECK(name_of_dtype(archive.tensors().at("as_" + dtype).dtype) == dtype);
    CHECK_ERROR(archive.read("as_" + dtype, values), ErrorCode::kModelFormat, "as_" + dtype + " is " + dtype);
  }
}

TEST("matrices that are read in several pieces are correct for every order of their dimensions") {
  constexpr int64_t kRows = 700, kColumns = 1100;  // 3 MB
  std::vector<float> stored(kRows * kColumns);
  std::iota(stored.begin(), stored.end(), 0.0f);
  const int64_t count = kRows * kColumns;
  TemporaryFile file(fixture::one_tensor({{kRows, kColumns}, {kColumns, 1}, 0, count}, bytes_of(stored)));
  CHECK(read(Archive(file.path()), "weight") == stored);

  file.write(fixture::one_tensor({{kColumns, kRows}, {1, kColumns}, 0, count}, bytes_of(stored)));
  const std::vector<float> transposed = read(Archive(file.path()), "weight");
  for (int64_t i = 0; i < count; ++i) CHECK(transposed[i] == stored[i % kRows * kColumns + i / kRows]);

  // The long rows overlap, so the reader must go back in the file.
  constexpr int64_t kLong = 400'000;
  file.write(fixture::one_tensor({{kLong, 2}, {1, 5}, 7, count}, bytes_of(stored)));
  const std::vector<float> overlapping = read(Archive(file.path()), "weight");
  for (int64_t i = 0; i < 2 * kLong; ++i) CHECK(overlapping[i] == stored[7 + i / 2 + i % 2 * 5]);
}

TEST("tensors in the code are named constants.N") {
  const Archive archive(small_archive("traced.pt"));
  CHECK(read(archive, "constants.0") == std::vector<float>({0.5f, 1.5f, 2.5f}));
}

TEST("a torch.save file of a state dict gives its names, parameters and shared storages, too") {
  const std::vector<float> weight = {0, 0.25f, 0.5f, 0.75f, 1, 1.25f}, turned = {0, 0.75f, 0.25f, 1, 0.5f, 1.25f};
  const std::pair<const char*, const char*> files[] = {{"state-dict.pt", ""}, {"protocol-4.pt", "state_dict."}};
  for (const auto& [file, prefix] : files) {
    const Archive archive(small_archive(file));
    CHECK(archive.tensors().size() == 3);
    CHECK(read(archive, prefix + std::string("first.weight")) == weight);
    CHECK(read(archive, prefix + std::string("second.weight")) == turned);
    CHECK(read(archive, prefix + std::string("parameter")) == std::vector<float>({1, 2}));
  }
}

TEST("extra_file() returns the text of a file, or nothing if it does not exist") {
  const Archive archive(small_archive("views.pt"));
  CHECK(archive.extra_file("clip-es.json") == R"({"activation": "gelu", "heads": {"image": 3, "text": 2}})");
  CHECK(!archive.extra_file("other.json"));
}

TEST("a zip64 archive, which PyTorch writes above 4 GB, can be read") {
  CHECK(read(Archive(small_archive("zip64.pt")), "weight") == std::vector<float>({1.5f, -2.0f, 3.25f}));
}

TEST("the fingerprint does not depend on the archive's name and changes with a single weight") {
  const std::vector<float> weights = {1, 2, 3}, others = {1, 2, 4};
  const std::string pickle = "\x80\x02}" + fixture::text("weight") + fixture::tensor({{3}, {1}, 0, 3}) + "s.";
  const TemporaryFile first(fixture::make_zip({{"data.pkl", pickle}, {"data/0", bytes_of(weights)}}, "first/"));
  const TemporaryFile renamed(fixture::make_zip({{"data.pkl", pickle}, {"data/0", bytes_of(weights)}}, "renamed/"));
  const TemporaryFile other(fixture::make_zip({{"data.pkl", pickle}, {"data/0", bytes_of(others)}}, "first/"));
  CHECK(Archive(first.path()).fingerprint() == Archive(renamed.path()).fingerprint());
  CHECK(Archive(first.path()).fingerprint() != Archive(other.path()).fingerprint());
}

TEST("CRC-32 gives the check value of the standard, in one call or in several") {
  const std::string digits = "123456789";
  const auto bytes = std::as_bytes(std::span(digits));
  for (size_t cut = 0; cut <= bytes.size(); ++cut) CHECK(crc32(bytes.subspan(cut), crc32(bytes.first(cut))) == 0xcbf43926);
}

TEST("read() needs the name of an existing tensor and a buffer of exactly its size") {
  const Archive archive(small_archive("tiny.pt"));
  std::vector<float> values(20), more(21);
  archive.read("weight", values);
  CHECK(values[19] == 19.0f);
  CHECK_ERROR(archive.read("weight", more), ErrorCode::kModelFormat, "weight is (4, 5), but 21 elements are expected");
  CHECK_ERROR(archive.read("bias", values), ErrorCode::kModelFormat, "tensor bias is missing");
}

}  // namespace clip_es::archive_test
