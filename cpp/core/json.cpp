#include "core/json.h"

#include <charconv>
#include <cstdint>
#include <utility>

#include "core/error.h"

namespace clip_es {
namespace {

constexpr int kDeepest = 32;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Appends a code point as UTF-8.
void append_utf8(uint32_t code, std::string& text) {
  const auto add = [&text](uint32_t byte) { text += static_cast<char>(byte); };
  if (code < 0x80) {
    add(code);
  } else if (code < 0x800) {
    add(0xc0 | code >> 6);
    add(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    add(0xe0 | code >> 12);
    add(0x80 | (code >> 6 & 0x3f));
    add(0x80 | (code & 0x3f));
  } else {
    add(0xf0 | code >> 18);
    add(0x80 | (code >> 12 & 0x3f));
    add(0x80 | (code >> 6 & 0x3f));
    add(0x80 | (code & 0x3f));
  }
}

// The length of the UTF-8 sequence at the start of `text`, 0 when there is no valid one (RFC 3629: no overlong forms, no
// surrogates, nothing above U+10FFFF).
size_t utf8_length(std::string_view text) {
  const auto byte = [&text](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : 0u; };
  const auto follows = [&byte](size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const uint32_t lead = byte(0), second = byte(1);
  if (lead < 0x80) return 1;
  if (lead < 0xc2) return 0;
  if (lead < 0xe0) return follows(1) ? 2 : 0;
  if (lead < 0xf0) {
    const bool overlong = lead == 0xe0 && second < 0xa0;
    const bool surrogate = lead == 0xed && second > 0x9f;
    return follows(1) && follows(2) && !overlong && !surrogate ? 3 : 0;
  }
  const bool overlong = lead == 0xf0 && second < 0x90;
  const bool too_large = lead > 0xf4 || (lead == 0xf4 && second > 0x8f);
  return follows(1) && follows(2) && follows(3) && !overlong && !too_large ? 4 : 0;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Json document() {
    Json json = value(0);
    skip_space();
    if (at_ < text_.size()) fail("the end of the text");
    return json;
  }

 private:
  Json value(int depth) {
    skip_space();
    if (depth == kDeepest && (peek() == '{' || peek() == '[')) fail("at most " + std::to_string(kDeepest) + " levels of nesting");
    switch (peek()) {
      case '{': return {object(depth)};
      case '[': return {array(depth)};
      case '"': return {string()};
      case 't': word("true"); return {true};
      case 'f': word("false"); return {false};
      case 'n': word("null"); return {nullptr};
      default: return {number()};
    }
  }

  Json::Object object(int depth) {
    Json::Object members;
    take('{');
    skip_space();
    if (peek() == '}') {
      ++at_;
      return members;
    }
    for (;;) {
      skip_space();
      const size_t start = at_;
      std::string key = string();
      skip_space();
      take(':');
      if (!members.emplace(key, value(depth + 1)).second) {
        at_ = start;
        fail("another name than \"" + key + "\", which is there already");
      }
      if (ends('}')) return members;
    }
  }

  Json::Array array(int depth) {
    Json::Array elements;
    take('[');
    skip_space();
    if (peek() == ']') {
      ++at_;
      return elements;
    }
    do elements.push_back(value(depth + 1));
    while (!ends(']'));
    return elements;
  }

  // After a member or an element: true at the closing bracket, false at a comma.
  bool ends(char bracket) {
    skip_space();
    if (peek() != bracket && peek() != ',') fail(std::string("',' or '") + bracket + "'");
    return text_[at_++] == bracket;
  }

  std::string string() {
    std::string content;
    if (peek() != '"') fail("a string in double quotes");
    ++at_;
    while (peek() != '"') {
      if (at_ == text_.size()) fail("the string's closing quote");
      if (peek() == '\\') {
        append_escape(content);
        continue;
      }
      if (static_cast<unsigned char>(peek()) < 0x20) fail("an escape: strings hold no control characters");
      const size_t length = utf8_length(text_.substr(at_));
      if (length == 0) fail("UTF-8");
      content += text_.substr(at_, length);
      at_ += length;
    }
    ++at_;
    return content;
  }

  void append_escape(std::string& content) {
    constexpr std::string_view kLetters = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
    take('\\');
    const size_t letter = at_ < text_.size() ? kLetters.find(text_[at_]) : kLetters.npos;
    if (letter != kLetters.npos) {
      content += kMeanings[letter];
      ++at_;
      return;
    }
    if (peek() != 'u') fail("one of the escapes \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u");
    append_utf8(escaped_code_point(), content);
  }

  // At the 'u' of \uXXXX. Characters above U+FFFF are written as a pair of surrogates (RFC 8259, section 7).
  uint32_t escaped_code_point() {
    const uint32_t first = code_unit();
    if (first < 0xd800 || first > 0xdfff) return first;
    if (first > 0xdbff || text_.substr(at_, 2) != "\\u") fail("a pair of surrogates");
    ++at_;
    const uint32_t second = code_unit();
    if (second < 0xdc00 || second > 0xdfff) fail("a pair of surrogates");
    return 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
  }

  uint32_t code_unit() {
    take('u');
    uint16_t unit = 0;
    const std::string_view digits = text_.substr(at_, 4);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), unit, 16);
    if (error != std::errc() || end != digits.data() + 4) fail("four hexadecimal digits");
    at_ += 4;
    return unit;
  }

  // from_chars reads more than JSON allows, so the grammar is checked first.
  double number() {
    const size_t start = at_;
    if (peek() == '-') ++at_;
    if (!is_digit(peek())) {
      at_ = start;
      fail("a value");
    }
    if (peek() == '0') ++at_;
    else digits();
    if (peek() == '.') {
      ++at_;
      digits();
    }
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      digits();
    }
    double value = 0;
    if (std::from_chars(text_.data() + start, text_.data() + at_, value).ec != std::errc()) {
      at_ = start;
      fail("a number that a double can hold");
    }
    return value;
  }

  void digits() {
    if (!is_digit(peek())) fail("a digit");
    while (is_digit(peek())) ++at_;
  }

  void word(std::string_view expected) {
    if (!text_.substr(at_).starts_with(expected)) fail("a value");
    at_ += expected.size();
  }

  void skip_space() {
    while (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r') ++at_;
  }

  // NUL at the end, and for a NUL in the text, which is allowed nowhere.
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  void take(char expected) {
    if (peek() != expected) fail(std::string("'") + expected + "'");
    ++at_;
  }

  [[noreturn]] void fail(const std::string& expected) const {
    const std::string_view before = text_.substr(0, at_);
    size_t line = 1;
    for (const char c : before) line += c == '\n';
    const size_t column = at_ - (before.rfind('\n') + 1) + 1;  // npos + 1 is 0: the first line
    const std::string where = "JSON, line " + std::to_string(line) + ", column " + std::to_string(column);
    throw Error(ErrorCode::kModelFormat, where + ": expected " + expected + (at_ == text_.size() ? "; the text ends there" : ""));
  }

  std::string_view text_;
  size_t at_ = 0;
};

const char* kind_of(const Json& json) {
  constexpr const char* kKinds[] = {"null", "true or false", "a number", "a string", "an array", "an object"};
  static_assert(std::variant_size_v<decltype(Json::value)> == std::size(kKinds));
  return kKinds[json.value.index()];
}

template <class T>
const T& get(const Json& json, std::string_view what, const char* expected) {
  const T* value = std::get_if<T>(&json.value);
  if (!value) throw Error(ErrorCode::kModelFormat, std::string(what) + " is " + kind_of(json) + "; it must be " + expected);
  return *value;
}

}  // namespace

Json Json::parse(std::string_view text) { return Parser(text).document(); }

double Json::number(std::string_view what) const { return get<double>(*this, what, "a number"); }

const std::string& Json::text(std::string_view what) const { return get<std::string>(*this, what, "a string"); }

const Json::Array& Json::array(std::string_view what) const { return get<Array>(*this, what, "an array"); }

const Json::Object& Json::object(std::string_view what) const { return get<Object>(*this, what, "an object"); }

const Json* Json::find(std::string_view key) const {
  const Object* members = std::get_if<Object>(&value);
  if (!members) return nullptr;
  const auto found = members->find(key);
  return found == members->end() ? nullptr : &found->second;
}

}  // namespace clip_es
