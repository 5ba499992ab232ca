// Reads small JSON documents (RFC 8259): the engine's own metadata, never large, never trusted.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace clip_es {

class Json {
 public:
  using Array = std::vector<Json>;
  using Object = std::map<std::string, Json, std::less<>>;

  // Throws Error kModelFormat with the position and what was expected there. Nesting deeper than 32 is refused.
  static Json parse(std::string_view text);

  bool is_null() const { return std::holds_alternative<std::nullptr_t>(value); }
  // Each throws Error kModelFormat when the value is of another kind; `what` names the value in the message.
  double number(std::string_view what) const;
  const std::string& text(std::string_view what) const;
  const Array& array(std::string_view what) const;
  const Object& object(std::string_view what) const;
  // The member of an object, or nullptr.
  const Json* find(std::string_view key) const;

  std::variant<std::nullptr_t, bool, double, std::string, Array, Object> value = nullptr;
};

}  // namespace clip_es
