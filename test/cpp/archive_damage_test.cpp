// The archive reader on files that are damaged, not archives, or malicious. It must give the right tensors, or an error that names the
// fault and the remedy; never wrong tensors.
#include <algorithm>

#include "archive/archive.h"
#include "archive_fixture.h"
#include "check.h"
#include "core/error.h"
#include "options.h"

namespace clip_es::archive_damage_test {

using fixture::bytes_of;
using fixture::integer;
using fixture::make_zip;
using fixture::TemporaryFile;
using fixture::tensor;
using fixture::text;

namespace {

const std::string kThreeFloats = bytes_of(std::vector<float>{1.5f, -2.0f, 3.25f});

std::string small_archive(const std::string& name) { return options().golden + "/archives/" + name; }

using Values = std::map<std::string, std::vector<float>>;

Values read_all(const std::string& path) {
  const Archive archive(path);
  Values values;
  for (const auto& [name, tensor] : archive.tensors()) {
    values[name].resize(tensor.elements());
    archive.read(name, values[name]);
  }
  return values;
}

bool is_refused(const std::string& path, const Values& expected) {
  try {
    CHECK(read_all(path) == expected);
    return false;
  } catch (const Error& error) {
    CHECK(error.code == ErrorCode::kModelFormat || error.code == ErrorCode::kModelRead);
    CHECK(std::string(error.what()).starts_with(path));
    return true;
  }
}

// A file with these bytes must be refused with kModelFormat and a message that contains its path and `part`.
void check_refused(const std::string& bytes, const std::string& part) {
  const TemporaryFile file(bytes);
  CHECK_ERROR(read_all(file.path()), ErrorCode::kModelFormat, part);
  CHECK_ERROR(read_all(file.path()), ErrorCode::kModelFormat, file.path());
}

// An archive whose data.pkl is this program.
std::string with_pickle(const std::string& program) { return make_zip({{"data.pkl", "\x80\x02" + program}, {"data/0", kThreeFloats}}); }

std::string repeated(const std::string& part, size_t count) {
  std::string whole;
  for (size_t i = 0; i < count; ++i) whole += part;
  return whole;
}

}  // namespace

TEST("a file that cannot be opened is ERR_MODEL_READ with the system's reason") {
  CHECK_ERROR(Archive("no/such/file.pt"), ErrorCode::kModelRead, "no/such/file.pt: cannot be opened: No such file or directory");
  CHECK_ERROR(Archive(options().golden), ErrorCode::kModelRead, "Is a directory");
  const TemporaryFile file;
  CHECK_ERROR(Archive(file.path()), ErrorCode::kModelRead, "it is empty");
}

TEST("the error for another kind of file names the kind") {
  using namespace std::string_literals;
  check_refused("hello", "is not a TorchScript archive (not a zip file, or cut short)");
  check_refused(std::string(100'000, 'x'), "tools/export_archive.py");
  check_refused("\x40\0\0\0\0\0\0\0{\"weight\":{\"dtype\":\"F32\"}}"s, "is a safetensors file");
  check_refused(fixture::read_file(small_archive("legacy.pt")), "is a torch.save file from before PyTorch 1.6");
  check_refused("\x80\x04}.", "is a bare Python pickle");
  check_refused("version https://git-lfs.github.com/spec/v1\n", "git lfs pull");
  check_refused("<!DOCTYPE html><html>", "is a web page");
  check_refused(make_zip({{"other", "x"}}), "zip file without data.pkl");
  check_refused(make_zip({{"model.json", "{}"}}), "before 1.3");
  check_refused(make_zip({{"a/data.pkl", "."}, {"b/data.pkl", "."}}, ""), "two archives, a/ and b/");
  check_refused(fixture::read_file(small_archive("big-endian.pt")), "big-endian");
}

TEST("an archive that is cut off anywhere is refused with that reason") {
  const std::string whole = fixture::read_file(small_archive("tiny.pt"));
  TemporaryFile file;
  for (size_t size = 64; size < whole.size(); size += 64) {
    file.write(std::string_view(whole).substr(0, size));
    CHECK_ERROR(read_all(file.path()), ErrorCode::kModelFormat, "cut short");
  }
}

TEST("a flip of any byte of an archive is refused or changes no tensor; one in a weight is refused") {
  const std::pair<std::string, std::string> archives[] = {
      {"tiny.pt", bytes_of(std::vector<uint16_t>{0x0000, 0x3c00, 0x4000, 0x4200})},  // 0, 1, 2, 3
      {"state-dict.pt", bytes_of(std::vector<float>{0, 0.25f, 0.5f})},
      {"traced.pt", bytes_of(std::vector<float>{0.5f, 1.5f, 2.5f})},
      {"zip64.pt", kThreeFloats},
  };
  for (const auto& [name, weight] : archives) {
    const std::string whole = fixture::read_file(small_archive(name));
    const Values expected = read_all(small_archive(name));
    const size_t weight_at = whole.find(weight);
    CHECK(weight_at != whole.npos);
    TemporaryFile file;
    size_t refused = 0;
    for (size_t i = 0; i < whole.size(); ++i)
      for (const int mask : {0x01, 0x80, 0xff}) {
        std::string flipped = whole;
        flipped[i] = static_cast<char>(flipped[i] ^ mask);
        file.write(flipped);
        const bool was_refused = is_refused(file.path(), expected);
        refused += was_refused;
        if (i >= weight_at && i < weight_at + weight.size()) CHECK(was_refused);
      }
    check::note(name + ": " + std::to_string(refused) + " of " + std::to_string(3 * whole.size()) + " flips refused");
  }
}

TEST("a damaged weight is named with its record") {
  std::string bytes = fixture::one_tensor({{3}, {1}, 0, 3}, kThreeFloats);
  bytes[bytes.find(kThreeFloats)] ^= 1;
  check_refused(bytes, "tensor weight is damaged (CRC-32 of record archive/data/0 differs)");
}

TEST("a file that shrinks between opening and reading gives an error, not a signal") {
  TemporaryFile file(fixture::one_tensor({{3}, {1}, 0, 3}, kThreeFloats));
  const Archive archive(file.path());
  file.cut(100);
  std::vector<float> values(3);
  CHECK_ERROR(archive.read("weight", values), ErrorCode::kModelRead, "became shorter while it was read");
}

TEST("a pickle that calls posix.system runs nothing, and its tensors read") {
  CHECK(read_all(small_archive("posix-system.pt")).at("weight") == std::vector<float>({1.5f, -2.0f, 3.25f}));
  CHECK(!std::filesystem::exists("posix-system-was-run"));
}

TEST("a compressed record is refused only when it is needed") {
  CHECK(read_all(small_archive("compressed-version.pt")).size() == 1);
  CHECK_ERROR(read_all(small_archive("compressed-tensor.pt")), ErrorCode::kModelFormat, "archive/data/0, which is compressed");
}

TEST("a tensor outside its storage is refused, also when its extent overflows") {
  const int64_t huge = INT64_MAX, big = int64_t{1} << 40;
  const std::vector<fixture::TensorCode> bad = {
      {{4}, {1}, 0, 3},
      {{3}, {1}, 1, 3},
      {{2}, {3}, 0, 3},
      {{3}, {1}, -1, 3},
      {{-1}, {1}, 0, 3},
      {{3}, {-1}, 2, 3},
      {{3}, {1}, 0, 4},
      {{3}, {1}, 0, -1},
      {{3}, {}, 0, 3},
      {{}, {1}, 0, 3},
      {{huge}, {1}, 0, 3},
      {{huge}, {huge}, 0, 3},
      {{1}, {1}, huge, 3},
      {{2}, {huge}, 1, 3},
      {{1}, {1}, 3, 3},
      {{}, {}, 3, 3},
      {{INT64_MIN}, {huge}, 0, 3},
      {{huge, huge}, {1, 1}, 0, 3},
      {{big, big}, {0, 0}, 0, 3},
      {{0, huge, huge}, {1, 1, 1}, 0, 3},
      {std::vector<int64_t>(17, 1), std::vector<int64_t>(17, 1), 0, 3},
  };
  for (const fixture::TensorCode& code : bad) check_refused(fixture::one_tensor(code, kThreeFloats), "tensor weight has");
}

TEST("a huge view of one element is listed, but not read into a smaller buffer") {
  const TemporaryFile file(fixture::one_tensor({{int64_t{1} << 40}, {0}, 0, 3}, kThreeFloats));
  const Archive archive(file.path());
  std::vector<float> values(3);
  CHECK_ERROR(archive.read("weight", values), ErrorCode::kModelFormat, "is (1099511627776,), but 3 elements are expected");
}

TEST("errors name storages that are missing or have an unsupported type") {
  const std::string missing = fixture::one_tensor({{3}, {1}, 0, 3, "FloatStorage", "7"}, kThreeFloats);
  check_refused(missing, "tensor weight is stored in record archive/data/7, which is missing");
  const std::string complex = fixture::one_tensor({{1}, {1}, 0, 1, "ComplexFloatStorage"}, kThreeFloats);
  check_refused(complex, "tensor weight is a ComplexFloatStorage; convert it to float32");
}

TEST("a pickle that would exhaust memory, stack or time is refused") {
  TemporaryFile deep(with_pickle(repeated("]", 200'000) + repeated("a", 199'999) + "."));
  CHECK_ERROR(read_all(deep.path()), ErrorCode::kModelFormat, "nested deeper than 64");
  check_refused(with_pickle("]q" + bytes_of<uint8_t>(0) + "h" + bytes_of<uint8_t>(0) + "a."), "nested deeper than 64");
  std::string laughs = "](" + text("x") + "ca\nb\n)Re";
  for (int level = 0; level < 40; ++level)  // each list holds the one before twice: 2^40 visits
    laughs += "q" + bytes_of<uint8_t>(0) + "](h" + bytes_of<uint8_t>(0) + "h" + bytes_of<uint8_t>(0) + "e";
  check_refused(with_pickle(laughs + "."), "more than 1000000 attributes");
  check_refused(with_pickle(repeated("N", 1'100'000) + "."), "more than 1000000 values");
  check_refused(with_pickle(repeated("N", 9 << 20) + "."), "expected at most 8388608");
  const std::string key(600, 'k');
  check_refused(with_pickle("}" + text(key) + tensor({{3}, {1}, 0, 3}) + "s."), "longer than 512");
}

TEST("an invalid pickle is refused with the position of the fault") {
  const std::pair<std::string, std::string> programs[] = {
      {"N", "is cut short"},          {"X\xff\xff\xff\xff", "is cut short"},
      {"cmodule", "is cut short"},    {".", "stack is empty"},
      {"t.", "mark is missing"},      {"(.", "stack is empty"},
      {"N(a.", "stack is empty"},     {"NNa.", "has no items"},
      {"](Nu.", "without a value"},   {"h\x01.", "memo 1 is not set"},
      {"\xff.", "0xff is not known"}, {"I1\n.", "0x49"},
      {"\x80\x06.", "newer than 5"},  {"NN\x93.", "is not text"},
      {"N\x80", "is cut short"},
  };
  for (const auto& [program, part] : programs) check_refused(with_pickle(program), part);
  check_refused(with_pickle("NNN\xff."), "archive/data.pkl: at byte 5");
}

TEST("two tensors with one name, and malformed descriptions of tensors, are refused") {
  const std::string one = text("weight") + tensor({{3}, {1}, 0, 3});
  check_refused(with_pickle("}(" + one + one + "u."), "tensor weight occurs twice");
  const std::string rebuild = "}" + text("weight") + "ctorch._utils\n_rebuild_tensor_v2\n";
  check_refused(with_pickle(rebuild + ")Rs."), "too few arguments");
  check_refused(with_pickle(rebuild + "(NNNNtRs."), "has no storage");
  check_refused(with_pickle(rebuild + "(NQNNNtRs."), "too few arguments");
  check_refused(with_pickle(rebuild + "((NNNNNtQNNNtRs."), "storage of an unknown form");
}

TEST("zip entries that are duplicate, overlapping, inconsistent or encrypted are refused") {
  const std::string pickle = "\x80\x02}.";
  check_refused(make_zip({{"data.pkl", pickle}, {"data.pkl", pickle}}), "two records are named archive/data.pkl");

  std::string overlapping = make_zip({{"data.pkl", pickle}, {"x", "12345"}});
  const size_t directory = overlapping.find("PK\1\2");
  for (const size_t at : {directory + 20, directory + 24}) overlapping[at] = 50;  // both sizes of data.pkl
  check_refused(overlapping, "record archive/data.pkl overlaps the next record or the directory");

  std::string renamed = make_zip({{"data.pkl", pickle}, {"x", "12345"}});
  renamed[renamed.find("archive/x")] = 'A';
  check_refused(renamed, "the header of record archive/x contradicts the zip's directory");

  std::string encrypted = make_zip({{"data.pkl", pickle}});
  encrypted[encrypted.find("PK\1\2") + 8] = 1;
  check_refused(encrypted, "is encrypted");
}

TEST("an inconsistent zip directory is refused with its fault") {
  const std::string whole = make_zip({{"data.pkl", "\x80\x02}."}});
  const size_t end = whole.find("PK\5\6"), entry = whole.find("PK\1\2"), local = whole.find("PK\3\4");
  const auto changed = [&](size_t at, const std::string& bytes) { return std::string(whole).replace(at, bytes.size(), bytes); };
  check_refused(changed(end + 4, bytes_of(uint16_t{1})), "it is one part of a split zip");
  check_refused(changed(end + 8, bytes_of(uint16_t{2})), "it is one part of a split zip");
  check_refused(changed(end + 12, bytes_of(UINT32_MAX)), "its zip64 end record is missing");
  check_refused(changed(end + 16, bytes_of(uint32_t{1 << 30})), "directory lies outside the file");
  check_refused(changed(end + 8, bytes_of(uint16_t{2}) + bytes_of(uint16_t{2})), "entry 1 of the zip's directory is damaged");
  check_refused(changed(end + 8, bytes_of(uint16_t{0}) + bytes_of(uint16_t{0})), "unexpected bytes after its entries");
  check_refused(changed(entry, "XX"), "entry 0 of the zip's directory is damaged");
  check_refused(changed(entry + 20, bytes_of(uint32_t{3})), "the sizes of record archive/data.pkl contradict each other");
  check_refused(changed(local, "XX"), "the header of record archive/data.pkl contradicts");
  check_refused(changed(local + 8, bytes_of(uint16_t{8})), "the header of record archive/data.pkl contradicts");
}

}  // namespace clip_es::archive_damage_test
