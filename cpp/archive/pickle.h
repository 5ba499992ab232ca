// Interprets Python's pickle format (protocols 2 to 5) into inert values. A pickle is a program that can call any function. Here a call
// becomes a value with the name of the function and its arguments; nothing is imported, looked up or run.
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
  // The index of a value. Values refer to each other by index, so shared, cyclic and deeply nested values need no recursion.
  using Ref = uint32_t;

  enum class Kind : uint8_t {
    kNone,
    kBool,        // integer is 0 or 1
    kInteger,     // integer
    kText,        // text
    kGlobal,      // module, text: a function or class that the pickle names
    kSequence,    // items: a tuple, list or set
    kDict,        // items: key, value, key, value, …
    kCall,        // callee(*arguments), a call or constructor. When items are added to it, it becomes a kDict or kSequence
    kPersistent,  // arguments: the id of an object outside the pickle; in PyTorch, a storage
    kOpaque,      // a float, bytes or a huge integer, which descriptions of tensors do not use
  };

  struct Value {
    Kind kind = Kind::kNone;
    int64_t integer = 0;
    std::string_view module{}, text{};  // views of the pickle's bytes
    Ref callee = 0, arguments = 0;
    std::optional<Ref> state{};  // the argument of the object's __setstate__
    std::vector<Ref> items{};
  };

  // Throws Error kModelFormat, with a message that starts with `name`, for a pickle that is incomplete, has more than a million values,
  // or uses an instruction that neither PyTorch nor Python's pickle module writes for data.
  Pickle(std::vector<std::byte> bytes, const std::string& name);
  Pickle(const Pickle&) = delete;  // values_ has views of bytes_
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
