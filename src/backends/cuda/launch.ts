/**
 * How many threads each kernel of cuda/ is launched with, from the sizes of a call; and which kernel an op has in a set.
 *
 * A kernel finds its place by what is set here, and its file says which of these it expects. What is chosen for the kernels of
 * cuda/fast was tried, and changes no result.
 */
import { VALUE_BLOCK } from '../../ops/attention_i8.ts'
import { kernelNames, kernels, type KernelName } from '../../ops/catalog.ts'
import { BLOCK_BYTES } from '../../tensor/int4.ts'
import type { KernelSet } from '../backend.ts'
import { outputsOf, rotaryWork, type Size } from '../launches.ts'

/** A launch in one dimension; no blocks is no launch. */
export interface Launch {
  readonly blocks: number
  readonly threads: number
  /** Bytes of shared memory, beside what the kernel has of its own. */
  readonly shared: number
}

/** The most threads of a block, MOST_THREADS in cuda/shared/common.cuh. */
const MAX_THREADS = 256
/** Threads of a warp. */
const WARP = 32
/** Threads that share one striped sum. */
const LANES = 16
/** Outputs of each warp of the int8 products, OUTPUTS in cuda/linear_i8.cu. */
const OUTPUTS_OF_WARP = 8

/** What attention takes of shared memory for the longest context: a float32 for each position. */
export const MAX_DYNAMIC_SHARED = 131_072

const { ceil, min } = Math

/** Whole warps, as many threads as there is work for. */
function threadsFor(work: number): number {
  return min(MAX_THREADS, Math.max(WARP, ceil(work / WARP) * WARP))
}

/** A launch. */
const launch = (blocks: number, threads: number, shared = 0): Launch => ({ blocks, threads, shared })

/** A thread for each of `count` numbers. */
const threadEach = (count: number): Launch => launch(ceil(count / MAX_THREADS), MAX_THREADS)

/** A group of 16 threads for each of `count` sums. */
const groupEach = (count: number): Launch => launch(ceil(count / (MAX_THREADS / LANES)), MAX_THREADS)

/** A block for each of `count` rows of `width` numbers. */
const blockEach = (count: number, width: number): Launch => launch(count, threadsFor(width))

/** A warp for each of `count` pieces of work. */
const warpEach = (count: number): Launch => threadEach(count * WARP)

/** How an op is launched, from the sizes of a call. */
export type Rule = (size: Size) => Launch

/** A block for some outputs of a token, a thread for each. */
const outputsOfToken: Rule = (of) => {
  const threads = threadsFor(of('O'))
  return launch(of('T') * ceil(of('O') / threads), threads)
}
/** A block for each row that is copied. */
const copyRows: Rule = (of) => blockEach(of('R'), of('I'))
/** One block, for what has one sum. */
const allNumbers: Rule = (of) => blockEach(1, of('N'))
const rowsOf =
  (width: string): Rule =>
  (of) =>
    blockEach(of('T'), of(width))

/** A block for each row, then a thread for each column. */
const rowsAndColumns: Rule = (of) => {
  const threads = threadsFor(of('D'))
  return launch(of('T') + ceil(of('D') / threads), threads)
}

const rotary: Rule = (of) => threadEach(rotaryWork(of))

/** A block for each token and head, with shared memory for each position seen, and for those before them in a block of 64. */
const queries: Rule = (of) => {
  const seen = min(of('S'), of('W') + VALUE_BLOCK)
  const { blocks, threads } = blockEach(of('T') * of('H'), Math.max(seen, of('K')))
  return launch(blocks, threads, Float32Array.BYTES_PER_ELEMENT * seen)
}

/** Something of kernels. What an op has is that of its kernels for every storage that have none of their own. */
type KernelTable<Entry> = Readonly<Partial<Record<KernelName, Entry>>>

/** What a table has for a kernel, or for its op. */
function ofKernel<Entry>(table: KernelTable<Entry>, name: KernelName): Entry | undefined {
  return table[name] ?? table[kernels[name].op as KernelName]
}

/** Kernels without a rule here have a thread for each number of their first output. */
const launches: KernelTable<Rule> = {
  embedding_backward: (of) => threadEach(of('D')),
  linear: (of) => groupEach(of('T') * of('O')),
  linear_i8: (of) => {
    const threads = threadsFor(of('I'))
    const outputs = (threads / WARP) * OUTPUTS_OF_WARP
    return launch(of('T') * ceil(of('O') / outputs), threads)
  },
  linear_i4: (of) => warpEach(of('T') * of('G')),
  linear_input_major_i8: outputsOfToken,
  linear_input_major_i4: outputsOfToken,
  layer_norm: rowsOf('D'),
  layer_norm_backward: rowsAndColumns,
  rms_norm: rowsOf('D'),
  rms_norm_backward: rowsAndColumns,
  rotary,
  rotary_backward: rotary,
  cache_append: (of) => threadEach(of('H') * of('T') * of('K')),
  cache_append_i8: (of) => blockEach(of('H') * of('T'), of('K')),
  attention: queries,
  attention_backward: (of) => {
    const { blocks, threads } = blockEach(of('G'), Math.max(of('T'), of('K')))
    return launch(blocks, threads, 2 * Float32Array.BYTES_PER_ELEMENT * of('T'))
  },
  softmax: rowsOf('V'),
  softmax_backward: rowsOf('V'),
  log_sum_exp: rowsOf('V'),
  cross_entropy: rowsOf('V'),
  cross_entropy_backward: rowsOf('V'),
  mse: allNumbers,
  bce: allNumbers,
  min_max: rowsOf('D'),
  sum: allNumbers,
  sum_squares: allNumbers,
  top_k: allNumbers,
  cholesky: (of) => blockEach(1, of('U')),
  solve_cholesky: (of) => threadEach(of('D')),
  quantize_rows: (of) => blockEach(of('O'), of('I')),
  copy_rows: copyRows,
  copy_interleaved_rows: (of) => blockEach(of('R'), of('B') * BLOCK_BYTES),
}

/** How an op is launched, from the sizes of a call. */
export function launchOf(name: KernelName): Rule {
  return ofKernel(launches, name) ?? ((of) => threadEach(outputsOf(kernels[name], of)))
}

// ---- The fast set -----------------------------------------------------------------------------------------------------

/** Numbers of a wide load, WIDE in cuda/fast/vector.cuh. */
const WIDE = 4
/** Threads of a block of linear: few, so that there are many blocks. */
const LINEAR_THREADS = 128
/** Rows of a warp and tokens of a block, LINEAR_ROWS and LINEAR_TOKENS in cuda/fast/linear.cu. */
const LINEAR_ROWS = 2
const LINEAR_TOKENS = 4
/** Rows of a warp, BYTE_ROWS in cuda/fast/linear_i8.cu; and bytes of a wide load. */
const BYTE_ROWS = 4
const BYTES = 16
/** Outputs, tokens and terms of a block, COLUMNS, MAJOR_TOKENS and TERMS in cuda/fast/linear_input_major.cu. */
const COLUMNS = 16
const MAJOR_TOKENS = 8
const TERMS = 128
/** Outputs of a block, BYTE_COLUMNS and NIBBLE_COLUMNS in cuda/fast/linear_input_major_i8.cu and linear_input_major_i4.cu. */
const BYTE_COLUMNS = 32
const NIBBLE_COLUMNS = 32

const linear: Rule = (of) => {
  const threads = min(LINEAR_THREADS, threadsFor(ceil(of('O') / LINEAR_ROWS) * WARP))
  const outputs = (threads / WARP) * LINEAR_ROWS
  return launch(ceil(of('O') / outputs) * ceil(of('T') / LINEAR_TOKENS), threads)
}

/** Threads that add, in whole warps, and as many as there are wide loads in a tile to fetch ahead. */
const linearInputMajor: Rule = (of) => {
  const adders = threadsFor(min(MAJOR_TOKENS, of('T')) * COLUMNS)
  const loads = (min(TERMS, of('I')) * COLUMNS) / WIDE
  return launch(ceil(of('O') / COLUMNS) * ceil(of('T') / MAJOR_TOKENS), threadsFor(adders + loads))
}

/** A block for each row, a thread for each of its wide loads. */
const wideRows: Rule = (of) => blockEach(of('T'), ceil(of('D') / WIDE))

const fastLaunches: KernelTable<Rule> = {
  linear,
  linear_i8: (of) => {
    const threads = threadsFor(of('I') / BYTES + (of('O') / BYTE_ROWS) * WARP)
    const outputs = (threads / WARP) * BYTE_ROWS
    return launch(of('T') * ceil(of('O') / outputs), threads)
  },
  linear_i4: (of) => {
    const threads = min(LINEAR_THREADS, threadsFor(of('G') * WARP))
    return launch(of('T') * ceil(of('G') / (threads / WARP)), threads)
  },
  linear_input_major: linearInputMajor,
  linear_input_major_i8: (of) =>
    launch(of('T') * ceil(of('O') / BYTE_COLUMNS), threadsFor((of('I') * BYTE_COLUMNS) / WIDE)),
  linear_input_major_i4: (of) => launch(of('T') * ceil(of('O') / NIBBLE_COLUMNS), threadsFor(of('B') * WARP)),
  layer_norm: wideRows,
  rms_norm: wideRows,
  attention: queries,
  softmax: (of) => blockEach(of('T'), of('V')),
  copy_rows: copyRows,
}

/** The ops that have a kernel in cuda/fast, in the order of the catalogue. */
export const fastOps: readonly KernelName[] = kernelNames.filter((name) => ofKernel(fastLaunches, name))

/** The kernel of an op in a set, by its name in the module, and how it is launched. */
export function kernelIn(
  set: KernelSet,
  name: KernelName,
): { readonly symbol: string; readonly launch: Rule } {
  const fast = set === 'fast' ? ofKernel(fastLaunches, name) : undefined
  return fast === undefined
    ? { symbol: `${name}_exact`, launch: launchOf(name) }
    : { symbol: `${name}_fast`, launch: fast }
}
