#include "batch.h"

#include "clip/preprocess.h"

namespace clip_es {

void PhotoBatch::lay_out(const Model& model, const LastBlockShape& shape, int64_t max_side, const MemorySource& source,
                         DeviceBuffer& memory) {
  grids.clear();
  last_blocks.clear();
  mean_attention.clear();
  patches = tokens = 0;
  size_t block_floats = 0, mean_floats = 0;
  for (const Image& photo : photos) {
    const Grid grid = patch_grid(photo.size(), model.shape.patch, max_side);
    grids.push_back(grid);
    last_blocks.push_back({.tokens = grid.tokens()});
    patches += grid.patches();
    tokens += grid.tokens();
    block_floats += last_block_floats(shape, grid.tokens());
    mean_floats += grid.patches() * grid.patches();
  }
  memory.reserve(source, block_floats + mean_floats);
  lay_out_last_blocks(shape, std::span(last_blocks), memory.floats().first(block_floats));
  DeviceSpan<float> means = memory.floats().subspan(block_floats, mean_floats);
  for (const Grid& grid : grids) {
    const size_t count = grid.patches() * grid.patches();
    mean_attention.push_back(means.first(count));
    means = means.subspan(count);
  }
}

StageClock::Section StageClock::section(Device& device, StageTimes& times, double StageTimes::*stage) {
  entries_.push_back({device.start_timer(), &times, stage});
  return {device, entries_.back().timer};
}

void StageClock::collect(const Device& device) {
  for (const Entry& entry : entries_) entry.times->*entry.stage += device.elapsed(entry.timer);
  entries_.clear();
}

}  // namespace clip_es
