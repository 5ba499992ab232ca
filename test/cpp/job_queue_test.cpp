// The add-on's queue of jobs, without JavaScript.
#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "check.h"
#include "core/error.h"
#include "job_queue_support.h"

namespace clip_es::job_queue_test {

using namespace job_queue_support;
using Ids = std::vector<uint32_t>;

TEST("Job queue: runs one job at a time, in the order of push(), on its own thread") {
  std::vector<uint32_t> order;  // written without a lock: one thread at a time
  std::thread::id thread;
  TestQueue queue;
  for (uint32_t id = 0; id < 50; ++id)
    queue->push(new_job(id, [&, id](const JobContext& context) {
      order.push_back(id);
      thread = std::this_thread::get_id();
      if (context.thread != 0 || context.active_threads != 1) throw std::logic_error("one thread was expected");
    }));
  CHECK(queue.wait_for(50));
  CHECK(order == queue.ids());
  for (uint32_t id = 0; id < 50; ++id) CHECK(order[id] == id && queue.code(id).empty());
  CHECK(thread != std::this_thread::get_id());
}

TEST("Job queue: as many jobs run at the same time as its concurrency, the first on thread 0") {
  Blocker blockers[4];
  TestQueue queue({.concurrency = 3});
  for (uint32_t id = 0; id < 3; ++id) {
    queue->push(new_job(id, blockers[id].work()));
    CHECK(blockers[id].started.wait());
    CHECK((blockers[id].thread == 0) == (id == 0));
    CHECK(blockers[id].active_threads == static_cast<int>(id) + 1);
  }
  queue->push(new_job(3, blockers[3].work()));
  CHECK(!blockers[3].started.wait(kShort));
  blockers[1].released.set();
  CHECK(blockers[3].started.wait());
  CHECK(blockers[1].thread != blockers[2].thread);
  CHECK(blockers[3].thread == blockers[1].thread && blockers[3].active_threads == 3);
  for (Blocker& blocker : blockers) blocker.released.set();
  CHECK(queue.wait_for(4));
}

TEST("Job queue: thread 0 takes the next job if it is idle, and no thread does if concurrency was lowered") {
  Blocker first, second;
  TestQueue queue({.concurrency = 2});
  for (uint32_t id = 0; id < 20; ++id) {
    queue->push(new_job(id, [](const JobContext& context) {
      if (context.thread != 0) throw std::logic_error("thread 0 was idle");
    }));
    CHECK(queue.wait_for(id + 1));
    CHECK(queue.code(id).empty());
  }
  queue->configure({.concurrency = 1});
  queue->push(new_job(20, first.work()));
  queue->push(new_job(21, second.work()));
  CHECK(first.started.wait());
  CHECK(!second.started.wait(kShort));
  first.released.set();
  second.released.set();
  CHECK(queue.wait_for(22));
}

TEST("Job queue: active_threads counts busy threads and those that are about to start, up to the concurrency") {
  for (const auto& [waiting, expected] : {std::pair{1, 1}, {2, 1}, {3, 2}, {5, 3}, {9, 3}}) {
    Blocker gate;
    std::atomic<int> seen{0};
    // With max_batch 2, three jobs need two threads.
    TestQueue queue({.concurrency = 3, .max_batch = 2}, [&](std::span<const std::unique_ptr<Job>> jobs, const JobContext& context) {
      if (jobs.front()->id == 1) seen = context.active_threads;
    });
    queue->push(new_exclusive_job(0, gate.work()));
    CHECK(gate.started.wait());
    for (int id = 1; id <= waiting; ++id) queue->push(new_batch_job(static_cast<uint32_t>(id)));
    gate.released.set();
    CHECK(queue.wait_for(static_cast<size_t>(waiting) + 1));
    CHECK(seen == expected);
  }
}

TEST("Job queue: a batch holds neighbours in the queue that can join, and no more than max_batch") {
  Blocker gate;
  std::vector<Ids> batches;
  TestQueue queue({.concurrency = 1, .max_batch = 3}, [&](std::span<const std::unique_ptr<Job>> jobs, const JobContext&) {
    batches.emplace_back();
    for (const auto& job : jobs) batches.back().push_back(job->id);
  });
  queue->push(new_job(0, gate.work()));
  for (const uint32_t id : {1, 2, 3, 4, 5}) queue->push(new_batch_job(id));
  queue->push(new_job(6, [&](const JobContext&) { batches.push_back({6}); }));
  queue->push(new_batch_job(7));
  gate.released.set();
  CHECK(queue.wait_for(8));
  CHECK(batches == (std::vector<Ids>{{1, 2, 3}, {4, 5}, {6}, {7}}));
  CHECK(queue.ids() == (Ids{0, 1, 2, 3, 4, 5, 6, 7}));
}

TEST("Job queue: a batch waits for max_delay, but not if it is full or another kind of job waits behind it") {
  size_t last_size = 0;
  const auto run_batch = [&](std::span<const std::unique_ptr<Job>> jobs, const JobContext&) { last_size = jobs.size(); };
  {
    TestQueue queue({.concurrency = 1, .max_batch = 3, .max_delay = std::chrono::milliseconds(200)}, run_batch);
    queue->push(new_batch_job(1));
    queue->push(new_batch_job(2));
    CHECK(queue.wait_for(2));
    CHECK(last_size == 2);
    CHECK(queue.find(1)->queue_seconds >= 0.2);
    CHECK(queue.find(2)->queue_seconds < queue.find(1)->queue_seconds);
  }
  TestQueue queue({.concurrency = 1, .max_batch = 3, .max_delay = std::chrono::hours(1)}, run_batch);
  for (const uint32_t id : {1, 2, 3}) queue->push(new_batch_job(id));
  CHECK(queue.wait_for(3));
  CHECK(last_size == 3);
  queue->push(new_batch_job(4));
  CHECK(!queue.find(4));
  queue->push(new_job(5));
  CHECK(queue.wait_for(5));
  CHECK(last_size == 1);
  queue->push(new_batch_job(6));
  queue->cancel(6);
  CHECK(queue.code(6) == "CANCELLED");
  queue->push(new_batch_job(7));
  queue->stop();
  CHECK(queue.code(7) == "ERR_CLOSED");
}

TEST("Job queue: cancel() settles a waiting job at once and never runs it") {
  Blocker gate;
  std::atomic<bool> ran{false};
  TestQueue queue;
  queue->push(new_job(1, gate.work()));
  CHECK(gate.started.wait());
  queue->push(new_job(2, [&](const JobContext&) { ran = true; }));
  queue->push(new_job(3));
  queue->cancel(2);
  queue->cancel(99);  // there is no such job
  CHECK(queue.ids() == (Ids{2}));
  CHECK(queue.code(2) == "CANCELLED");
  gate.released.set();
  CHECK(queue.wait_for(3));
  CHECK(!ran && queue.code(1).empty() && queue.code(3).empty());
}

TEST("Job queue: cancel() of the job in front lets the next one start") {
  Blocker gate, next;
  TestQueue queue({.concurrency = 2});
  queue->push(new_job(1, gate.work()));
  CHECK(gate.started.wait());
  queue->push(new_exclusive_job(2, [](const JobContext&) {}));
  queue->push(new_job(3, next.work()));
  CHECK(!next.started.wait(kShort));
  queue->cancel(2);
  CHECK(next.started.wait());
  gate.released.set();
  next.released.set();
  CHECK(queue.wait_for(3));
}

TEST("Job queue: cancel() reaches a running job, and no other") {
  Event started;
  Blocker other;
  TestQueue queue({.concurrency = 2});
  queue->push(new_job(1, [&](const JobContext& context) {
    started.set();
    wait_until_cancelled(context.cancelled);
    if (context.cancelled) throw Cancelled{};
  }));
  CHECK(started.wait());
  queue->push(new_job(2, [&](const JobContext& context) {
    other.work()(context);
    if (context.cancelled) throw Cancelled{};
  }));
  CHECK(other.started.wait());
  queue->cancel(1);
  CHECK(queue.wait_for(1));
  CHECK(queue.code(1) == "CANCELLED" && queue.find(1)->cancelled);
  other.released.set();
  CHECK(queue.wait_for(2));
  CHECK(queue.code(2).empty() && !queue.find(2)->cancelled);
  queue->push(new_job(3, [](const JobContext& context) {
    if (context.cancelled) throw Cancelled{};
  }));
  CHECK(queue.wait_for(3));
  CHECK(queue.code(3).empty());
}

TEST("Job queue: a running batch is cancelled once each of its jobs is") {
  Event started, one_cancelled, checked;
  bool as_expected = false;
  TestQueue queue({.concurrency = 1, .max_batch = 2, .max_delay = std::chrono::hours(1)},
                  [&](std::span<const std::unique_ptr<Job>> jobs, const JobContext& context) {
                    started.set();
                    one_cancelled.wait();
                    as_expected = !context.cancelled && jobs[0]->cancelled && !jobs[1]->cancelled;
                    checked.set();
                    wait_until_cancelled(context.cancelled);
                    if (context.cancelled) throw Cancelled{};
                  });
  queue->push(new_batch_job(1));
  queue->push(new_batch_job(2));
  CHECK(started.wait());
  queue->cancel(1);
  one_cancelled.set();
  CHECK(checked.wait());
  CHECK(as_expected);
  queue->cancel(2);
  CHECK(queue.wait_for(2));
  CHECK(queue.code(1) == "CANCELLED" && queue.code(2) == "CANCELLED");
}

}  // namespace clip_es::job_queue_test
