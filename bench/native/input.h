// What clip_es_bench segments: a synthetic photo with random texts, or with the texts of a class set.
#pragma once
#include <cstdint>
#include <vector>

#include "class_set.h"
#include "options.h"

// Waves and some noise, so that the maps and their components are not trivial. RGB, (height, width, 3).
std::vector<uint8_t> synthetic_photo(int64_t width, int64_t height);

// The first --labels classes of the file --classes. Without a file, random unit vectors.
clip_es::ClassSet make_classes(const BenchOptions&, const clip_es::Model&);
