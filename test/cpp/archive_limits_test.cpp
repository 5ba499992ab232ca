// Values at the limits of what an archive may hold, instructions of a pickle that models seldom use, and other formats.
#include <array>

#include "archive/archive.h"
#include "archive_fixture.h"
#include "check.h"
#include "core/error.h"
#include "options.h"

namespace clip_es::archive_limits_test {

using fixture::bytes_of;
using fixture::text;

namespace {

const std::string kTensor = fixture::tensor({{2}, {1}, 0, 2});

std::string archive_of(const std::string& pickle, const fixture::Records& more = {}) {
  fixture::Records records{{"data.pkl", "\x80\x02" + pickle + "."}, {"data/0", bytes_of(std::vector<float>{1, 2})}};
  records.insert(records.end(), more.begin(), more.end());
  return fixture::make_zip(records);
}

std::string nested(int levels) {
  std::string pickle = kTensor;
  for (int i = 0; i < levels; ++i) pickle = "}" + text("a") + pickle + "s";
  return pickle;
}

std::vector<std::string> names_in(const std::string& bytes) {
  const fixture::TemporaryFile file(bytes);
  std::vector<std::string> names;
  const Archive archive(file.path());
  for (const auto& [name, tensor] : archive.tensors()) names.push_back(name);
  return names;
}

void check_refused(const std::string& bytes, const std::string& part) {
  const fixture::TemporaryFile file(bytes);
  CHECK_ERROR(Archive{file.path()}, ErrorCode::kModelFormat, part);
}

}  // namespace

TEST("modules may be nested 64 levels deep, and names may have 511 bytes") {
  CHECK(names_in(archive_of(nested(64))).size() == 1);
  check_refused(archive_of(nested(65)), "is nested deeper than 64");
  const auto named = [](size_t length) { return archive_of("}" + text(std::string(length, 'n')) + kTensor + "s"); };
  CHECK(names_in(named(511)) == std::vector<std::string>{std::string(511, 'n')});
  check_refused(named(512), "is longer than 512");
}

TEST("an extra file may have 1 MB") {
  const auto read = [](size_t size) {
    const fixture::TemporaryFile file(archive_of(nested(1), {{"extra/note", std::string(size, 'x')}}));
    return Archive(file.path()).extra_file("note")->size();
  };
  CHECK(read(1 << 20) == 1 << 20);
  CHECK_ERROR(read((1 << 20) + 1), ErrorCode::kModelFormat, "has 1048577 bytes, expected at most 1048576");
}

TEST("instructions that make other values than tensors have the length that Python gives them, and leave one value on the stack") {
  const std::string u32 = bytes_of(uint32_t{3}) + "abc", u64 = bytes_of(uint64_t{3}) + "abc", u8 = "\3abc", key = bytes_of(uint32_t{256});
  const auto check = [](const std::string& instruction) {
    const std::string pickle = "\x95" + std::string(8, '\0') + "}" + text("a") + instruction + "0" + kTensor + "s";
    CHECK(names_in(archive_of(pickle)) == std::vector<std::string>{"a"});
  };
  for (const char* op : {"X", "B", "T", "\x8b"}) check(op + u32);
  for (const char* op : {"\x8d", "\x8e", "\x96"}) check(op + u64);
  for (const char* op : {"\x8c", "C", "U", "\x8a"}) check(op + u8);
  for (const char* literal : {"G12345678", "J1234", "M12", "K1", "N", "\x88", "\x89", "\x8f", "]", ")", "ca\nb\n"}) check(literal);
  for (const char* items : {"(\x91", "(l", "(d", "(NNt", "N\x85", "NN\x86", "NNN\x87", "]Na", "](NNe", "\x8f(NN\x90", "}NNs", "}(NNu"})
    check(items);
  for (const char* taken : {"N20", "N(NN1", "N)R", "N)\x81", "N)}\x92", "}Nb", "NQ", "N\x94"}) check(taken);
  check("Nq\1" + std::string("0h\1"));
  check("Nr" + key + "0j" + key);
  check(text("a") + text("b") + "\x93");
}

TEST("the attributes of an object are found, whichever instruction makes the object") {
  for (const char* constructed : {")R", ")\x81", ")}\x92"})
    CHECK(names_in(archive_of("c__torch__\nModule\n" + std::string(constructed) + "}" + text("a") + kTensor + "sb")) ==
          std::vector<std::string>{"a"});
  CHECK(names_in(archive_of("\x8f(" + kTensor + "\x90")) == std::vector<std::string>{"0"});
}

TEST("end records of all ones without a zip64 record are refused") {
  const std::string whole = archive_of(nested(1));
  for (const auto& [at, size] : {std::pair<size_t, size_t>{8, 4}, {12, 4}, {16, 4}}) {
    std::string bytes = whole;
    bytes.replace(bytes.size() - 22 + at, size, std::string(size, '\xff'));
    check_refused(bytes, "its zip64 end record is missing");
  }
}

TEST("files of other formats are refused by the name of their format") {
  for (const char* page : {"<!DOCTYPE html>", "<!doctype html>", "<html><body>"}) check_refused(page, "is a web page");
  check_refused("version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer");
  for (const char protocol : {2, 5}) check_refused(std::string("\x80") + protocol + "}.", "is a bare Python pickle");
  for (const char protocol : {1, 6}) check_refused(std::string("\x80") + protocol + "}.", "is not a TorchScript archive");
  check_refused(bytes_of(uint64_t{2}) + "{}", "is a safetensors file");
  const std::string whole = archive_of(nested(1));
  check_refused(whole.substr(0, whole.size() - 30), "is cut short");
}

TEST("a byte order other than little is refused") {
  CHECK(names_in(archive_of(nested(1), {{"byteorder", "little"}})).size() == 1);
  for (const char* order : {"big", "middle", ""})
    check_refused(archive_of(nested(1), {{"byteorder", order}}), "it was written on a big-endian machine");
}

TEST("integers of any length keep their sign") {
  for (const auto& [bytes, name] :
       {std::pair{"\x8a\1\xff", "-1"}, {"\x8a\1\x7f", "127"}, {"\x8a\2\x7f\xff", "-129"}, {"\x8a\1\x80", "-128"}})
    CHECK(names_in(archive_of("}" + std::string(bytes) + kTensor + "s")) == std::vector<std::string>{name});
  CHECK(names_in(archive_of("}" + std::string("\x8a\0", 2) + kTensor + "s")) == std::vector<std::string>{"0"});
}

TEST("a compressed pickle is refused by name") {
  std::string bytes = archive_of(nested(1));
  bytes[8] = 8;  // the method in the local header of data.pkl, and in the directory
  bytes[bytes.find("PK\1\2") + 10] = 8;
  check_refused(bytes, "record archive/data.pkl is compressed");
}

TEST("a pickle may make a million values, and a search for tensors may visit a million attributes") {
  const auto repeated = [](const std::string& part, size_t count) {
    std::string whole;
    for (size_t i = 0; i < count; ++i) whole += part;
    return whole;
  };
  CHECK(names_in(archive_of(repeated("N", 1'000'000))).empty());
  check_refused(archive_of(repeated("N", 1'000'001)), "has more than 1000000 values");
  const auto visits = [&](size_t children) {
    return archive_of("]q" + std::string(1, '\0') + "](" + repeated("h" + std::string(1, '\0'), children) + "e");
  };
  CHECK(names_in(visits(999'999)).empty());
  check_refused(visits(1'000'000), "has more than 1000000 attributes");
}

TEST("a tensor may have 16 dimensions, 2^48 - 1 elements and any place inside its storage; an empty one has no place") {
  const int64_t most = int64_t{1} << 48;
  const auto with = [](const fixture::TensorCode& code) { return archive_of("}" + text("a") + fixture::tensor(code) + "s"); };
  const auto dimensions = [](size_t count) { return std::vector<int64_t>(count, 1); };
  for (const fixture::TensorCode& code : {fixture::TensorCode{dimensions(16), dimensions(16), 1, 2},
                                          {{most - 1}, {0}, 1, 2},
                                          {{0}, {1}, 5, 2},
                                          {{}, {}, 1, 2},
                                          {{2}, {1}, 0, 2}})
    CHECK(names_in(with(code)).size() == 1);
  check_refused(with({dimensions(17), dimensions(17), 0, 2}), "and strides (1, 1");
  for (const fixture::TensorCode& code :
       {fixture::TensorCode{{1}, {1}, most - 1, 2}, {{2}, {most - 1}, 0, 2}, {{1}, {1}, 2, 2}, {{3}, {1}, 0, 2}, {{2}, {1}, 1, 2}})
    check_refused(with(code), "which refer to element");
  for (const fixture::TensorCode& code : {fixture::TensorCode{{1}, {1}, most, 2},
                                          {{2}, {most}, 0, 2},
                                          {{most}, {0}, 0, 2},
                                          {{1}, {1}, -1, 2},
                                          {{-1}, {1}, 0, 2},
                                          {{2}, {-1}, 1, 2}})
    check_refused(with(code), "which are impossible");
}

TEST("the elements of every type have the size that PyTorch gives them") {
  const std::pair<const char*, int64_t> types[] = {{"HalfStorage", 2}, {"BFloat16Storage", 2}, {"FloatStorage", 4}, {"DoubleStorage", 8},
                                                   {"ByteStorage", 1}, {"CharStorage", 1},     {"ShortStorage", 2}, {"IntStorage", 4},
                                                   {"LongStorage", 8}, {"BoolStorage", 1}};
  for (const auto& [type, size] : types) {
    const auto with = [&, storage = type](int64_t elements) {
      return archive_of("}" + text("a") + fixture::tensor({{1}, {1}, 0, elements, storage}) + "s");
    };
    CHECK(names_in(with(8 / size)).size() == 1);
    check_refused(with(8 / size + 1), " elements, but record archive/data/0 has 8 bytes");
  }
}

TEST("tensors are found in the calls that wrap one, and in no other call") {
  const std::string one = "(" + kTensor + "tR", module = "c__torch__\nModule\n";
  for (const char* wrapper :
       {"torch._utils\n_rebuild_parameter", "torch.jit._pickle\nrestore_type_tag", "torch.jit._pickle\nbuild_tensorlist"}) {
    const std::string call = "c" + std::string(wrapper) + "\n";
    CHECK(names_in(archive_of("}" + text("a") + call + one + "s")) == std::vector<std::string>{"a"});
    CHECK(names_in(archive_of("}" + text("a") + call + ")Rs")).empty());
  }
  for (const char* other : {"torch._utils\n_rebuild_other", "torch._other\n_rebuild_parameter", "torch._other\n_rebuild_tensor_v2"})
    CHECK(names_in(archive_of("}" + text("a") + "c" + other + "\n" + one + "s")).empty());
}

TEST("a record for the byte order may have 16 bytes, integers as keys have 8, and values are recalled by the number of earlier ones") {
  check_refused(archive_of(nested(1), {{"byteorder", std::string(16, 'x')}}), "it was written on a big-endian machine");
  check_refused(archive_of(nested(1), {{"byteorder", std::string(17, 'x')}}), "has 17 bytes, expected at most 16");
  CHECK(names_in(archive_of("}\x8a\x08" + bytes_of(INT64_MAX) + kTensor + "s")) == std::vector<std::string>{std::to_string(INT64_MAX)});
  CHECK(names_in(archive_of("}\x8a\x09" + bytes_of(INT64_MAX) + "x" + kTensor + "s")).empty());
  CHECK(names_in(archive_of("\x80\x05}" + text("a") + "\x94" + text("b") + "\x94" + "00" + "h\1" + kTensor + "s")) ==
        std::vector<std::string>{"b"});
}

TEST("a zip file may have a comment of up to 65535 bytes, also one that looks like an end record") {
  const std::string whole = archive_of(nested(1));
  const auto commented = [&](const std::string& comment) {
    return whole.substr(0, whole.size() - 2) + bytes_of(static_cast<uint16_t>(comment.size())) + comment;
  };
  for (const std::string& comment : {std::string("x"), "PK\5\6" + std::string(18, '\1'), std::string(65535, 'x')})
    CHECK(names_in(commented(comment)).size() == 1);
  check_refused(commented("x") + "y", "is cut short");
}

TEST("entries of a zip directory may have comments, and extra fields before the one for sizes above 4 GB") {
  const std::string whole = archive_of(nested(1));
  const size_t entry = whole.rfind("PK\1\2"), name = std::string("archive/data/0").size(), end = whole.rfind("PK\5\6");
  const std::string ones(4, '\xff'), size = bytes_of(uint64_t{8}), at = bytes_of(uint64_t{whole.rfind("PK\3\4")});
  // The last entry with all ones in the places that are listed, an extra field and a comment.
  const auto with = [&](const std::vector<size_t>& wide, const std::string& extra, const std::string& comment = "") {
    std::string bytes = whole;
    for (const size_t place : wide) bytes.replace(entry + place, 4, ones);
    bytes.replace(entry + 30, 4, bytes_of(static_cast<uint16_t>(extra.size())) + bytes_of(static_cast<uint16_t>(comment.size())));
    bytes.replace(end + 12, 4, bytes_of(static_cast<uint32_t>(end - whole.find("PK\1\2") + extra.size() + comment.size())));
    return bytes.insert(entry + 46 + name, extra + comment);
  };
  const auto field = [](uint16_t id, const std::string& values) {
    return bytes_of(id) + bytes_of(static_cast<uint16_t>(values.size())) + values;
  };
  const std::string other = field(0x9999, "abc");
  CHECK(names_in(with({}, "", "a comment")).size() == 1);
  CHECK(names_in(with({}, other, "a comment")).size() == 1);
  CHECK(names_in(with({20, 24, 42}, other + field(1, size + size + at), "a comment")).size() == 1);
  CHECK(names_in(with({20, 24}, field(1, size + size))).size() == 1);
  CHECK(names_in(with({42}, field(1, at) + other)).size() == 1);
  for (const std::string& extra : {std::string(), other, field(1, size), field(1, (size + size).substr(1)), other + field(2, size + size)})
    check_refused(with({20, 24}, extra), "of the zip's directory is damaged");
  check_refused(with({20, 24}, field(0x9999, "abc").substr(0, 6)), "of the zip's directory is damaged");
}

TEST("the two end records of a large zip file must agree, and the second one must lie inside the file") {
  const std::string whole = fixture::read_file(options().golden + "/archives/zip64.pt");
  const size_t end = whole.rfind("PK\5\6"), locator = whole.rfind("PK\6\7"), wide = whole.rfind("PK\6\6");
  const auto changed = [&](std::string bytes, size_t at, const std::string& to) { return bytes.replace(at, to.size(), to); };
  // In both records: entries, the directory's size and its place.
  std::string narrow = whole;
  for (const auto& [at, from, size] : {std::array<size_t, 3>{8, 24, 2}, {10, 32, 2}, {12, 40, 4}, {16, 48, 4}})
    narrow.replace(end + at, size, whole.substr(wide + from, size));
  CHECK(names_in(narrow).size() == 1);
  for (const auto& [at, size] : {std::array<size_t, 2>{12, 4}, {16, 4}}) {
    CHECK(names_in(changed(narrow, end + at, std::string(size, '\xff'))).size() == 1);
    std::string other = narrow;
    other[end + at] ^= 1;
    check_refused(other, "its two zip end records disagree");
  }
  std::string other = narrow;
  for (const size_t at : {8, 10}) other[end + at] ^= 1;
  check_refused(other, "its two zip end records disagree");
  check_refused(changed(whole, locator + 8, bytes_of(uint64_t{1} << 40)), "its zip64 end record lies outside the file");
  check_refused(changed(whole, locator + 8, bytes_of(uint64_t{locator - 55})), "its zip64 end record lies outside the file");
  check_refused(changed(whole, wide, "XX"), "its zip64 end record is damaged");
}

TEST("a zip directory of more than 64 MB is refused before it is read") {
  constexpr uint32_t kMost = 64 << 20;
  const auto with = [](uint32_t size) {
    const std::string one = bytes_of(uint16_t{1});
    return std::string(size, '\0') + "PK\5\6" + std::string(4, '\0') + one + one + bytes_of(size) + std::string(6, '\0');
  };
  check_refused(with(kMost), "entry 0 of the zip's directory is damaged");
  check_refused(with(kMost + 1), "the zip's directory has 67108865 bytes, more than any model has");
}

TEST("every third element of a vector that is read in several pieces is the right one") {
  constexpr int64_t kCount = 400'000;
  std::vector<float> stored(3 * kCount + 1);
  for (size_t i = 0; i < stored.size(); ++i) stored[i] = static_cast<float>(i);
  const fixture::TemporaryFile file(fixture::one_tensor({{kCount}, {3}, 1, std::ssize(stored)}, bytes_of(stored)));
  std::vector<float> values(kCount);
  Archive(file.path()).read("weight", values);
  for (int64_t i = 0; i < kCount; ++i) CHECK(values[i] == stored[1 + 3 * i]);
}

}  // namespace clip_es::archive_limits_test
