/**
 * Streams and events. Work is done as late as a driver may do it: when somebody waits. So what is read without waiting is
 * not there yet, and memory of the host that changes before a copy was waited for is copied as it is then.
 *
 * There is no default stream: who launches on it does not say in which order.
 */
#include "state.h"
#include <chrono>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <set>

namespace emulator {

namespace {

struct Event {
  /** How often it was recorded, and how often a stream has come to that. */
  unsigned recorded = 0;
  unsigned reached = 0;
  std::chrono::steady_clock::time_point at;
};

/** What was queued, and whom it needs until it is done: modules, and numbers that may be addresses of memory. */
struct Work {
  std::function<Result()> run;
  std::vector<std::uint64_t> needs;
};

struct Stream {
  std::deque<Work> work;
};

template <typename Thing> struct Things {
  std::set<std::unique_ptr<Thing>> all;

  std::uint64_t add() { return reinterpret_cast<std::uint64_t>(all.insert(std::make_unique<Thing>()).first->get()); }
  auto find(std::uint64_t handle) {
    auto at = all.begin();
    while (at != all.end() && reinterpret_cast<std::uint64_t>(at->get()) != handle) ++at;
    return at;
  }
  Thing *get(std::uint64_t handle) {
    const auto at = find(handle);
    return at == all.end() ? nullptr : at->get();
  }
};

Things<Stream> streams;
Things<Event> events;

Result no_stream() { return refuse(INVALID_HANDLE, "expected a stream that was made and not given back"); }
Result no_event() { return refuse(INVALID_HANDLE, "expected an event that was made and not given back"); }

/** Does what was queued, in order, until something fails. */
Result do_work(Stream &stream) {
  while (!stream.work.empty()) {
    const auto work = std::move(stream.work.front());
    stream.work.pop_front();
    if (const Result wrong = work.run()) {
      stream.work.clear();
      return wrong;
    }
  }
  return SUCCESS;
}

Result queue(std::uint64_t handle, std::function<Result()> run, std::vector<std::uint64_t> needs = {}) {
  Stream *stream = streams.get(handle);
  if (stream == nullptr) return no_stream();
  stream->work.push_back({std::move(run), std::move(needs)});
  return SUCCESS;
}

/** Queues what touches device memory, which must be there now and then. */
Result queue_on_memory(std::uint64_t stream, std::uint64_t address, std::size_t bytes, std::function<void()> work) {
  if (!is_device(address, bytes)) return refuse(INVALID_VALUE, "expected memory of the device");
  const auto run = [=] {
    if (!is_device(address, bytes)) return fail(ILLEGAL_ADDRESS, "expected memory that was not given back");
    work();
    return SUCCESS;
  };
  return queue(stream, run, {address});
}

} // namespace

Result queue_tasks(std::uint64_t stream, std::vector<Task> tasks) {
  std::vector<std::uint64_t> needs;
  for (const Task &task : tasks) {
    needs.push_back(task.function->module);
    needs.insert(needs.end(), task.arguments.begin(), task.arguments.end());
  }
  const auto run = [tasks = std::move(tasks)] {
    for (const Task &task : tasks)
      if (const Result wrong = run_task(task)) return wrong;
    return SUCCESS;
  };
  return queue(stream, run, std::move(needs));
}

bool is_awaited(std::uint64_t start, std::size_t bytes) {
  for (const auto &stream : streams.all)
    for (const Work &work : stream->work)
      for (const std::uint64_t need : work.needs)
        if (need >= start && need - start < bytes) return true;
  return false;
}

std::size_t count_streams() { return streams.all.size(); }
std::size_t count_events() { return events.all.size(); }

} // namespace emulator

using namespace emulator;

#pragma GCC visibility push(default)
extern "C" {

int cuStreamCreate(std::uint64_t *stream, unsigned flags) {
  if (const Result now = enter()) return now;
  constexpr unsigned NON_BLOCKING = 1;
  if (flags != NON_BLOCKING) return refuse(INVALID_VALUE, "expected a stream that does not wait for the default one");
  *stream = streams.add();
  return SUCCESS;
}

int cuStreamSynchronize(std::uint64_t stream) {
  // It waits even where it says that something has failed.
  const Result said = enter();
  Stream *found = streams.get(stream);
  if (found == nullptr) return no_stream();
  const Result done = do_work(*found);
  return said != SUCCESS ? said : done;
}

int cuStreamDestroy_v2(std::uint64_t stream) {
  const Result said = enter();
  const auto found = streams.find(stream);
  if (found == streams.all.end()) return no_stream();
  // What is under way is finished; nobody hears how.
  do_work(**found);
  streams.all.erase(found);
  return said;
}

int cuMemcpyHtoDAsync_v2(std::uint64_t to, const void *from, std::size_t bytes, std::uint64_t stream) {
  if (const Result now = enter()) return now;
  return queue_on_memory(stream, to, bytes, [=] { std::memcpy(reinterpret_cast<void *>(to), from, bytes); });
}

int cuMemcpyDtoHAsync_v2(void *to, std::uint64_t from, std::size_t bytes, std::uint64_t stream) {
  if (const Result now = enter()) return now;
  return queue_on_memory(stream, from, bytes, [=] { std::memcpy(to, reinterpret_cast<const void *>(from), bytes); });
}

int cuMemsetD8Async(std::uint64_t to, unsigned char value, std::size_t bytes, std::uint64_t stream) {
  if (const Result now = enter()) return now;
  return queue_on_memory(stream, to, bytes, [=] { std::memset(reinterpret_cast<void *>(to), value, bytes); });
}

int cuLaunchKernel(
  std::uint64_t function, unsigned blocks_x, unsigned blocks_y, unsigned blocks_z, unsigned threads_x,
  unsigned threads_y, unsigned threads_z, unsigned shared, std::uint64_t stream, std::uint64_t parameters,
  std::uint64_t extra
) {
  if (const Result now = enter()) return now;
  if (extra != 0) return refuse(INVALID_VALUE, "expected arguments in one way, got two");
  Task task;
  const Triple blocks = {blocks_x, blocks_y, blocks_z};
  const Triple threads = {threads_x, threads_y, threads_z};
  if (const Result wrong = make_task(task, function, blocks, threads, shared, parameters)) return wrong;
  return queue_tasks(stream, {task});
}

int cuEventCreate(std::uint64_t *event, unsigned flags) {
  if (const Result now = enter()) return now;
  if (flags != 0) return refuse(INVALID_VALUE, "expected an event that takes the time");
  *event = events.add();
  return SUCCESS;
}

int cuEventRecord(std::uint64_t event, std::uint64_t stream) {
  if (const Result now = enter()) return now;
  Event *found = events.get(event);
  if (found == nullptr) return no_event();
  const unsigned number = found->recorded + 1;
  const Result queued = queue(stream, [=] {
    if (Event *still = events.get(event)) {
      still->reached = number;
      still->at = std::chrono::steady_clock::now();
    }
    return SUCCESS;
  });
  if (queued == SUCCESS) found->recorded = number;
  return queued;
}

int cuEventElapsedTime(float *milliseconds, std::uint64_t start, std::uint64_t end) {
  if (const Result now = enter()) return now;
  const Event *first = events.get(start);
  const Event *last = events.get(end);
  if (first == nullptr || last == nullptr) return no_event();
  if (first->recorded == 0 || last->recorded == 0)
    return refuse(INVALID_HANDLE, "expected two events that were recorded");
  if (first->reached != first->recorded || last->reached != last->recorded)
    return refuse(NOT_READY, "expected two events that were waited for");
  *milliseconds = std::chrono::duration<float, std::milli>(last->at - first->at).count();
  return SUCCESS;
}

int cuEventDestroy_v2(std::uint64_t event) {
  const Result said = enter();
  const auto found = events.find(event);
  if (found == events.all.end()) return no_event();
  events.all.erase(found);
  return said;
}

} // extern "C"
#pragma GCC visibility pop
