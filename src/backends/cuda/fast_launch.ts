/**
 * The kernels of cuda/fast, and how many threads each is launched with. An op without one keeps its exact kernel.
 *
 * Results do not depend on what is chosen here, which is tried; a kernel's file says which of it the kernel expects.
 */
import { kernelNames, type KernelName } from '../../ops/catalog.ts'
import type { KernelSet } from '../backend.ts'
import {
  blockEach,
  copyRows,
  launch,
  launchOf,
  ofKernel,
  queries,
  threadsFor,
  WARP,
  type KernelTable,
  type Rule,
} from './launch.ts'

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
/** Outputs of a block, BYTE_COLUMNS in cuda/fast/linear_input_major_i8.cu. */
const BYTE_COLUMNS = 32

/** Outputs of a block, NIBBLE_COLUMNS in cuda/fast/linear_input_major_i4.cu. */
const NIBBLE_COLUMNS = 32

const { ceil, min } = Math

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
