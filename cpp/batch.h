// The memory layout of a batch of photos, and the timing of the stages.
#pragma once
#include <span>
#include <vector>

#include "device/device.h"
#include "request.h"

namespace clip_es {

// Photos that are encoded together. The same array of all photos is contiguous in memory, so that the photos share matrix products.
struct PhotoBatch {
  std::vector<Image> photos;
  std::vector<Grid> grids;
  std::vector<DeviceLastBlock> last_blocks;
  std::vector<DeviceSpan<float>> mean_attention;
  int64_t patches = 0, tokens = 0;  // of all photos

  size_t size() const { return photos.size(); }
  Encoding encoding(size_t index) const { return {photos[index].size(), grids[index], last_blocks[index], mean_attention[index]}; }

  // Sets the other members for `photos`. The buffer holds the encodings, and grows if necessary.
  void lay_out(const Model&, const LastBlockShape&, int64_t max_side, const MemorySource&, DeviceBuffer&);
};

// A photo of a batch on its way from its encoding to its mask.
struct PhotoWithWords {
  Request* request;
  const std::atomic<bool>* cancelled;  // the flag that cancels this photo, or null
  Encoding encoding;
  HostSpan<float> scores;  // (K): the labels' probabilities, written when the device has finished
  DeviceMaps maps;         // (K): set by Segmenter::make_maps()
};

// Photos whose stages run at once.
struct PhotoGroup {
  std::span<PhotoWithWords> photos;
  StageTimes times;
};

// Calls work(). If it throws, stores the failure in the request and returns false.
template <class Work>
bool try_request(Request& request, Work work) {
  try {
    work();
    return true;
  } catch (...) {
    request.failure = std::current_exception();
    return false;
  }
}

// Measures stages with the device's timers. The device knows the times only when it has finished.
class StageClock {
 public:
  class Section {
   public:
    Section(Device& device, size_t timer) : device_(device), timer_(timer) {}
    ~Section() { device_.stop_timer(timer_); }
    Section(const Section&) = delete;
    Section& operator=(const Section&) = delete;

   private:
    Device& device_;
    size_t timer_;
  };

  // Measures the time until the section is destroyed. collect() adds it to times.*stage, so `times` must live until then.
  [[nodiscard]] Section section(Device&, StageTimes& times, double StageTimes::*stage);
  // Call it after device.finish().
  void collect(const Device&);
  void clear() { entries_.clear(); }

 private:
  struct Entry {
    size_t timer;
    StageTimes* times;
    double StageTimes::*stage;
  };
  std::vector<Entry> entries_;
};

}  // namespace clip_es
