// Layout: magic number, length and checksum of the description, description, then the arrays, each at a multiple of 64 bytes. The
// description holds all single values and short lists, and the lengths of the arrays, in the order of visit().
#include "weights_file.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/crc32.h"
#include "core/platform/file.h"
#include "device/cpu/weights.h"
#include "ops/cpu/cpu_level.h"

namespace clip_es {
namespace {

// Increase this number when the order of visits or a visited type changes. layout_probe() notices another layout of packed matrices.
constexpr uint32_t kFormat = 2;
constexpr uint64_t kMagic = 0x5357'5345'5049'4C43;  // "CLIPESWS", read from its first byte
constexpr size_t kAlignment = 64;                   // of arrays: what products ask for

struct Header {
  uint64_t magic = kMagic;
  uint32_t format = kFormat;
  uint32_t checksum = 0;  // of the description
  uint64_t description_bytes = 0;
  uint64_t file_bytes = 0;
};

constexpr size_t round_up(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// Padding would make equal weights give different files.
template <class T>
constexpr bool kHasNoPadding = std::has_unique_object_representations_v<T> || std::is_same_v<T, float>;
template <size_t N>
constexpr bool kHasNoPadding<std::array<float, N>> = true;

template <class Visitor, class Shape>
void visit_shape(Visitor& visitor, Shape& shape) {
  visitor(shape.width);
  visitor(shape.heads);
  visitor(shape.activation);
}

template <class Visitor, class Block>
void visit_block(Visitor& visitor, Block& block) {
  for (auto* norm : {&block.ln_1, &block.ln_2}) {
    visitor(norm->gamma);
    visitor(norm->beta);
  }
  for (auto* linear : {&block.in_proj, &block.out_proj, &block.c_fc, &block.c_proj}) Linear::visit(visitor, *linear);
}

template <class Visitor, class Blocks>
void visit_blocks(Visitor& visitor, Blocks& blocks) {
  visitor.resize(blocks);
  for (auto& block : blocks) visit_block(visitor, block);
}

template <class Visitor, class AnyModel>
void visit_model(Visitor& visitor, AnyModel& m) {
  visitor(m.shape);
  visitor(m.fingerprint);
  visitor(m.logit_scale);
  visitor(m.mean);
  visitor(m.std);
  visitor(m.assumed_activation);
  visitor(m.assumed_heads);
  visit_shape(visitor, m.image);
  visitor(m.last_hidden);
  visit_shape(visitor, m.text);
  visitor(m.text_layers);
  for (auto* norm : {&m.ln_pre, &m.ln_post, &m.ln_final}) {
    visitor(norm->gamma);
    visitor(norm->beta);
  }
  for (auto* values : {&m.class_embedding, &m.positional_embedding, &m.image_projection, &m.text_positional_embedding, &m.text_projection})
    visitor(*values);
  visitor(m.token_embedding);
}

template <class Visitor, class AnyWeights>
void visit_weights(Visitor& visitor, AnyWeights& weights) {
  Linear::visit(visitor, weights.tower.patch_embedding);
  visitor(weights.tower.attention);
  visit_blocks(visitor, weights.tower.blocks);
  auto& last = weights.last_block;
  visitor(last.precision);
  visit_block(visitor, last.block);
  for (auto* matrix : {&last.composite, &last.c_proj_transposed, &last.out_proj_transposed, &last.in_proj_transposed})
    ops::visit(visitor, *matrix);
  for (auto* values : {&last.fc_gamma, &last.fc_offset, &last.out_proj_column_sums}) visitor(*values);
}

// A checksum of a small packed matrix. It differs for another layout of packed matrices, such as that of another version of this code.
uint32_t layout_probe(Precision precision) {
  constexpr int64_t kSide = 192;  // a multiple of the sides of all tiles, so that no padding is in the checksum
  std::vector<float> values(kSide * kSide);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 251) - 125;
  return crc32(ops::pack_matrix(precision, values.data(), kSide, kSide).panels);
}

// What the description begins with.
std::vector<char> identity_of(uint64_t fingerprint, Precision precision) {
  const std::string text = weights_file_name(fingerprint, precision) + " " + std::to_string(layout_probe(precision));
  return {text.begin(), text.end()};
}

class Writer {
 public:
  template <class T>
  void operator()(const T& value) {
    static_assert(std::is_trivially_copyable_v<T> && kHasNoPadding<T>);
    append(std::as_bytes(std::span(&value, 1)));
  }
  template <class T>
  void operator()(const std::vector<T>& values) {
    (*this)(uint64_t{values.size()});
    append(std::as_bytes(std::span(values)));
  }
  template <class T>
  void operator()(const Array<T>& array) {
    (*this)(uint64_t{array.size()});
    arrays_.push_back(std::as_bytes(std::span<const T>(array)));
  }
  template <class T>
  void resize(const std::vector<T>& values) {
    (*this)(uint64_t{values.size()});
  }

  void write(const std::string& path) const {
    static constexpr std::byte kPadding[kAlignment] = {};
    Header header{.checksum = crc32(description_), .description_bytes = description_.size()};
    std::vector<std::span<const std::byte>> parts{std::as_bytes(std::span(&header, 1)), description_};
    size_t bytes = sizeof header + description_.size();
    const auto pad = [&] {
      parts.push_back(std::span(kPadding).first(round_up(bytes) - bytes));
      bytes = round_up(bytes);
    };
    pad();
    for (const auto array : arrays_) {
      parts.push_back(array);
      bytes += array.size();
      pad();
    }
    header.file_bytes = bytes;
    platform::write_file(path, parts);
  }

 private:
  void append(std::span<const std::byte> bytes) { description_.insert(description_.end(), bytes.begin(), bytes.end()); }

  std::vector<std::byte> description_;
  std::vector<std::span<const std::byte>> arrays_;
};

class Reader {
 public:
  explicit Reader(std::shared_ptr<const platform::MappedFile> file) : file_(std::move(file)) {
    const auto bytes = file_->bytes();
    Header header;
    if (bytes.size() < sizeof header) return;
    std::memcpy(&header, bytes.data(), sizeof header);
    if (header.magic != kMagic || header.format != kFormat || header.file_bytes != bytes.size()) return;
    if (header.description_bytes > bytes.size() - sizeof header) return;
    description_ = bytes.subspan(sizeof header, header.description_bytes);
    next_array_ = round_up(sizeof header + description_.size());
    good_ = crc32(description_) == header.checksum;
  }

  template <class T>
  void operator()(T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    if (const auto bytes = take(sizeof value); !bytes.empty()) std::memcpy(&value, bytes.data(), sizeof value);
  }
  template <class T>
  void operator()(std::vector<T>& values) {
    resize(values);
    if (const auto bytes = take(values.size() * sizeof(T)); !bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  }
  template <class T>
  void operator()(Array<T>& array) {
    uint64_t size = 0;
    (*this)(size);
    const auto bytes = file_->bytes();
    good_ = good_ && next_array_ <= bytes.size() && size <= (bytes.size() - next_array_) / sizeof(T);
    if (!good_ || size == 0) return;  // an empty array has no address: a layer without bias
    array = {std::shared_ptr<const T>(file_, reinterpret_cast<const T*>(bytes.data() + next_array_)), size};
    next_array_ = round_up(next_array_ + size * sizeof(T));
  }
  template <class T>
  void resize(std::vector<T>& values) {
    uint64_t size = 0;
    (*this)(size);
    good_ = good_ && size <= description_.size() - read_;  // each element has at least one byte there
    if (good_) values.resize(size);
  }

  bool good() const { return good_; }
  bool at_end() const { return good_ && read_ == description_.size() && next_array_ == file_->bytes().size(); }

 private:
  std::span<const std::byte> take(size_t bytes) {
    good_ = good_ && bytes <= description_.size() - read_;
    if (!good_) return {};
    read_ += bytes;
    return description_.subspan(read_ - bytes, bytes);
  }

  std::shared_ptr<const platform::MappedFile> file_;
  std::span<const std::byte> description_;
  size_t read_ = 0;  // bytes of the description
  size_t next_array_ = 0;
  bool good_ = false;
};

bool can_be_saved(const TransformerBlock& block) {
  return block.in_proj.can_be_saved() && block.out_proj.can_be_saved() && block.c_fc.can_be_saved() && block.c_proj.can_be_saved();
}

bool can_be_saved(const cpu::Weights& weights) {
  const bool tower = weights.tower.patch_embedding.can_be_saved() &&
                     std::ranges::all_of(weights.tower.blocks, [](const auto& block) { return can_be_saved(block); });
  return tower && can_be_saved(weights.last_block.block);
}

}  // namespace

std::string weights_file_name(uint64_t fingerprint, Precision precision) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string name;
  for (int shift = 60; shift >= 0; shift -= 4) name += kDigits[fingerprint >> shift & 15];
  return name + "-" + name_of(precision) + "-" + ops::cpu_level().name + ".weights";
}

void write_weights_file(const std::string& path, uint64_t fingerprint, Precision precision, const LoadedModel& loaded) {
  const auto& weights = static_cast<const cpu::Weights&>(*loaded.weights);
  if (!can_be_saved(weights)) return;
  Writer writer;
  writer(identity_of(fingerprint, precision));
  visit_model(writer, *loaded.model);
  visit_weights(writer, weights);
  visit_blocks(writer, loaded.text->blocks);
  writer.write(path);
}

std::shared_ptr<const LoadedModel> read_weights_file(const std::string& path, uint64_t fingerprint, Precision precision) {
  if (!platform::exists(path)) return nullptr;
  const platform::File file(path);
  if (file.kind() != platform::FileKind::kRegular) return nullptr;
  Reader reader(std::make_shared<const platform::MappedFile>(file));
  std::vector<char> identity;
  reader(identity);
  if (!reader.good() || identity != identity_of(fingerprint, precision)) return nullptr;
  auto model = std::make_shared<Model>();
  auto weights = std::make_shared<cpu::Weights>();
  auto text = std::make_shared<TextTower>();
  visit_model(reader, *model);
  visit_weights(reader, *weights);
  visit_blocks(reader, text->blocks);
  if (!reader.at_end()) return nullptr;
  return std::make_shared<LoadedModel>(LoadedModel{std::move(model), std::move(text), std::move(weights)});
}

}  // namespace clip_es
