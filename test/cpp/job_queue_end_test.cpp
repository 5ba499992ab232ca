// How jobs of the add-on's queue end: failures, rejection, exclusive jobs, stop(), and threads that cannot be started.
#include <pthread.h>

#include <atomic>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>

#include "check.h"
#include "core/error.h"
#include "job_queue_support.h"

namespace clip_es::job_queue_end_test {

using namespace job_queue_support;

namespace {

// While this object exists, the system cannot start threads: each would get a stack of more memory than a process can address.
class NoFurtherThreads {
 public:
  NoFurtherThreads() {
    pthread_getattr_default_np(&before_);
    pthread_attr_t huge = before_;
    pthread_attr_setstacksize(&huge, size_t{1} << 48);
    pthread_setattr_default_np(&huge);
  }
  ~NoFurtherThreads() { pthread_setattr_default_np(&before_); }
  NoFurtherThreads(const NoFurtherThreads&) = delete;
  NoFurtherThreads& operator=(const NoFurtherThreads&) = delete;

 private:
  pthread_attr_t before_;
};

}  // namespace

TEST("Job queue: what a job throws becomes its failure, and the next job runs") {
  TestQueue queue;
  queue->push(new_job(0, [](const JobContext&) { throw Error(ErrorCode::kModelRead, "model.pt: cannot be opened"); }));
  queue->push(new_job(1, [](const JobContext&) { throw std::bad_alloc(); }));
  queue->push(new_job(2, [](const JobContext&) { throw std::runtime_error("index 3 of 2"); }));
  queue->push(new_job(3, [](const JobContext&) { throw 42; }));
  queue->push(new_job(4, [](const JobContext&) { throw Cancelled{}; }));
  queue->push(new_job(5));
  CHECK(queue.wait_for(6));
  CHECK(queue.code(0) == "ERR_MODEL_READ" && queue.find(0)->failure->message == "model.pt: cannot be opened");
  CHECK(queue.code(1) == "ERR_OUT_OF_MEMORY");
  CHECK(queue.code(2) == "ERR_INTERNAL");
  CHECK(queue.find(2)->failure->message.find("This is a bug in clip-es: index 3 of 2; please report it") == 0);
  CHECK(queue.code(3) == "ERR_INTERNAL");
  CHECK(queue.code(4) == "CANCELLED");
  CHECK(queue.code(5).empty());
}

TEST("Job queue: a batch that throws fails all its jobs; the failure of one job does not affect the others") {
  TestQueue queue({.concurrency = 1, .max_batch = 3, .max_delay = std::chrono::hours(1)},
                  [](std::span<const std::unique_ptr<Job>> jobs, const JobContext&) {
                    if (jobs.front()->id == 0) throw Error(ErrorCode::kOutOfMemory, "the batch is too large");
                    jobs[1]->failure = to_failure(std::make_exception_ptr(Error(ErrorCode::kInvalidArg, "wrong")));
                    jobs[2]->failure = to_failure(nullptr);
                  });
  for (uint32_t id = 0; id < 6; ++id) queue->push(new_batch_job(id));
  CHECK(queue.wait_for(6));
  for (const uint32_t id : {0, 1, 2}) {
    CHECK(queue.code(id) == "ERR_OUT_OF_MEMORY");
    CHECK(queue.find(id)->failure->message == "the batch is too large");
  }
  CHECK(queue.code(3).empty());
  CHECK(queue.code(4) == "ERR_INVALID_ARG");
  CHECK(queue.code(5).empty());
}

TEST("Job queue: reject_waiting() settles all waiting jobs with its failure, and the queue goes on") {
  Blocker gate;
  TestQueue queue;
  queue->push(new_job(1, gate.work()));
  CHECK(gate.started.wait());
  for (const uint32_t id : {2, 3, 4}) queue->push(new_job(id));
  queue->reject_waiting({"ERR_TEST", "rejected"});
  CHECK(queue.ids() == (std::vector<uint32_t>{2, 3, 4}));
  for (const uint32_t id : {2, 3, 4}) CHECK(queue.code(id) == "ERR_TEST");
  queue->push(new_job(5));
  gate.released.set();
  CHECK(queue.wait_for(5));
  CHECK(queue.code(1).empty() && queue.code(5).empty());
}

TEST("Job queue: an exclusive job starts when all threads are idle, and nothing starts before it has ended") {
  Blocker first, second, exclusive, after;
  TestQueue queue({.concurrency = 2});
  queue->push(new_job(1, first.work()));
  CHECK(first.started.wait());
  queue->push(new_job(2, second.work()));
  CHECK(second.started.wait());
  queue->push(new_exclusive_job(3, exclusive.work()));
  queue->push(new_job(4, after.work()));
  first.released.set();
  CHECK(queue.wait_for(1));
  CHECK(!exclusive.started.wait(kShort));  // thread 0 is idle, thread 1 is busy
  second.released.set();
  CHECK(exclusive.started.wait());
  CHECK(!after.started.wait(kShort));
  exclusive.released.set();
  after.released.set();
  CHECK(queue.wait_for(4));
  CHECK(queue.ids() == (std::vector<uint32_t>{1, 2, 3, 4}));
}

TEST("Job queue: an exclusive job starts after the jobs before it are settled") {
  Event settling, released;
  Blocker exclusive;
  std::atomic<int> settled{0};
  JobQueue queue([&](std::unique_ptr<Job> job) {
    if (job->id == 2) {
      settling.set();
      released.wait();
    }
    ++settled;
  });
  queue.configure({.concurrency = 2});
  Blocker first;
  queue.push(new_job(1, first.work()));
  CHECK(first.started.wait());
  queue.push(new_job(2));
  CHECK(settling.wait());
  queue.push(new_exclusive_job(3, exclusive.work()));
  first.released.set();
  CHECK(!exclusive.started.wait(kShort));
  released.set();
  CHECK(exclusive.started.wait());
  CHECK(settled == 2);
  exclusive.released.set();
  while (settled < 3) std::this_thread::yield();
}

TEST("Job queue: stop() cancels running jobs, waits for them, and rejects waiting and later ones with ERR_CLOSED") {
  std::atomic<int> running{0};
  TestQueue queue({.concurrency = 2, .max_batch = 2}, [&](std::span<const std::unique_ptr<Job>> jobs, const JobContext& context) {
    ++running;
    wait_until_cancelled(context.cancelled);
    const bool all = std::ranges::all_of(jobs, [](const auto& job) { return job->cancelled.load(); });
    --running;
    if (all) throw Cancelled{};
  });
  Event started;
  queue->push(new_job(1, [&](const JobContext& context) {
    ++running;
    started.set();
    wait_until_cancelled(context.cancelled);
    --running;
    throw Cancelled{};
  }));
  CHECK(started.wait());
  for (const uint32_t id : {2, 3, 4, 5}) queue->push(new_batch_job(id));
  while (running < 2) std::this_thread::yield();
  queue->stop();
  CHECK(running == 0);
  CHECK(queue.ids().size() == 5);
  for (const uint32_t id : {1, 2}) CHECK(queue.code(id) == "CANCELLED");
  for (const uint32_t id : {4, 5}) CHECK(queue.code(id) == "ERR_CLOSED");
  queue->push(new_job(6));
  CHECK(queue.code(6) == "ERR_CLOSED");
  CHECK(queue.find(6)->failure->message.find("the job cannot run") == 0);
  queue->stop();
  CHECK(queue.ids().size() == 6);
}

TEST("Job queue: threads that cannot be started are ERR_OUT_OF_MEMORY, and the queue works on with those it has") {
  {
    const NoFurtherThreads limit;
    CHECK_ERROR(JobQueue([](std::unique_ptr<Job>) {}), ErrorCode::kOutOfMemory, "the system could not start another thread (");
  }
  Blocker first, second;
  TestQueue queue;
  {
    const NoFurtherThreads limit;
    CHECK_ERROR(queue->configure({.concurrency = 2}), ErrorCode::kOutOfMemory, "close segmenters that are not needed");
  }
  queue->push(new_job(1, first.work()));
  CHECK(first.started.wait());
  queue->push(new_job(2, second.work()));
  queue->push(new_job(3));
  CHECK(!second.started.wait(kShort));
  first.released.set();
  CHECK(second.started.wait());
  CHECK(second.active_threads == 1);
  second.released.set();
  CHECK(queue.wait_for(3));
  queue->configure({.concurrency = 2});
  Blocker fourth, fifth;
  queue->push(new_job(4, fourth.work()));
  queue->push(new_job(5, fifth.work()));
  CHECK(fourth.started.wait() && fifth.started.wait());
  fourth.released.set();
  fifth.released.set();
  CHECK(queue.wait_for(5));
}

TEST("Job queue: each job is settled once, even if jobs are cancelled, rejected and stopped at the same time") {
  std::atomic<int> running{0}, most{0};
  for (uint32_t round = 0; round < 20; ++round) {
    const uint32_t count = 200;
    std::vector<std::atomic<int>> settled(count);
    std::atomic<uint32_t> ended{0};
    const auto run = [&] {
      const int now = ++running;
      for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
      }
      std::this_thread::yield();
      --running;
    };
    {
      JobQueue queue(
          [&](std::unique_ptr<Job> job) {
            ++settled[job->id];
            ++ended;
          },
          [&](std::span<const std::unique_ptr<Job>> jobs, const JobContext&) {
            run();
            jobs.back()->failure = Failure::cancelled();
          });
      queue.configure({.concurrency = 4, .max_batch = 1 + round % 3, .max_delay = std::chrono::microseconds(round % 2 * 50)});
      for (uint32_t id = 0; id < count; ++id) {
        if (id % 3 == 0) queue.push(new_batch_job(id));
        else if (id % 31 == 0) queue.push(new_exclusive_job(id, [&](const JobContext&) { run(); }));
        else queue.push(new_job(id, [&](const JobContext&) { run(); }));
        if (id % 7 == round % 7) queue.cancel(id - id % 5);
        while (id == 149 && ended < 100) std::this_thread::yield();  // the threads are running by now
        if (id == 150) queue.reject_waiting(Failure::stopped());
        if (id == 190 && round % 2) queue.stop();
      }
    }
    for (const auto& times : settled) CHECK(times == 1);
  }
  CHECK(running == 0 && most >= 1 && most <= 4);
}

}  // namespace clip_es::job_queue_end_test
