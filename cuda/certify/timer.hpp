/**
 * How long work takes on the device: between two events where the driver has them, by the host's clock elsewhere.
 *
 * Work is done once unmeasured, then as often in a row as makes a sample long enough for the clock, and in several samples.
 */

#pragma once

#include "machine.hpp"

#include <algorithm>
#include <chrono>
#include <functional>
#include <vector>

namespace certify {

// Milliseconds of doing it once.
struct Times {
  double least = 0, median = 0;
  size_t samples = 0;
};

// Launches one after the other, each node of the graph depending on the one before.
class Graph {
public:
  Graph(Machine &machine, std::vector<Launch> &launches) : machine(machine), driver(machine.driver) {
    try {
      driver.check("cuGraphCreate", driver.cuGraphCreate(&graph, 0));
      Handle before = nullptr;
      for (Launch &launch : launches) {
        std::vector<void *> arguments = Machine::addresses(launch);
        const KernelNode node = {launch.function, launch.blocks, 1,       1,       launch.threads, 1, 1, launch.shared, arguments.data(),
                                 nullptr,         nullptr,       nullptr};
        Handle added = nullptr;
        driver.check("cuGraphAddKernelNode_v2", driver.cuGraphAddKernelNode_v2(&added, graph, &before, before ? 1 : 0, &node));
        before = added;
      }
      driver.check("cuGraphInstantiateWithFlags", driver.cuGraphInstantiateWithFlags(&executable, graph, 0));
    } catch (const Error &) {
      destroy();
      throw;
    }
  }

  Graph(const Graph &) = delete;
  Graph &operator=(const Graph &) = delete;
  ~Graph() { destroy(); }

  void launch() { driver.check("cuGraphLaunch", driver.cuGraphLaunch(executable, machine.stream)); }

private:
  Machine &machine;
  Driver &driver;
  Handle graph = nullptr, executable = nullptr;

  void destroy() {
    if (executable) driver.cuGraphExecDestroy(executable);
    if (graph) driver.cuGraphDestroy(graph);
  }
};

class Timer {
public:
  explicit Timer(Machine &machine) : machine(machine), driver(machine.driver) {
    if (!driver.hasEvents()) return;
    driver.check("cuEventCreate", driver.cuEventCreate(&begin, 0));
    driver.check("cuEventCreate", driver.cuEventCreate(&end, 0));
  }

  Timer(const Timer &) = delete;
  Timer &operator=(const Timer &) = delete;

  ~Timer() {
    for (const Handle event : {begin, end})
      if (event) driver.cuEventDestroy_v2(event);
  }

  // What the times are of.
  const char *clock() const { return begin ? "events" : "host"; }

  double leastOf(std::vector<Launch> &launches) {
    return timesOf([&] {
             for (Launch &launch : launches) machine.run(launch);
           }).least;
  }

  Times timesOf(const std::function<void()> &work) {
    work();
    const double first = sample(work, 1);
    // Over the emulator times mean nothing, and take long.
    const bool isOnce = driver.isEmulated;
    const size_t inRow = isOnce ? 1 : static_cast<size_t>(std::clamp(LONG_ENOUGH / std::max(first, 1e-4), 1.0, 1000.0));
    std::vector<double> all;
    double total = 0;
    while (all.empty() || (!isOnce && all.size() < MOST_SAMPLES && (all.size() < LEAST_SAMPLES || total < ENOUGH))) {
      const double milliseconds = sample(work, inRow);
      total += milliseconds;
      all.push_back(milliseconds / static_cast<double>(inRow));
    }
    std::sort(all.begin(), all.end());
    return {all.front(), all[all.size() / 2], all.size()};
  }

private:
  Machine &machine;
  Driver &driver;
  Handle begin = nullptr, end = nullptr;

  static constexpr double LONG_ENOUGH = 0.5, ENOUGH = 60; // milliseconds
  static constexpr size_t LEAST_SAMPLES = 5, MOST_SAMPLES = 200;

  double sample(const std::function<void()> &work, size_t times) {
    if (!begin) return sampleByHost(work, times);
    driver.check("cuEventRecord", driver.cuEventRecord(begin, machine.stream));
    for (size_t i = 0; i < times; i++) work();
    driver.check("cuEventRecord", driver.cuEventRecord(end, machine.stream));
    machine.wait();
    float milliseconds = 0;
    driver.check("cuEventElapsedTime", driver.cuEventElapsedTime(&milliseconds, begin, end));
    return milliseconds;
  }

  double sampleByHost(const std::function<void()> &work, size_t times) {
    machine.wait();
    const auto start = std::chrono::steady_clock::now();
    for (size_t i = 0; i < times; i++) work();
    machine.wait();
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  }
};

} // namespace certify
