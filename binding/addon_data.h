// The add-on's data of one JavaScript environment. The main thread and every worker thread have an environment each.
#pragma once
#include <napi.h>

#include "promise_queue.h"

namespace clip_es::binding {

struct AddonData {
  Napi::FunctionReference encoded_image;  // constructor of the class
  OpenQueues open_queues;
};

}  // namespace clip_es::binding
