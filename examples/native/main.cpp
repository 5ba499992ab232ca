// segment_ppm MODEL CLASSES PHOTO.ppm MASK.pgm: a mask for a photo, with the words of a file that ClassSet.save wrote.
#include <fstream>
#include <iostream>
#include <numeric>

#include "class_set.h"
#include "segmenter.h"

using namespace clip_es;

int main(int argc, char** argv) try {
  if (argc != 5) throw std::runtime_error("usage: segment_ppm MODEL CLASSES PHOTO.ppm MASK.pgm");
  Segmenter segmenter(argv[1], {.threads = 2});
  const ClassSet classes = read_class_set(argv[2]);
  classes.require_model(segmenter.model());

  std::ifstream photo(argv[3], std::ios::binary);
  std::string kind;
  int64_t width = 0, height = 0, largest = 0;
  photo >> kind >> width >> height >> largest;
  if (!photo || kind != "P6" || largest != 255 || width < 1 || height < 1)
    throw std::runtime_error("the photo is not a binary PPM with 8 bits per channel");
  photo.get();  // one blank ends the header
  std::vector<uint8_t> rgb(static_cast<size_t>(3 * width * height)), mask(static_cast<size_t>(width * height));
  if (!photo.read(reinterpret_cast<char*>(rgb.data()), static_cast<std::streamsize>(rgb.size())))
    throw std::runtime_error("the photo is cut short");

  std::vector<uint8_t> value(classes.names.size());  // what the mask holds for each class: 1, 2, 3, …
  std::iota(value.begin(), value.end(), 1);
  std::vector<float> scores(classes.names.size());
  Request request{.image = {rgb.data(), width, height, 3}, .texts = classes.texts(), .outputs = {{mask.data()}, scores.data()}};
  request.texts.value = value;
  segmenter.segment({&request, 1});
  request.rethrow_failure();

  for (size_t c = 0; c < classes.names.size(); ++c) std::cout << +value[c] << " " << classes.names[c] << " " << scores[c] << "\n";
  std::ofstream out(argv[4], std::ios::binary);
  out << "P5 " << width << " " << height << " 255\n";
  if (!out.write(reinterpret_cast<const char*>(mask.data()), static_cast<std::streamsize>(mask.size())).flush())
    throw std::runtime_error(std::string(argv[4]) + " cannot be written");
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
