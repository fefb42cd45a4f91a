/**
 * CUDA graphs: launches that come again and again, as every token of a text brings them, handed to the device at once.
 *
 * A sequence of launches is identified by its kernels. When it comes a second time it is made a graph, a node for each
 * launch, each after those whose numbers it needs (footprint.ts); from then on only the nodes are changed whose
 * arguments or grids have changed, and one call starts all of them. Launches in another order, or such that must wait for
 * one another in another way, are no match: they go one by one, as if there were no graphs. Results cannot tell.
 */
import type { Driver } from './driver.ts'
import { footprintOf, Order, type Footprint } from './footprint.ts'
import type { LaunchMemory, Task } from './launch_memory.ts'

/** Launches of a graph at the most: what is longer is cut, so that the device does not wait for all of it. */
export const MAX_NODES = 64
/** Fewer are not worth one. */
export const FEWEST_NODES = 4
/** Sequences that are remembered, with a graph or seen once; the least recently used one is forgotten. */
export const MAX_KNOWN = 64

/** What a device has done by graphs. */
export interface GraphCounts {
  /** Graphs that were made. */
  readonly built: number
  /** Times that one was launched. */
  readonly launched: number
  /** Nodes whose parameters were changed. */
  readonly updated: number
}

/** The graphs of one device. */
export class Graphs {
  readonly #driver: Driver
  readonly #memory: LaunchMemory
  /** By the kernels' ids; null: seen once. */
  readonly #known = new Map<string, KernelGraph | null>()
  readonly #counts = { built: 0, launched: 0, updated: 0 }

  constructor(driver: Driver, memory: LaunchMemory) {
    this.#driver = driver
    this.#memory = memory
  }

  get counts(): GraphCounts {
    return { ...this.#counts }
  }

  /**
   * Launches by a graph what is worth one.
   * @returns whether it did; else nothing was launched
   * @throws MissingError CUDA_CALL
   */
  run(tasks: readonly Task[], stream: number): boolean {
    if (tasks.length < FEWEST_NODES) return false
    const key = String.fromCharCode(...tasks.map(({ kernel }) => kernel.id))
    const graph = this.#known.get(key)
    if (graph === undefined) {
      this.#remember(key, null)
      return false
    }
    const fitting = graph ?? this.#build(key, tasks)
    const updated = fitting.adopt(tasks)
    if (updated === null) {
      // Others of the same kernels have come: the next of them get the graph.
      fitting.destroy()
      this.#remember(key, null)
      return false
    }
    this.#remember(key, fitting)
    this.#driver.call('cuGraphLaunch', fitting.executable, stream)
    this.#counts.launched++
    this.#counts.updated += updated
    return true
  }

  /** Gives all of them back, as far as the driver still does that. */
  destroy(): void {
    for (const graph of this.#known.values()) graph?.destroy()
    this.#known.clear()
  }

  #build(key: string, tasks: readonly Task[]): KernelGraph {
    const graph = new KernelGraph(this.#driver, this.#memory, tasks)
    this.#known.set(key, graph)
    this.#counts.built++
    return graph
  }

  /** As the one that was used last. */
  #remember(key: string, graph: KernelGraph | null): void {
    this.#known.delete(key)
    this.#known.set(key, graph)
    if (this.#known.size <= MAX_KNOWN) return
    const [[oldest, forgotten]] = this.#known
    this.#known.delete(oldest)
    forgotten?.destroy()
  }
}

/** One graph, in the form that can be launched. */
class KernelGraph {
  readonly #driver: Driver
  readonly #memory: LaunchMemory
  readonly #order: Order
  /** What its nodes are set to. */
  readonly #tasks: Task[]
  readonly #nodes: number[] = []
  readonly #graph: number
  /** CUgraphExec. */
  readonly executable: number

  /** @throws MissingError CUDA_CALL; nothing is held then */
  constructor(driver: Driver, memory: LaunchMemory, tasks: readonly Task[]) {
    this.#driver = driver
    this.#memory = memory
    this.#tasks = [...tasks]
    this.#order = new Order(tasks.map(footprintOf))
    this.#graph = driver.create('cuGraphCreate', 0)
    try {
      for (const [i, waits] of this.#order.waits().entries()) this.#nodes.push(this.#addNode(tasks[i], waits))
      this.executable = driver.create('cuGraphInstantiateWithFlags', this.#graph, 0)
    } catch (error) {
      driver.tryCall('cuGraphDestroy', this.#graph)
      throw error
    }
  }

  /**
   * Sets the nodes to these launches of the same kernels.
   * @returns how many of them were changed; null if the launches must keep another order: none was, then
   */
  adopt(tasks: readonly Task[]): number | null {
    const changed = tasks.flatMap((task, i) => (isSame(task, this.#tasks[i]) ? [] : [i]))
    const footprints = new Map<number, Footprint>()
    for (const i of changed) footprints.set(i, footprintOf(tasks[i]))
    if (!this.#order.adopt(footprints)) return null
    for (const i of changed) {
      const parameters = this.#memory.placeNode(tasks[i])
      this.#driver.call('cuGraphExecKernelNodeSetParams_v2', this.executable, this.#nodes[i], parameters)
      this.#tasks[i] = tasks[i]
    }
    return changed.length
  }

  destroy(): void {
    this.#driver.tryCall('cuGraphExecDestroy', this.executable)
    this.#driver.tryCall('cuGraphDestroy', this.#graph)
  }

  #addNode(task: Task, waits: readonly number[]): number {
    const before = BigUint64Array.from(waits, (place) => BigInt(this.#nodes[place]))
    const parameters = this.#memory.placeNode(task)
    return this.#driver.create('cuGraphAddKernelNode_v2', this.#graph, before, before.length, parameters)
  }
}

function isSame(one: Task, other: Task): boolean {
  const [a, b] = [one.launch, other.launch]
  if (a.blocks !== b.blocks || a.threads !== b.threads || a.shared !== b.shared) return false
  return one.args.every((value, i) => Object.is(value, other.args[i]))
}
