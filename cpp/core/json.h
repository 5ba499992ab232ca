// Reads JSON metadata from untrusted files: clip-es.json in an archive, the header of a class set. nlohmann/json parses it
// (cpp/third_party); this header adds limits and error messages that name the value.
#pragma once
#include <string>
#include <string_view>

#define JSON_USE_IMPLICIT_CONVERSIONS 0
#define JSON_NO_IO
#include <nlohmann/json.hpp>

namespace clip_es {

using Json = nlohmann::json;

// The whole text must be one JSON value (RFC 8259) in UTF-8. Throws Error kModelFormat for anything else, for a key that occurs
// twice in one object, and for nesting deeper than 32 levels.
Json parse_json(std::string_view text);

// The value as a C++ type. Each throws Error kModelFormat when the value has another type; `name` names it in the message.
double json_number(const Json& value, std::string_view name);
const std::string& json_string(const Json& value, std::string_view name);
const Json::array_t& json_array(const Json& value, std::string_view name);
const Json::object_t& json_object(const Json& value, std::string_view name);

// The member `key` of an object. Throws Error kModelFormat when `object` is not an object or has no such member.
const Json& json_member(const Json& object, std::string_view key);

}  // namespace clip_es
