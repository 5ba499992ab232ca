#include "core/json.h"

#include <cstddef>
#include <set>
#include <vector>

#include "core/error.h"

namespace clip_es {
namespace {

constexpr int kMaxDepth = 32;
constexpr size_t kMaxReasonLength = 200;  // bytes: the library quotes the text that it could not read

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorCode::kModelFormat, message); }

// Enforces, while the text is parsed, what the library does not check.
class StructureCheck {
 public:
  // Called before a container or key is added. `depth` counts the containers that enclose it.
  bool operator()(int depth, Json::parse_event_t event, const Json& value) {
    using Event = Json::parse_event_t;
    const bool starts = event == Event::object_start || event == Event::array_start;
    if (starts && depth >= kMaxDepth) fail("the JSON is nested deeper than " + std::to_string(kMaxDepth) + " levels");
    if (event == Event::object_start) keys_.emplace_back();
    if (event == Event::object_end) keys_.pop_back();
    if (event == Event::key) {
      const std::string& key = value.get_ref<const std::string&>();
      if (!keys_.back().insert(key).second) fail("the JSON has the key \"" + key + "\" twice in one object");
    }
    return true;  // keep the value
  }

 private:
  std::vector<std::set<std::string>> keys_;  // of each open object
};

// The library's message without its number, for example "parse error at line 2, column 6: syntax error while parsing …".
std::string reason_of(const Json::exception& error) {
  std::string reason = error.what();
  if (const size_t end = reason.find("] "); end != reason.npos) reason.erase(0, end + 2);
  if (reason.size() > kMaxReasonLength) reason.replace(kMaxReasonLength, reason.npos, "…");
  return reason;
}

[[noreturn]] void fail_type(const Json& value, std::string_view name, const char* expected) {
  fail(std::string(name) + " is of type " + value.type_name() + ", expected " + expected);
}

template <class T>
const T& get(const Json& value, std::string_view name, const char* expected) {
  const T* content = value.get_ptr<const T*>();
  if (!content) fail_type(value, name, expected);
  return *content;
}

}  // namespace

Json parse_json(std::string_view text) {
  // The library treats a NUL byte as the end of the text.
  if (const size_t nul = text.find('\0'); nul != text.npos) fail("the JSON has a NUL byte at offset " + std::to_string(nul));
  StructureCheck check;
  try {
    return Json::parse(text.begin(), text.end(), std::ref(check));
  } catch (const Json::exception& error) {
    fail("it is not valid JSON: " + reason_of(error));
  }
}

double json_number(const Json& value, std::string_view name) {
  if (!value.is_number()) fail_type(value, name, "a number");
  return value.get<double>();
}

const std::string& json_string(const Json& value, std::string_view name) { return get<std::string>(value, name, "a string"); }

const Json::array_t& json_array(const Json& value, std::string_view name) { return get<Json::array_t>(value, name, "an array"); }

const Json::object_t& json_object(const Json& value, std::string_view name) { return get<Json::object_t>(value, name, "an object"); }

const Json& json_member(const Json& object, std::string_view key) {
  const Json::object_t& members = json_object(object, "the value around \"" + std::string(key) + "\"");
  const auto found = members.find(key);
  if (found == members.end()) fail("\"" + std::string(key) + "\" is missing");
  return found->second;
}

}  // namespace clip_es
