// The JSON reader against RFC 8259: what it accepts, what it refuses, and which place and name its messages give.
#include "core/json.h"

#include "check.h"
#include "core/error.h"

namespace clip_es::json_test {

namespace {

std::string string_of(std::string_view json) { return json_string(parse_json(json), "value"); }
double number_of(std::string_view json) { return json_number(parse_json(json), "value"); }

void check_refused(std::string_view json, const std::string& part) { CHECK_ERROR(parse_json(json), ErrorCode::kModelFormat, part); }

}  // namespace

TEST("JSON values of every type are read") {
  const Json json = parse_json(" {\"a\": [1, true, null, \"x\"],\r\n\t\"b\": {\"c\": {}}, \"\": false} ");
  const Json::array_t& a = json_array(json_member(json, "a"), "a");
  CHECK(a.size() == 4);
  CHECK(json_number(a[0], "a.0") == 1.0);
  CHECK(a[1].get<bool>());
  CHECK(a[2].is_null());
  CHECK(json_string(a[3], "a.3") == "x");
  CHECK(json_object(json_member(json_member(json, "b"), "c"), "c").empty());
  CHECK(!json_member(json, "").get<bool>());
  CHECK(json_array(parse_json("[]"), "value").empty());
}

TEST("JSON numbers follow the grammar of JSON, not that of C") {
  CHECK(number_of("0") == 0.0);
  CHECK(number_of("-0") == 0.0);
  CHECK(number_of("-12.5e-1") == -1.25);
  CHECK(number_of("1E+2") == 100.0);
  CHECK(number_of("0.48145466") == 0.48145466);
  CHECK(number_of("9007199254740993") == 9007199254740992.0);
  CHECK(number_of("18446744073709551615") == 18446744073709551616.0);
  CHECK(number_of("123456789012345678901234567890") == 123456789012345678901234567890.0);
  for (const char* bad : {"+1", ".5", "1.", "1.e3", "01", "-", "--1", "1e", "1e+", "0x10", "NaN", "Infinity", "-Infinity"})
    check_refused(bad, "error at line 1, column");
  check_refused("1e999", "number overflow parsing '1e999'");
  check_refused("-1e999", "number overflow");
}

TEST("JSON strings decode every escape, including surrogate pairs") {
  CHECK(string_of(R"("\"\\\/\b\f\n\r\t")") == "\"\\/\b\f\n\r\t");
  CHECK(string_of(R"("\u0041\u00e9\u20AC\ud83d\ude00")") == "A\u00e9\u20ac\U0001f600");
  CHECK(string_of(R"("\u0000")") == std::string(1, '\0'));
  CHECK(string_of("\"\u00e9\u20ac\U0001f600\"") == "\u00e9\u20ac\U0001f600");
  CHECK(string_of(R"("\uffff")") == "\uffff");
  for (const char* bad : {R"("\ud83d")", R"("\ud83d\u0041")", R"("\ude00\ude00")"}) check_refused(bad, "surrogate");
  for (const char* bad : {R"("\u12g4")", R"("\u12)", R"("\u-123")"}) check_refused(bad, "4 hex digits");
  for (const char* bad : {R"("\x41")", "\"\\"}) check_refused(bad, "forbidden character after backslash");
}

TEST("JSON strings must be UTF-8 without control characters") {
  check_refused("\"a\nb\"", "control character");
  for (const char* bad : {"\"\x80\"", "\"\xc1\x81\"", "\"\xc3\"", "\"\xe0\x80\x80\"", "\"\xed\xa0\x80\"", "\"\xf0\x80\x80\x80\"",
                          "\"\xf4\x90\x80\x80\"", "\"\xff\"", "\"\xe2\x82"})
    check_refused(bad, "ill-formed UTF-8");
  CHECK(string_of("\"\xf4\x8f\xbf\xbf\"") == "\xf4\x8f\xbf\xbf");
}

TEST("a NUL byte does not end JSON early") {
  check_refused(std::string_view("1\0", 2), "NUL byte at offset 1");
  check_refused(std::string_view("1\0 garbage", 10), "NUL byte at offset 1");
  check_refused(std::string_view("\"\0\"", 3), "NUL byte at offset 1");
}

TEST("malformed JSON is refused with its line and column, and what was expected there") {
  check_refused("", "line 1, column 1: syntax error while parsing value - unexpected end of input");
  check_refused("{\"a\": 1,\n \"b\" 2}", "line 2, column 6");
  check_refused("{\"a\": 1,\n \"b\" 2}", "expected ':'");
  check_refused("[1, 2", "unexpected end of input; expected ']'");
  check_refused("[1 2]", "line 1, column 4");
  check_refused("[1,]", "unexpected ']'");
  check_refused("{\"a\":1,}", "expected string literal");
  check_refused("{a:1}", "expected string literal");
  check_refused("{\"a\":1", "expected '}'");
  check_refused("\"open", "missing closing quote");
  check_refused("tru", "invalid literal");
  check_refused("1 2", "line 1, column 3");
  check_refused("1 2", "expected end of input");
  check_refused("nullx", "it is not valid JSON: parse error at line 1");
  check_refused("// comment\n1", "line 1, column 1");
}

TEST("the message about malformed JSON quotes only a part of a long text") {
  try {
    parse_json('"' + std::string(1'000'000, 'x'));
    CHECK(false);
  } catch (const Error& error) {
    CHECK(std::string(error.what()).size() == std::string("it is not valid JSON: …").size() + 200);
    CHECK(std::string(error.what()).find("missing closing quote") != std::string::npos);
  }
}

TEST("a key that occurs twice in one JSON object is refused") {
  check_refused("{\"a\": 1,\n \"a\": 2}", "the key \"a\" twice in one object");
  check_refused(R"({"a": {"b": 1}, "c": [{"b": 1, "d": 2, "b": 3}]})", "the key \"b\" twice");
  check_refused(R"({"a": {"b": 1}, "a": 2})", "the key \"a\" twice");
  check_refused(R"({"a": 1, "\u0061": 2})", "the key \"a\" twice");
  CHECK(json_object(parse_json(R"({"a": {"a": 1}, "b": {"a": 2}, "c": [{"a": 1}, {"a": 2}]})"), "value").size() == 3);
}

TEST("JSON may be nested 32 levels deep and no deeper") {
  const std::string open(32, '['), close(32, ']');
  CHECK(json_array(parse_json(open + "1" + close), "value").size() == 1);
  check_refused("[" + open + "1" + close + "]", "nested deeper than 32 levels");
  check_refused(std::string(1'000'000, '['), "nested deeper than 32 levels");
  std::string objects;
  for (int level = 0; level < 33; ++level) objects += "{\"a\":";
  check_refused(objects + "1" + std::string(33, '}'), "nested deeper than 32 levels");
}

TEST("a JSON value of the wrong type is refused with its name and the expected type") {
  const Json json = parse_json(R"({"heads": "12"})");
  CHECK_ERROR(json_number(json_member(json, "heads"), "heads"), ErrorCode::kModelFormat, "heads is of type string, expected a number");
  CHECK_ERROR(json_string(json, "value"), ErrorCode::kModelFormat, "value is of type object, expected a string");
  CHECK_ERROR(json_array(json, "value"), ErrorCode::kModelFormat, "expected an array");
  CHECK_ERROR(json_object(parse_json("null"), "value"), ErrorCode::kModelFormat, "value is of type null, expected an object");
  CHECK_ERROR(json_number(parse_json("true"), "value"), ErrorCode::kModelFormat, "value is of type boolean, expected a number");
  CHECK_ERROR(json_member(json, "mean"), ErrorCode::kModelFormat, "\"mean\" is missing");
  CHECK_ERROR(json_member(parse_json("[]"), "mean"), ErrorCode::kModelFormat, "the value around \"mean\" is of type array");
}

}  // namespace clip_es::json_test
