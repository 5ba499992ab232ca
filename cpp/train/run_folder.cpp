#include "run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <sstream>

#include "core/error.h"
#include "core/json.h"
#include "core/platform/file.h"
#include "files.h"

namespace clip_es::train {
namespace {

// False for a line that a killed process did not complete.
bool is_kept(const std::string& line, int64_t last_iteration) {
  const Json json = Json::parse(line, nullptr, false);
  return json.is_object() && json.contains("iteration") && json["iteration"].is_number_integer() &&
         json["iteration"].get<int64_t>() <= last_iteration;
}

}  // namespace

RunLock::RunLock(const std::string& run) {
  const std::string path = run + "/lock";
  file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (file_ < 0)
    throw Error(ErrorCode::kIo, path + " cannot be created: " + std::strerror(errno) + "; choose a folder that you may write to");
  if (flock(file_, LOCK_EX | LOCK_NB) == 0) return;
  ::close(file_);
  throw Error(ErrorCode::kInvalidArg, "another training runs in " + run + "; wait until it has ended, stop it, or choose another folder");
}

RunLock::~RunLock() { ::close(file_); }

Log::Log(const std::string& path, int64_t last_iteration) : path_(path) {
  std::istringstream old(platform::exists(path) ? read_file(path) : "");
  std::string kept;
  for (std::string line; std::getline(old, line);)
    if (is_kept(line, last_iteration)) kept += line + '\n';
  write_file(path, kept);
  file_.open(path, std::ios::app);
}

void Log::add(const std::string& line) {
  file_ << line << '\n' << std::flush;
  if (!file_)
    throw Error(ErrorCode::kIo, path_ + " cannot be written: " + std::strerror(errno) +
                                    "; make room and run the same command again: it continues from the last checkpoint");
}

std::string loss_line(int64_t iteration, double loss) { return Json{{"iteration", iteration}, {"loss", loss}}.dump(); }

std::string validation_line(const ValidationReport& report) {
  Json iou = Json::array();
  for (const std::optional<double>& value : report.iou) iou.push_back(value ? Json(*value) : Json(nullptr));
  return Json{{"iteration", report.iteration}, {"miou", report.miou}, {"iou", iou}}.dump();
}

}  // namespace clip_es::train
