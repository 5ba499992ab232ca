// Python's pickle (protocols 2 to 5) interpreted into inert values. A pickle is a program that may name and call anything;
// here a call is only noted down: which function, which arguments. Nothing is imported, looked up or run.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace clip_es {

class Pickle {
 public:
  // Names a value. Values never own each other, so sharing, cycles and deep nesting cost nothing and need no recursion.
  using Ref = uint32_t;

  enum class Kind : uint8_t {
    kNone,
    kBool,        // integer is 0 or 1
    kInteger,     // integer
    kText,        // text
    kGlobal,      // module, text: a function or class that the pickle names
    kSequence,    // items: a tuple, list or set
    kDict,        // items: key, value, key, value, …
    kCall,        // callee(*arguments): a call, or an object made from its class. One that then gets items is a dict or sequence
    kPersistent,  // arguments: what the writer kept outside the pickle, in PyTorch a storage
    kOpaque,      // a float, bytes or a huge integer: nothing that a tensor's description needs
  };

  struct Value {
    Kind kind = Kind::kNone;
    int64_t integer = 0;
    std::string_view module{}, text{};  // into the pickle's bytes
    Ref callee = 0, arguments = 0;
    std::optional<Ref> state{};  // what the object's __setstate__ would get
    std::vector<Ref> items{};
  };

  // Throws Error kModelFormat, starting with `name`, for anything that is not a whole pickle of the instructions that
  // PyTorch's writers and Python's pickle module use for data, and for one of more than a million values.
  Pickle(std::vector<std::byte> bytes, const std::string& name);
  Pickle(const Pickle&) = delete;  // values point into bytes_
  Pickle& operator=(const Pickle&) = delete;

  Ref root() const { return root_; }
  const Value& operator[](Ref ref) const { return values_[ref]; }
  bool is_global(Ref ref, std::string_view module, std::string_view name) const;

 private:
  class Machine;

  std::vector<std::byte> bytes_;
  std::vector<Value> values_;
  Ref root_ = 0;
};

}  // namespace clip_es
