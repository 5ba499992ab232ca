#include "archive/pickle.h"

#include <cstdio>
#include <cstring>
#include <span>
#include <unordered_map>
#include <utility>

#include "archive/pickle_opcodes.h"
#include "core/error.h"

namespace clip_es {
namespace {

using namespace opcode;

constexpr size_t kMostValues = 1'000'000;  // a ViT-L/14 archive needs about 40,000
constexpr int kNewestProtocol = 5;

}  // namespace

// The stack machine that interprets the bytes.
class Pickle::Machine {
 public:
  Machine(Pickle& pickle, const std::string& name) : name_(name), rest_(pickle.bytes_), values_(pickle.values_) {}

  Ref run() {
    for (;;) {
      at_ = done();
      const uint8_t op = number<uint8_t>();
      if (op == kStop) return pop();
      if (!literal(op) && !container(op) && !memo(op) && !construction(op)) {
        char hex[8];
        std::snprintf(hex, sizeof hex, "0x%02x", op);
        fail("instruction " + std::string(hex) + " is not known");
      }
    }
  }

 private:
  bool literal(uint8_t op) {
    switch (op) {
      case kProto:
        if (number<uint8_t>() > kNewestProtocol) fail("the pickle protocol is newer than 5");
        return true;
      case kFrame: take(sizeof(uint64_t)); return true;  // the size of the following block, which is not needed
      case kNone: push({}); return true;
      case kNewTrue: push({.kind = Kind::kBool, .integer = 1}); return true;
      case kNewFalse: push({.kind = Kind::kBool, .integer = 0}); return true;
      case kBinInt: push_integer(number<int32_t>()); return true;
      case kBinInt1: push_integer(number<uint8_t>()); return true;
      case kBinInt2: push_integer(number<uint16_t>()); return true;
      case kLong1: push_long(number<uint8_t>()); return true;
      case kLong4: push_long(number<uint32_t>()); return true;
      case kBinFloat: push_opaque(sizeof(double)); return true;
      case kBinUnicode: push_text(number<uint32_t>()); return true;
      case kShortBinUnicode: push_text(number<uint8_t>()); return true;
      case kBinUnicode8: push_text(number<uint64_t>()); return true;
      case kBinString: push_text(number<uint32_t>()); return true;
      case kShortBinString: push_text(number<uint8_t>()); return true;
      case kBinBytes: push_opaque(number<uint32_t>()); return true;
      case kShortBinBytes: push_opaque(number<uint8_t>()); return true;
      case kBinBytes8: push_opaque(number<uint64_t>()); return true;
      case kByteArray8: push_opaque(number<uint64_t>()); return true;
      default: return false;
    }
  }

  bool container(uint8_t op) {
    switch (op) {
      case kEmptyTuple: push({.kind = Kind::kSequence}); return true;
      case kEmptyList: push({.kind = Kind::kSequence}); return true;
      case kEmptySet: push({.kind = Kind::kSequence}); return true;
      case kEmptyDict: push({.kind = Kind::kDict}); return true;
      case kTuple1: push_items(Kind::kSequence, pop_last(1)); return true;
      case kTuple2: push_items(Kind::kSequence, pop_last(2)); return true;
      case kTuple3: push_items(Kind::kSequence, pop_last(3)); return true;
      case kTuple: push_items(Kind::kSequence, pop_to_mark()); return true;
      case kList: push_items(Kind::kSequence, pop_to_mark()); return true;
      case kFrozenSet: push_items(Kind::kSequence, pop_to_mark()); return true;
      case kDict: push_items(Kind::kDict, pairs(pop_to_mark())); return true;
      case kAppend: extend(Kind::kSequence, pop_last(1)); return true;
      case kAppends: extend(Kind::kSequence, pop_to_mark()); return true;
      case kAddItems: extend(Kind::kSequence, pop_to_mark()); return true;
      case kSetItem: extend(Kind::kDict, pop_last(2)); return true;
      case kSetItems: extend(Kind::kDict, pairs(pop_to_mark())); return true;
      default: return false;
    }
  }

  bool memo(uint8_t op) {
    switch (op) {
      case kMark: marks_.push_back(stack_.size()); return true;
      case kPop: pop(); return true;
      case kPopMark: pop_to_mark(); return true;
      case kDup: stack_.push_back(top()); return true;
      case kBinPut: memo_[number<uint8_t>()] = top(); return true;
      case kLongBinPut: memo_[number<uint32_t>()] = top(); return true;
      case kMemoize: memo_[static_cast<uint32_t>(memo_.size())] = top(); return true;
      case kBinGet: stack_.push_back(recall(number<uint8_t>())); return true;
      case kLongBinGet: stack_.push_back(recall(number<uint32_t>())); return true;
      default: return false;
    }
  }

  bool construction(uint8_t op) {
    switch (op) {
      case kGlobal: {
        const std::string_view module = line();
        push({.kind = Kind::kGlobal, .module = module, .text = line()});
        return true;
      }
      case kStackGlobal: {
        const std::string_view name = pop_text();
        push({.kind = Kind::kGlobal, .module = pop_text(), .text = name});
        return true;
      }
      case kReduce:
      case kNewObj: push_call(pop()); return true;
      case kNewObjEx: {
        pop();  // keyword arguments, which constructors of tensors do not use
        push_call(pop());
        return true;
      }
      case kBuild: {
        const Ref state = pop();
        values_[top()].state = state;
        return true;
      }
      case kBinPersId: push({.kind = Kind::kPersistent, .arguments = pop()}); return true;
      default: return false;
    }
  }

  // --- reading the bytes
  size_t done() const { return total_ - rest_.size(); }

  std::string_view take(uint64_t size) {
    if (size > rest_.size()) fail("it is cut short");
    const std::string_view bytes(reinterpret_cast<const char*>(rest_.data()), size);
    rest_ = rest_.subspan(size);
    return bytes;
  }

  template <class T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }

  std::string_view line() {
    const void* end = rest_.empty() ? nullptr : std::memchr(rest_.data(), '\n', rest_.size());
    if (!end) fail("it is cut short");
    const std::string_view text = take(static_cast<const std::byte*>(end) - rest_.data());
    take(1);
    return text;
  }

  // --- the stack. As in Python, instructions cannot reach values below the last mark.
  void push(Value value) {
    if (values_.size() == kMostValues) fail("it has more than " + std::to_string(kMostValues) + " values");
    values_.push_back(std::move(value));
    stack_.push_back(static_cast<Ref>(values_.size() - 1));
  }

  void push_integer(int64_t value) { push({.kind = Kind::kInteger, .integer = value}); }

  // Two's complement, of any length.
  void push_long(uint64_t size) {
    const std::string_view bytes = take(size);
    if (size > sizeof(int64_t)) return push({.kind = Kind::kOpaque});
    uint64_t value = !bytes.empty() && (bytes.back() & 0x80) ? ~uint64_t{0} : 0;
    for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[i]);
    push_integer(static_cast<int64_t>(value));
  }

  void push_text(uint64_t size) { push({.kind = Kind::kText, .text = take(size)}); }

  void push_opaque(uint64_t size) {
    take(size);
    push({.kind = Kind::kOpaque});
  }

  void push_items(Kind kind, std::vector<Ref> items) { push({.kind = kind, .items = std::move(items)}); }

  void push_call(Ref arguments) {
    const Ref callee = pop();
    push({.kind = Kind::kCall, .callee = callee, .arguments = arguments});
  }

  // A call becomes the container whose items it gets: collections.OrderedDict() becomes a dictionary here.
  void extend(Kind kind, const std::vector<Ref>& more) {
    Value& value = values_[top()];
    if (value.kind == Kind::kCall) value.kind = kind;
    if (value.kind != kind) fail("items are added to a value that has no items");
    value.items.insert(value.items.end(), more.begin(), more.end());
  }

  std::vector<Ref> pairs(std::vector<Ref> items) const {
    if (items.size() % 2 != 0) fail("a dictionary has a key without a value");
    return items;
  }

  Ref top() const {
    if (stack_.size() == (marks_.empty() ? 0 : marks_.back())) fail("its stack is empty");
    return stack_.back();
  }

  Ref pop() {
    const Ref ref = top();
    stack_.pop_back();
    return ref;
  }

  std::vector<Ref> pop_last(size_t count) {
    std::vector<Ref> items(count);
    for (size_t i = count; i-- > 0;) items[i] = pop();
    return items;
  }

  std::vector<Ref> pop_to_mark() {
    if (marks_.empty()) fail("its mark is missing");
    const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<Ref> items(first, stack_.end());
    stack_.erase(first, stack_.end());
    marks_.pop_back();
    return items;
  }

  std::string_view pop_text() {
    const Value& value = values_[pop()];
    if (value.kind != Kind::kText) fail("the name of a function is not text");
    return value.text;
  }

  Ref recall(uint32_t key) const {
    const auto found = memo_.find(key);
    if (found == memo_.end()) fail("memo " + std::to_string(key) + " is not set");
    return found->second;
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorCode::kModelFormat,
                name_ + ": at byte " + std::to_string(at_) + ": " + what + "; write the archive again with torch.jit.save");
  }

  const std::string& name_;
  std::span<const std::byte> rest_;  // not yet interpreted
  const size_t total_ = rest_.size();
  size_t at_ = 0;  // where the current instruction starts
  std::vector<Value>& values_;
  std::vector<Ref> stack_;
  std::vector<size_t> marks_;  // sizes of the stack at each mark
  std::unordered_map<uint32_t, Ref> memo_;
};

Pickle::Pickle(std::vector<std::byte> bytes, const std::string& name) : bytes_(std::move(bytes)) { root_ = Machine(*this, name).run(); }

bool Pickle::is_global(Ref ref, std::string_view module, std::string_view name) const {
  const Value& value = values_[ref];
  return value.kind == Kind::kGlobal && value.module == module && value.text == name;
}

}  // namespace clip_es
