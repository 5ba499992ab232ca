// What the add-on keeps for each JavaScript environment (the main thread and every worker have their own).
#pragma once
#include <napi.h>

#include "job_queue.h"

namespace clip_es::binding {

struct AddonData {
  Napi::FunctionReference encoded_image;  // the class's constructor
  JobQueues queues;                       // that are open
};

}  // namespace clip_es::binding
