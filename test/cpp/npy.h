// Reads the golden data: NumPy's .npy (format 1 to 3, C order) and binary .ppm (P6).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace npy {

struct Array {
  std::vector<int64_t> shape;
  std::string dtype;         // NumPy's, without byte order: "f4", "f8", "u1", "i4", "i8"
  std::vector<double> data;  // double holds all values of these types, of int64 those up to 2^53

  std::vector<float> floats() const { return {data.begin(), data.end()}; }
  std::vector<int32_t> ints() const { return {data.begin(), data.end()}; }
  std::vector<uint8_t> bytes() const { return {data.begin(), data.end()}; }
};

// Throws std::runtime_error, which names the file and the fault.
Array read(const std::string& path);

struct Photo {
  int64_t width, height;
  std::vector<uint8_t> rgb;
};
Photo read_ppm(const std::string& path);

}  // namespace npy
