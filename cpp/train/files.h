// Reads and writes whole files. Failures are Error kIo with the path, the system's reason and the remedy.
#pragma once
#include <span>
#include <string>
#include <string_view>

namespace clip_es::train {

std::string read_file(const std::string& path, size_t limit = std::string::npos);  // the first `limit` bytes

// Writes a file of these parts. Other processes see the old file or the whole new one, also after a loss of power.
void write_file(const std::string& path, std::span<const std::string_view> parts);
void write_file(const std::string& path, std::string_view content);

// Creates the folder and those above it. No error if it exists.
void make_folder(const std::string& path);

}  // namespace clip_es::train
