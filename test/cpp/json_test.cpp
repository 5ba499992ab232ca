// The JSON reader against RFC 8259: what it takes, what it refuses, and where it says the fault is.
#include "core/json.h"

#include "check.h"
#include "core/error.h"

using namespace clip_es;

namespace {

std::string text_of(std::string_view json) { return Json::parse(json).text("value"); }
double number_of(std::string_view json) { return Json::parse(json).number("value"); }

void check_refused(std::string_view json, const std::string& part) { CHECK_ERROR(Json::parse(json), ErrorCode::kModelFormat, part); }

}  // namespace

TEST("JSON of every kind of value reads") {
  const Json json = Json::parse(" {\"a\": [1, true, null, \"x\"],\r\n\t\"b\": {\"c\": {}}, \"\": false} ");
  const Json::Array& a = json.find("a")->array("a");
  CHECK(a.size() == 4);
  CHECK(a[0].number("a.0") == 1.0);
  CHECK(std::get<bool>(a[1].value));
  CHECK(a[2].is_null());
  CHECK(a[3].text("a.3") == "x");
  CHECK(json.find("b")->find("c")->object("c").empty());
  CHECK(!std::get<bool>(json.find("")->value));
  CHECK(json.find("d") == nullptr);
  CHECK(a[0].find("a") == nullptr);
  CHECK(Json::parse("[]").array("value").empty());
}

TEST("JSON numbers follow the grammar, not C's") {
  CHECK(number_of("0") == 0.0);
  CHECK(std::signbit(number_of("-0")));
  CHECK(number_of("-12.5e-1") == -1.25);
  CHECK(number_of("1E+2") == 100.0);
  CHECK(number_of("0.48145466") == 0.48145466);
  CHECK(number_of("9007199254740993") == 9007199254740992.0);
  for (const char* bad : {"+1", ".5", "1.", "1.e3", "01", "-", "--1", "1e", "1e+", "0x10", "NaN", "Infinity", "-Infinity"})
    check_refused(bad, "JSON, line 1");
  check_refused("1e999", "a number that a double can hold");
}

TEST("JSON strings decode every escape, surrogate pairs included") {
  CHECK(text_of(R"("\"\\\/\b\f\n\r\t")") == "\"\\/\b\f\n\r\t");
  CHECK(text_of(R"("\u0041\u00e9\u20AC\ud83d\ude00")") == "A\u00e9\u20ac\U0001f600");
  CHECK(text_of(R"("\u0000")") == std::string(1, '\0'));
  CHECK(text_of("\"\u00e9\u20ac\U0001f600\"") == "\u00e9\u20ac\U0001f600");
  CHECK(text_of(R"("\uffff")") == "\uffff");
  check_refused(R"("\ud83d")", "a pair of surrogates");
  check_refused(R"("\ud83d\u0041")", "a pair of surrogates");
  check_refused(R"("\ude00\ude00")", "a pair of surrogates");
  check_refused(R"("\u12g4")", "four hexadecimal digits");
  check_refused(R"("\u12)", "four hexadecimal digits");
  check_refused(R"("\u-123")", "four hexadecimal digits");
  check_refused(R"("\x41")", "one of the escapes");
  check_refused("\"\\", "one of the escapes");
}

TEST("JSON strings are UTF-8 without control characters") {
  check_refused("\"a\nb\"", "control characters");
  check_refused(std::string_view("\"\0\"", 3), "control characters");
  for (const char* bad : {"\"\x80\"", "\"\xc1\x81\"", "\"\xc3\"", "\"\xe0\x80\x80\"", "\"\xed\xa0\x80\"", "\"\xf0\x80\x80\x80\"",
                          "\"\xf4\x90\x80\x80\"", "\"\xff\"", "\"\xe2\x82"})
    check_refused(bad, "expected UTF-8");
  CHECK(text_of("\"\xf4\x8f\xbf\xbf\"") == "\xf4\x8f\xbf\xbf");
}

TEST("malformed JSON is refused with its line and column, and what belongs there") {
  check_refused("", "line 1, column 1: expected a value; the text ends there");
  check_refused("{\"a\": 1,\n \"b\" 2}", "line 2, column 6: expected ':'");
  check_refused("[1, 2", "expected ',' or ']'; the text ends there");
  check_refused("[1 2]", "line 1, column 4: expected ',' or ']'");
  check_refused("[1,]", "line 1, column 4: expected a value");
  check_refused("{\"a\":1,}", "expected a string in double quotes");
  check_refused("{a:1}", "expected a string in double quotes");
  check_refused("{\"a\":1", "expected ',' or '}'");
  check_refused("\"open", "closing quote");
  check_refused("tru", "a value");
  check_refused("1 2", "line 1, column 3: expected the end of the text");
  check_refused("nullx", "line 1, column 5: expected the end of the text");
  check_refused("// comment\n1", "line 1, column 1: expected a value");
  check_refused(std::string_view("1\0", 2), "expected the end of the text");
}

TEST("a name that is there twice in a JSON object is refused") {
  check_refused("{\"a\": 1,\n \"a\": 2}", "line 2, column 2: expected another name than \"a\"");
  CHECK(Json::parse(R"({"a": {"a": 1}, "b": {"a": 2}})").object("value").size() == 2);
}

TEST("JSON nests 32 levels deep and no deeper") {
  const std::string open(32, '['), close(32, ']');
  CHECK(Json::parse(open + "1" + close).array("value").size() == 1);
  check_refused("[" + open + "1" + close + "]", "column 33: expected at most 32 levels");
  check_refused(std::string(1'000'000, '['), "at most 32 levels");
}

TEST("a JSON value of the wrong kind is named with what it must be") {
  const Json json = Json::parse(R"({"heads": "12"})");
  CHECK_ERROR(json.find("heads")->number("heads"), ErrorCode::kModelFormat, "heads is a string; it must be a number");
  CHECK_ERROR(json.text("value"), ErrorCode::kModelFormat, "value is an object; it must be a string");
  CHECK_ERROR(json.array("value"), ErrorCode::kModelFormat, "it must be an array");
  CHECK_ERROR(Json::parse("null").object("value"), ErrorCode::kModelFormat, "value is null; it must be an object");
}
