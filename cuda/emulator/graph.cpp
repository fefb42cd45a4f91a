/**
 * Graphs of kernels: what depends on what is said, and nothing else is kept in order. Of the orders that are allowed the
 * one is taken that is farthest from the one nodes were added in: the latest node that may run runs first.
 */
#include "state.h"
#include <algorithm>
#include <map>
#include <memory>

namespace emulator {

namespace {

/** CUDA_KERNEL_NODE_PARAMS_v2. */
struct NodeParameters {
  std::uint64_t function;
  unsigned blocks_x, blocks_y, blocks_z;
  unsigned threads_x, threads_y, threads_z;
  unsigned shared;
  std::uint64_t parameters;
  std::uint64_t extra;
  /** A kernel and a context for those who have no function. */
  std::uint64_t kernel;
  std::uint64_t context;
};
static_assert(sizeof(NodeParameters) == 72);

struct Node {
  Task task;
  /** The nodes before it, by their places in the graph. */
  std::vector<std::size_t> after;
};

struct Graph {
  std::vector<std::unique_ptr<Node>> nodes;
};

/** CUgraphExec: a graph as it was when it was made, but for tasks that were changed since. */
struct Executable {
  std::uint64_t graph;
  std::vector<Task> tasks;
  /** In which order they run. */
  std::vector<std::size_t> order;
};

std::map<std::uint64_t, std::unique_ptr<Graph>> graphs;
std::map<std::uint64_t, std::unique_ptr<Executable>> executables;

Result no_graph() { return refuse(INVALID_VALUE, "expected a graph that was made and not given back"); }
Result no_executable() { return refuse(INVALID_VALUE, "expected a graph made to run and not given back"); }

template <typename Thing> Thing *get(const std::map<std::uint64_t, std::unique_ptr<Thing>> &all, std::uint64_t handle) {
  const auto found = all.find(handle);
  return found == all.end() ? nullptr : found->second.get();
}

template <typename Thing> std::uint64_t keep(std::map<std::uint64_t, std::unique_ptr<Thing>> &all, std::unique_ptr<Thing> thing) {
  const auto handle = reinterpret_cast<std::uint64_t>(thing.get());
  all[handle] = std::move(thing);
  return handle;
}

/** Where a node stands in a graph; -1 if it is none of its. */
std::ptrdiff_t place_of(const Graph &graph, std::uint64_t node) {
  for (std::size_t i = 0; i < graph.nodes.size(); i++)
    if (reinterpret_cast<std::uint64_t>(graph.nodes[i].get()) == node) return i;
  return -1;
}

Result read_task(Task &task, const NodeParameters *given) {
  if (given == nullptr) return refuse(INVALID_VALUE, "expected what a node runs");
  if (given->extra != 0) return refuse(INVALID_VALUE, "expected arguments in one way, got two");
  if (given->kernel != 0 || given->context != 0) return refuse(INVALID_VALUE, "expected a function alone");
  const Triple blocks = {given->blocks_x, given->blocks_y, given->blocks_z};
  const Triple threads = {given->threads_x, given->threads_y, given->threads_z};
  return make_task(task, given->function, blocks, threads, given->shared, given->parameters);
}

std::vector<std::size_t> latest_first(const Graph &graph) {
  const std::size_t count = graph.nodes.size();
  std::vector<std::size_t> order;
  std::vector<bool> done(count, false);
  while (order.size() < count) {
    std::size_t at = count;
    // A node only names nodes before it, so there is always one that may run.
    const auto may_run = [&](std::size_t i) {
      const auto &after = graph.nodes[i]->after;
      return !done[i] && std::all_of(after.begin(), after.end(), [&](std::size_t before) { return done[before]; });
    };
    do at--;
    while (!may_run(at));
    done[at] = true;
    order.push_back(at);
  }
  return order;
}

} // namespace

std::size_t count_graphs() { return graphs.size(); }
std::size_t count_executables() { return executables.size(); }

} // namespace emulator

using namespace emulator;

#pragma GCC visibility push(default)
extern "C" {

int cuGraphCreate(std::uint64_t *graph, unsigned flags) {
  if (const Result now = enter()) return now;
  if (flags != 0) return refuse(INVALID_VALUE, "expected flags of 0");
  *graph = keep(graphs, std::make_unique<Graph>());
  return SUCCESS;
}

int cuGraphAddKernelNode_v2(
  std::uint64_t *node, std::uint64_t graph, const std::uint64_t *after, std::size_t count, const void *parameters
) {
  if (const Result now = enter()) return now;
  Graph *found = get(graphs, graph);
  if (found == nullptr) return no_graph();
  auto made = std::make_unique<Node>();
  for (std::size_t i = 0; i < count; i++) {
    const std::ptrdiff_t place = place_of(*found, after[i]);
    if (place < 0) return refuse(INVALID_VALUE, "expected to come after nodes of the same graph");
    if (std::count(made->after.begin(), made->after.end(), (std::size_t)place) > 0)
      return refuse(INVALID_VALUE, "expected to come after a node once");
    made->after.push_back(place);
  }
  if (const Result wrong = read_task(made->task, static_cast<const NodeParameters *>(parameters))) return wrong;
  *node = reinterpret_cast<std::uint64_t>(made.get());
  found->nodes.push_back(std::move(made));
  return SUCCESS;
}

int cuGraphInstantiateWithFlags(std::uint64_t *executable, std::uint64_t graph, unsigned long long flags) {
  if (const Result now = enter()) return now;
  if (flags != 0) return refuse(INVALID_VALUE, "expected flags of 0");
  const Graph *found = get(graphs, graph);
  if (found == nullptr) return no_graph();
  auto made = std::make_unique<Executable>();
  made->graph = graph;
  for (const auto &node : found->nodes) made->tasks.push_back(node->task);
  made->order = latest_first(*found);
  *executable = keep(executables, std::move(made));
  return SUCCESS;
}

int cuGraphExecKernelNodeSetParams_v2(std::uint64_t executable, std::uint64_t node, const void *parameters) {
  if (const Result now = enter()) return now;
  Executable *found = get(executables, executable);
  if (found == nullptr) return no_executable();
  const Graph *graph = get(graphs, found->graph);
  const std::ptrdiff_t place = graph == nullptr ? -1 : place_of(*graph, node);
  if (place < 0) return refuse(INVALID_VALUE, "expected a node of the graph that this was made from");
  Task task;
  if (const Result wrong = read_task(task, static_cast<const NodeParameters *>(parameters))) return wrong;
  found->tasks[place] = task;
  return SUCCESS;
}

int cuGraphLaunch(std::uint64_t executable, std::uint64_t stream) {
  if (const Result now = enter()) return now;
  const Executable *found = get(executables, executable);
  if (found == nullptr) return no_executable();
  std::vector<Task> tasks;
  for (const std::size_t place : found->order) tasks.push_back(found->tasks[place]);
  return queue_tasks(stream, tasks);
}

int cuGraphExecDestroy(std::uint64_t executable) {
  const Result said = enter();
  return executables.erase(executable) == 1 ? said : no_executable();
}

int cuGraphDestroy(std::uint64_t graph) {
  const Result said = enter();
  return graphs.erase(graph) == 1 ? said : no_graph();
}

} // extern "C"
#pragma GCC visibility pop
