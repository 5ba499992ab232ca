// Tests of batches that run on the CPU and on the GPU of the CUDA tests.
#pragma once
#include <span>
#include <vector>

#include "segment_job.h"
#include "segmenter.h"

// Five corners of golden photos. They are small, because the emulated GPU is slow. The second and the third have equal numbers of patches.
std::vector<SegmentJob> golden_photos();
// The requests point to the photos.
std::vector<clip_es::Request> requests(std::vector<SegmentJob>&, const clip_es::SegmentSettings& = {});
// Throws the first failure of the batch.
void run(clip_es::Segmenter&, std::span<clip_es::Request> batch);
bool was_cancelled(const clip_es::Request&);

// Segments the photos as one batch and one by one. The maps and scores differ by less than `limit`.
void compare_with_single(clip_es::Segmenter&, double limit, bool crf);
void refuse_one_of_a_batch(clip_es::Segmenter&);
void segment_on_two_threads(clip_es::Segmenter& first);
