// Ctrl-C and SIGTERM ask the program to save a checkpoint and end.
#pragma once

namespace clip_es::train {

void catch_stop_signals();
bool stop_requested();

}  // namespace clip_es::train
