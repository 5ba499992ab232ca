#include "npy.h"

#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>

namespace npy {
namespace {

[[noreturn]] void refuse(const std::string& path, const std::string& what) { throw std::runtime_error(path + ": " + what); }

std::string file_bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) refuse(path, "cannot be read");
  return {std::istreambuf_iterator<char>(in), {}};
}

// The text after `key` in a header such as {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
std::string after(const std::string& header, const std::string& key, const std::string& path) {
  const size_t at = header.find("'" + key + "': ");
  if (at == std::string::npos) refuse(path, "its header has no " + key);
  return header.substr(at + key.size() + 4);
}

std::vector<int64_t> parse_shape(const std::string& text) {
  std::vector<int64_t> shape;
  std::istringstream numbers(text.substr(1, text.find(')') - 1));
  for (int64_t size; numbers >> size; numbers.ignore(1)) shape.push_back(size);
  return shape;
}

template <class T>
std::vector<double> values(const char* bytes, size_t count) {
  std::vector<T> typed(count);
  std::memcpy(typed.data(), bytes, count * sizeof(T));
  return {typed.begin(), typed.end()};
}

}  // namespace

Array read(const std::string& path) {
  const std::string bytes = file_bytes(path);
  if (bytes.size() < 12 || bytes.compare(0, 6, "\x93NUMPY") != 0) refuse(path, "not a .npy file");
  const bool long_header = bytes[6] > 1;  // format 1 has 2 bytes for the header's length, later ones 4
  uint32_t length = 0;
  std::memcpy(&length, &bytes[8], long_header ? 4 : 2);
  const size_t start = (long_header ? 12 : 10) + size_t{length};
  if (start > bytes.size()) refuse(path, "the header is cut short");
  const std::string header = bytes.substr(0, start);
  if (after(header, "fortran_order", path)[0] != 'F') refuse(path, "its order is Fortran's; save it in C order");
  Array a{parse_shape(after(header, "shape", path)), after(header, "descr", path).substr(2, 2), {}};
  size_t count = 1;
  for (const int64_t size : a.shape) count *= static_cast<size_t>(size);
  const auto item = static_cast<size_t>(a.dtype[1] - '0');
  if (bytes.size() - start != count * item) refuse(path, "the size of the file does not match the shape in its header");
  const char* data = bytes.data() + start;
  if (a.dtype == "f4") a.data = values<float>(data, count);
  else if (a.dtype == "f8") a.data = values<double>(data, count);
  else if (a.dtype == "u1") a.data = values<uint8_t>(data, count);
  else if (a.dtype == "i4") a.data = values<int32_t>(data, count);
  else if (a.dtype == "i8") a.data = values<int64_t>(data, count);
  else refuse(path, "its type is " + a.dtype + "; expected f4, f8, u1, i4 or i8");
  return a;
}

Photo read_ppm(const std::string& path) {
  std::istringstream in(file_bytes(path));
  std::string magic;
  Photo photo;
  int largest = 0;
  in >> magic >> photo.width >> photo.height >> largest;
  if (!in || magic != "P6" || largest != 255) refuse(path, "not a binary .ppm (P6) with 8 bits per channel");
  in.ignore(1);
  photo.rgb.resize(photo.width * photo.height * 3);
  if (!in.read(reinterpret_cast<char*>(photo.rgb.data()), static_cast<std::streamsize>(photo.rgb.size())))
    refuse(path, "the file is cut short");
  return photo;
}

}  // namespace npy
