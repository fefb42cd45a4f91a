/**
 * Threads of this machine that run jobs, each with its own copy of a model: where the model is, and how many threads to use.
 */
import type { BackendName } from '../backends/backend.ts'
import type { ModelConfig } from '../engine/config.ts'
import { parameterShapes } from '../engine/program.ts'
import { machine } from '../platform/platform.ts'
import type { MethodHash } from '../results/method_hash.ts'

/** The model that threads open. */
export interface ThreadModel {
  /** A folder, or a file of weights next to its configuration. */
  readonly path: string
  readonly backend: BackendName
}

/** The start message of a thread. */
export interface ThreadStart extends ThreadModel {
  /** The hashes that jobs require, see `JobModel`. */
  readonly hash: string
  readonly method: MethodHash
}

/** The least examples per thread: fewer are done before a thread has opened its model. */
const MIN_EXAMPLES = 16

/**
 * The number of threads for a calibration: as many as run at once, at most eight, such that their models fit into half of
 * the free memory and each has enough examples.
 */
export function defaultThreads(config: ModelConfig, examples: number): number {
  let weights = 0
  for (const shape of parameterShapes(config).values())
    weights += 4 * shape.reduce((product, size) => product * size, 1)
  const { threads, freeMemory } = machine()
  const room = freeMemory === null ? 1 : freeMemory / 2 / weights
  return Math.max(1, Math.floor(Math.min(threads, 8, room, examples / MIN_EXAMPLES)))
}
