// Values at the limits of what an archive may hold, instructions of a pickle that models seldom use, and other formats.
#include "archive/archive.h"
#include "archive_fixture.h"
#include "check.h"
#include "core/error.h"

using namespace clip_es;
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
