// fuzz_archive ITERATIONS SEED ARCHIVE...
// Changes archives and JSON texts at random and reads everything in them. Build it with -fsanitize=address,undefined.
// - Bytes of a finished archive are changed: the archive must be refused, or every tensor must keep its value.
// - A pickle program (data.pkl) is changed and packed with correct checksums: the reader must return tensors or throw an Error.
// The exit status is 1 if the reader does anything else.
#include <algorithm>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <random>

#include "archive/archive.h"
#include "archive_fixture.h"
#include "core/error.h"
#include "core/json.h"

using namespace clip_es;

namespace {

using Random = std::mt19937_64;
using Values = std::map<std::string, std::vector<float>>;

constexpr int64_t kMostElements = 1 << 20;  // larger ones are views with stride 0; their storage is small

size_t below(Random& random, size_t limit) { return limit ? random() % limit : 0; }

Values read_all(const std::string& path) {
  const Archive archive(path);
  archive.fingerprint();
  archive.extra_file("clip-es.json");
  Values values;
  for (const auto& [name, tensor] : archive.tensors()) {
    if (tensor.dtype > DType::kFloat64 || tensor.elements() > kMostElements) continue;
    values[name].resize(tensor.elements());
    archive.read(name, values[name]);
  }
  return values;
}

// Compares the bits, because NaN is not equal to itself.
bool same(const Values& a, const Values& b) {
  return std::ranges::equal(a, b, [](const auto& x, const auto& y) {
    return x.first == y.first && x.second.size() == y.second.size() &&
           (x.second.empty() || std::memcmp(x.second.data(), y.second.data(), x.second.size() * sizeof(float)) == 0);
  });
}

void flip(Random& random, std::string& bytes, size_t first, size_t count) {
  for (size_t flips = 1 + below(random, 4); flips > 0 && count > 0; --flips) {
    char& byte = bytes[first + below(random, count)];
    byte = static_cast<char>(random() % 2 ? byte ^ 1 << below(random, 8) : below(random, 256));
  }
}

// Copies a range of bytes to another position, where it replaces other bytes.
void splice(Random& random, std::string& bytes) {
  if (bytes.empty()) return;
  const size_t from = below(random, bytes.size());
  const std::string part = bytes.substr(from, 1 + below(random, 64));
  const size_t to = below(random, bytes.size());
  bytes.replace(to, random() % 2 ? part.size() : below(random, 64), part);
}

void mutate_file(Random& random, std::string& bytes) {
  const size_t directory = std::min(bytes.find("PK\1\2"), bytes.size());
  switch (below(random, 4)) {
    case 0: bytes.resize(below(random, bytes.size())); break;
    case 1: flip(random, bytes, 0, directory); break;
    case 2: flip(random, bytes, directory, bytes.size() - directory); break;
    case 3: splice(random, bytes); break;
  }
}

// Inserts instructions that a random bit flip rarely creates, and sizes that overflow.
void mutate_pickle(Random& random, std::string& program) {
  static const std::string kParts[] = {"(",
                                       ")",
                                       "]",
                                       "}",
                                       "t",
                                       "u",
                                       "s",
                                       "e",
                                       "a",
                                       "0",
                                       "1",
                                       "2",
                                       "R",
                                       "b",
                                       "Q",
                                       "N",
                                       "q\1",
                                       "h\1",
                                       "h\2",
                                       "l",
                                       "d",
                                       "\x81",
                                       "\x85",
                                       "\x86",
                                       "\x87",
                                       "\x93",
                                       "\x94",
                                       fixture::integer(INT64_MAX),
                                       fixture::integer(-1),
                                       fixture::integer(1 << 20),
                                       "ctorch._utils\n_rebuild_tensor_v2\n",
                                       "ctorch\nHalfStorage\n",
                                       fixture::text("0")};
  for (size_t changes = 1 + below(random, 3); changes > 0; --changes) {
    if (random() % 3 == 0) flip(random, program, 0, program.size());
    else if (random() % 2) splice(random, program);
    else program.insert(below(random, program.size() + 1), kParts[below(random, std::size(kParts))]);
  }
}

struct Subject {
  std::string path, bytes;
  Values values;
  fixture::Records records;  // the uncompressed records; their names do not include the first folder
};

Subject load(const std::string& path) {
  Subject subject{path, fixture::read_file(path), read_all(path), {}};
  const ZipFile zip(path);
  for (const auto& [name, entry] : zip.entries()) {
    if (!entry.stored) continue;
    const auto data = zip.read_whole(name, UINT64_MAX);
    const std::string text(reinterpret_cast<const char*>(data.data()), data.size());
    subject.records.emplace_back(name.substr(name.find('/') + 1), text);
  }
  return subject;
}

struct Counts {
  const char* what;
  size_t accepted = 0, refused = 0, wrong = 0;
};

// Runs `read`. It returns false if it accepted wrong data.
template <class Read>
void attempt(Counts& counts, Read read) {
  try {
    const bool right = read();
    ++counts.accepted;
    if (!right) ++counts.wrong;
  } catch (const Error&) {
    ++counts.refused;
  } catch (const std::exception& error) {
    std::cerr << counts.what << ": not an Error: " << error.what() << '\n';
    ++counts.wrong;
  }
}

std::string mutated_json(Random& random) {
  std::string json = R"({"activation": "gelu", "heads": {"image": 12}, "mean": [0.48, -4.5e-1, 1], "x": "\ud83d\ude00é"})";
  for (size_t changes = below(random, 4); changes > 0; --changes) {
    if (random() % 2) flip(random, json, 0, json.size());
    else splice(random, json);
  }
  return json;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::cerr << "usage: fuzz_archive ITERATIONS SEED ARCHIVE...\n";
    return 2;
  }
  const long iterations = std::atol(argv[1]);
  Random random(static_cast<uint64_t>(std::atoll(argv[2])));
  std::vector<Subject> subjects;
  for (int i = 3; i < argc; ++i) subjects.push_back(load(argv[i]));

  Counts files{"changed files"}, programs{"changed programs"}, texts{"changed JSON"};
  fixture::TemporaryFile file;
  for (long i = 0; i < iterations; ++i) {
    const Subject& subject = subjects[below(random, subjects.size())];
    std::string bytes = subject.bytes;
    mutate_file(random, bytes);
    file.write(bytes);
    attempt(files, [&] { return same(read_all(file.path()), subject.values); });

    fixture::Records records = subject.records;
    for (auto& [name, data] : records)
      if (name.ends_with(".pkl")) mutate_pickle(random, data);
    file.write(fixture::make_zip(records));
    attempt(programs, [&] {
      read_all(file.path());
      return true;
    });

    const std::string json = mutated_json(random);
    attempt(texts, [&] {
      parse_json(json);
      return true;
    });
  }
  size_t wrong = 0;
  for (const Counts& counts : {files, programs, texts}) {
    std::cout << counts.what << ": " << counts.accepted << " accepted, " << counts.refused << " refused, " << counts.wrong << " wrong\n";
    wrong += counts.wrong;
  }
  return wrong ? 1 : 0;
}
