#include "job.h"

#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/json.h"
#include "files.h"

namespace clip_es::train {
namespace {

[[noreturn]] void refuse(const std::string& name, const std::string& value, const std::string& expected) {
  throw Error(ErrorCode::kInvalidArg, name + " is " + value + ", expected " + expected);
}

// A member of an object, and its name for messages.
class Member {
 public:
  Member(const Json& object, const std::string& path, const std::string& key)
      : value_(json_member(object, key)), name_(path.empty() ? key : path + "." + key) {}
  Member(const Json& value, std::string name) : value_(value), name_(std::move(name)) {}

  Member operator[](const std::string& key) const { return Member(value_, name_, key); }
  bool is_null() const { return value_.is_null(); }
  const std::string& name() const { return name_; }
  std::string text() const { return json_string(value_, name_); }
  bool boolean() const {
    if (!value_.is_boolean()) refuse(name_, value_.dump(), "true or false");
    return value_.get<bool>();
  }
  double number(double least, double most) const {
    const double number = json_number(value_, name_);
    if (!(number >= least && number <= most)) {
      const bool unlimited = most == std::numeric_limits<double>::max();
      refuse(name_, value_.dump(), "a number of at least " + Json(least).dump() + (unlimited ? "" : " and at most " + Json(most).dump()));
    }
    return number;
  }
  double number(double least) const { return number(least, std::numeric_limits<double>::max()); }
  int64_t integer(int64_t least, int64_t most = int64_t{1} << 40) const {
    if (!value_.is_number_integer()) refuse(name_, value_.dump(), "an integer");
    return static_cast<int64_t>(number(static_cast<double>(least), static_cast<double>(most)));
  }
  std::vector<Member> items() const {
    std::vector<Member> items;
    for (const Json& item : json_array(value_, name_)) items.emplace_back(item, name_ + "[" + std::to_string(items.size()) + "]");
    return items;
  }
  std::optional<std::string> optional_text() const { return is_null() ? std::nullopt : std::optional(text()); }

 private:
  const Json& value_;
  std::string name_;
};

std::vector<double> read_scales(const Member& member) {
  std::vector<double> scales;
  for (const Member& scale : member.items()) scales.push_back(scale.number(0.1, 8));
  return scales;
}

std::vector<Sample> read_samples(const Member& member, bool with_confidence) {
  std::vector<Sample> samples;
  for (const Member& item : member.items())
    samples.push_back({item["name"].text(), item["photo"].text(), item["mask"].text(),
                       with_confidence ? item["confidence"].optional_text() : std::nullopt});
  return samples;
}

ConfidenceMode read_mode(const Member& member) {
  const std::string mode = member.text();
  if (mode == "off") return ConfidenceMode::kOff;
  if (mode == "hard") return ConfidenceMode::kHard;
  if (mode == "soft") return ConfidenceMode::kSoft;
  refuse(member.name(), "'" + mode + "'", "off, hard or soft");
}

TrainingSettings read_training(const Member& job) {
  TrainingSettings t{};
  t.iterations = job["iterations"].integer(1);
  t.batch = job["batch"].integer(1, 4096);
  t.accumulate = job["accumulate"].integer(1, 4096);
  t.learning_rate = job["learningRate"].number(0);
  t.head_factor = job["headFactor"].number(0);
  t.head_bias_factor = job["headBiasFactor"].number(0);
  t.momentum = job["momentum"].number(0, 1);
  t.weight_decay = job["weightDecay"].number(0);
  t.power = job["power"].number(0);
  t.crop = job["crop"].integer(16, 4096);
  const std::vector<double> scales = read_scales(job["scales"]);
  if (scales.size() != 2 || scales[0] > scales[1]) refuse("training.scales", "not a range", "[smallest, largest]");
  t.smallest_scale = scales[0];
  t.largest_scale = scales[1];
  t.flip = job["flip"].boolean();
  t.confidence = read_mode(job["confidence"]["mode"]);
  t.threshold = job["confidence"]["threshold"].number(0, 1);
  if (t.confidence == ConfidenceMode::kSoft && t.threshold <= 0.5)
    refuse("training.confidence.threshold", std::to_string(t.threshold), "more than 0.5 for the soft mode; use the hard mode below");
  t.balanced = job["balanced"].boolean();
  if (!job["clip"].is_null()) t.clip = job["clip"].number(0);
  return t;
}

// `read` gets the whole file. Errors name the file.
template <class Read>
auto read_job(const std::string& path, Read read) {
  const std::string text = read_file(path);
  try {
    const Json json = parse_json(text);
    const Member job(json, "");
    if (job["version"].integer(0) != 1) refuse("version", json["version"].dump(), "1; use the command of the same release");
    return read(job);
  } catch (const Error& error) {
    throw Error(ErrorCode::kInvalidArg, path + ": " + error.what());
  }
}

}  // namespace

TrainJob read_train_job(const std::string& path) {
  return read_job(path, [](const Member& json) {
    TrainJob job{};
    job.run = json["run"].text();
    for (const Member& item : json["classes"].items()) job.classes.push_back(item.text());
    if (job.classes.size() < 2 || job.classes.size() > 255)
      refuse("the number of classes", std::to_string(job.classes.size()), "2 to 255, the background included");
    job.samples = read_samples(json["samples"], true);
    if (job.samples.empty()) refuse("samples", "empty", "at least one photo with a mask");
    job.validation = read_samples(json["validation"], false);
    job.network = {json["network"]["name"].text(), read_scales(json["network"]["msc"]), json["network"]["weights"].optional_text()};
    job.training = read_training(json["training"]);
    const Member every = json["every"];
    job.every = {every["log"].integer(1), every["checkpoint"].integer(1), every["validation"].integer(1)};
    job.pictures = json["pictures"].integer(0);
    job.device = json["device"].text();
    job.threads = static_cast<int>(json["threads"].integer(1, 1024));
    job.loaders = static_cast<int>(json["loaders"].integer(1, 256));
    job.seed = static_cast<uint64_t>(json["seed"].integer(0));
    return job;
  });
}

PredictJob read_predict_job(const std::string& path) {
  return read_job(path, [](const Member& json) {
    PredictJob job{json["weights"].text(), read_scales(json["scales"]), json["flip"].boolean(), json["device"].text(),
                   static_cast<int>(json["threads"].integer(1, 1024))};
    if (job.scales.empty()) refuse("scales", "empty", "at least one scale, such as [1]");
    return job;
  });
}

}  // namespace clip_es::train
