/**
 * Which execution strategy takes the least time under a mask: a model in bytes, because decoding waits for memory.
 *
 * A token reads every row it needs once. A row that does not follow the one before it costs a jump besides: what was
 * fetched ahead is lost. Packing reads each chosen row once, with its jumps, and writes it, which also reads what it
 * overwrites. A pass over many tokens reads the rows as often as it has to before arithmetic is what it waits for.
 *
 * Only ratios count: the constants belong to the kernels, not to a machine.
 */

/** How a mask is carried out; see active_layer.ts. */
export type ExecutionStrategy = 'dense' | 'gather' | 'packed'

/** The work that a mask leaves of some matrices of one size. */
export interface Work {
  readonly matrices: number
  /** Rows of each. */
  readonly rows: number
  /** Rows that are needed, and in how many runs of neighbours they lie. */
  readonly chosen: number
  readonly runs: number
  /** The share of the chosen rows that packing would have to copy: all, where nothing is packed yet. */
  readonly fresh: number
  readonly rowBytes: number
  /** Tokens of the pass in which the mask is decided. */
  readonly T: number
  /** Tokens expected after it, one at a time. */
  readonly steps: number
}

/** The cost of a jump, in bytes that could have been read instead. */
const JUMP_BYTES = 4096

/** Tokens whose arithmetic takes as long as reading the weights once. */
const TOKENS_PER_READ = 4

/**
 * The share by which one token takes longer over listed rows than over neighbours, however long their runs are: a whole
 * model of OPT-1.3b's blocks is 5 % faster at 50 and at 90 % when heads are packed too.
 */
const LIST_COST = 0.05

/** Bytes moved by packing a byte: read, and written over something that is fetched first. */
const MOVES_PER_BYTE = 3

/** The cost of each strategy in bytes, so that strategies can be compared. */
export function costOfStrategies(work: Work): Record<ExecutionStrategy, number> {
  const { matrices, rows, chosen, runs, fresh, rowBytes, T, steps } = work
  const reads = steps + Math.max(1, T / TOKENS_PER_READ)
  const needed = matrices * chosen * rowBytes
  const jumps = matrices * runs * JUMP_BYTES
  return {
    dense: matrices * rows * rowBytes * reads,
    // Many tokens share one walk over the rows.
    gather: needed * (reads + LIST_COST * steps) + jumps * (steps + 1),
    packed: needed * reads + fresh * (needed * MOVES_PER_BYTE + jumps),
  }
}

/** The cheapest strategy; of equals the simplest. */
export function cheapestStrategy(work: Work): ExecutionStrategy {
  const cost = costOfStrategies(work)
  if (cost.dense <= cost.gather && cost.dense <= cost.packed) return 'dense'
  return cost.gather <= cost.packed ? 'gather' : 'packed'
}

/** How many runs of neighbours an ascending list falls into. */
export function countRuns(list: Int32Array): number {
  let runs = 0
  for (let i = 0; i < list.length; i++) if (i === 0 || list[i] !== list[i - 1] + 1) runs++
  return runs
}
