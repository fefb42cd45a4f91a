/**
 * Threads of this machine that run jobs, each with a model of its own: where they find it, and how many suit.
 */
import type { BackendName } from '../backends/backend.ts'
import type { OptConfig } from '../engine/config.ts'
import { parameterShapes } from '../engine/names.ts'
import { machine } from '../platform/platform.ts'
import type { MethodHash } from '../results/method_hash.ts'

/** Which model threads open. */
export interface ThreadModel {
  /** A folder, or a file of weights with its configuration beside it. */
  readonly path: string
  readonly backend: BackendName
}

/** Backends that owe a bound and not the bits of the reference. */
const bounded: readonly BackendName[] = ['wasm-relaxed', 'cuda-fast', 'cuda-fast-emulated']

/** Backends with the same word here give the same bits, and so may share work. */
export function bitsOf(backend: BackendName): string {
  return bounded.includes(backend) ? backend : 'exact'
}

/** What a thread is told at its start. */
export interface ThreadStart extends ThreadModel {
  /** What shards ask for, see `ShardModel`. */
  readonly hash: string
  readonly method: MethodHash
}

/** Fewer examples than this for each thread are done before a thread has opened its model. */
const MIN_EXAMPLES = 16

/**
 * How many threads suit a calibration here: as many as run at once, up to eight, that find room for their models in
 * half of the free memory, and have something to do.
 */
export function defaultThreads(config: OptConfig, examples: number): number {
  let weights = 0
  for (const shape of parameterShapes(config).values())
    weights += 4 * shape.reduce((product, size) => product * size, 1)
  const { threads, freeMemory } = machine()
  const room = freeMemory === null ? 1 : freeMemory / 2 / weights
  return Math.max(1, Math.floor(Math.min(threads, 8, room, examples / MIN_EXAMPLES)))
}
