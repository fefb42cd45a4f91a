/**
 * What is timed: products and attention of one decoded token at the sizes of OPT models, dense and sparse.
 *
 *   dense     every unit
 *   gather    a list of units, whose rows are read where they lie: all that masks allow which change with every token (DejaVu)
 *   pack      the rows of those units copied together, which a mask that stays (ShadowLLM) takes once
 *   packed    every row of that copy
 *   cublas    dense, by NVIDIA's library, in half precision
 *
 * Weights are there several times, read one after the other as those of layers are, so that no cache holds them. What is
 * packed must give the numbers of what is gathered, bit for bit, and some numbers of dense are computed again by the host.
 */
import { kernelIn } from '../../../src/backends/cuda/launch.ts'
import { architectureByName } from '../../../src/cost/architectures.ts'
import { kernels, type KernelName } from '../../../src/ops/catalog.ts'
import type { Dtype } from '../../../src/ops/op.ts'
import type { Argument, Fill, ProgramWriter } from './program.ts'
import type { KernelSet } from './sets.ts'

/** Sizes of a layer. */
interface Shape {
  readonly name: string
  readonly D: number
  readonly F: number
  readonly H: number
  /** Positions that attention looks back on. */
  readonly S: number
}

const CONTEXT = 1024
const sparsities = [50, 75, 90] // percent

/** Bytes of weights, all copies together: a tenth of them is still more than caches hold. */
const ENOUGH_BYTES = 2 ** 30

/** For where speed means nothing, as over the emulator. */
const tiny: Shape = { name: 'tiny', D: 32, F: 64, H: 4, S: 24 }

const shapes: readonly Shape[] = [
  tiny,
  ...['opt-125m', 'opt-1.3b', 'opt-6.7b', 'opt-30b'].map((name): Shape => {
    const { width: D, neurons: F, heads: H } = architectureByName(name)
    return { name, D, F, H, S: CONTEXT }
  }),
]

const widths = { f32: 4, f16: 2 } as const
type Storage = keyof typeof widths

/** Every shape, by one set of kernels. */
export function addShapes(program: ProgramWriter, set: KernelSet): void {
  for (const shape of shapes) {
    for (const storage of ['f32', 'f16'] as const)
      for (const half of ['fc1', 'fc2'] as const) addHalf({ program, set, shape, storage, half })
    addAttention(program, set, shape)
  }
}

/** How many copies of so many bytes there are. */
function copiesFor(shape: Shape, bytes: number): number {
  return shape === tiny ? 2 : Math.ceil(ENOUGH_BYTES / bytes)
}

/** How many of `units` stay. */
function kept(units: number, sparsity: number): number {
  return units - Math.round((units * sparsity) / 100)
}

const at = (buffer: string): Argument => ({ buffer, start: 0 })
const size = (value: number): Argument => ({ size: value })

/** Launches an op, given its arguments in the order of its row. */
function launch(program: ProgramWriter, set: KernelSet, op: KernelName, args: readonly Argument[]): void {
  const { params } = kernels[op]
  const sizeOf = (letter: string): number => {
    const value = args[params.findIndex(({ name }) => name === letter)]
    return value !== null && 'size' in value ? value.size : 0
  }
  const { symbol, launch: launchFor } = kernelIn(set.ending, op)
  program.launch(symbol, launchFor(sizeOf), args)
}

/** A half of the feed-forward network: fc1 is `linear`, fc2 is `linear_input_major`; neurons are rows in both. */
interface Half {
  readonly program: ProgramWriter
  readonly set: KernelSet
  readonly shape: Shape
  readonly storage: Storage
  readonly half: 'fc1' | 'fc2'
}

function addHalf(of: Half): void {
  const { program, set, shape, storage, half } = of
  const { D, F } = shape
  const [I, O] = half === 'fc1' ? [D, F] : [F, D]
  const bytes = D * F * widths[storage]
  const copies = copiesFor(shape, bytes)
  const noise = { kind: 'noise' } as const
  const buffer = (name: string, dtype: Dtype, length: number, fill: Fill = noise, count = 1): void =>
    program.buffer({ name, dtype, length, copies: count, fill })
  program.line('shape', shape.name, half, storage)
  buffer('x', 'f32', I, { kind: 'numbers', seed: 1 }) // [I]
  buffer('y', 'f32', O) // [O]
  buffer('weight', storage, F * D, { kind: 'numbers', seed: 2 }, copies) // [F, D]
  buffer('packed', storage, kept(F, sparsities[0]) * D, noise, copies) // [R, D]
  buffer('packed_x', 'f32', I) // [R] of fc2
  buffer('packed_y', 'f32', O) // [R] of fc1, [D] of fc2
  buffer('listed_y', 'f32', O) // [R]
  program.line('arm', 'dense', 0, bytes)
  addProduct(of, 'y', 'x', 'weight', F, null)
  const order = half === 'fc1' ? 'rows' : 'columns'
  if (set.owed === 'row') program.line('sample', order, '@y', '@x', '@weight', O, I)
  if (storage === 'f16') {
    buffer('half_x', 'f16', I) // [I]
    buffer('half_y', 'f16', O) // [O]
    program.line('arm', 'cublas', 0, bytes)
    program.line('before')
    launch(program, set, 'narrow_f16', [at('half_x'), at('x'), size(I)])
    program.line('timed')
    program.line('gemm', order, '@half_y', '@half_x', '@weight', O, I)
    program.line('about', '@half_y', '@y', O)
  }
  for (const sparsity of sparsities) addSparse(of, sparsity)
  program.line('end')
}

function addSparse(of: Half, sparsity: number): void {
  const { program, set, shape, storage, half } = of
  const { D, F } = shape
  const R = kept(F, sparsity)
  const list = `units_${sparsity}`
  const bytes = R * D * widths[storage]
  const copyRows = (op: KernelName, to: string, from: string, width: number): void =>
    launch(program, set, op, [at(to), at(from), null, at(list), size(R), size(F), size(width), size(R)])
  program.buffer({ name: list, dtype: 'i32', length: R, fill: { kind: 'spread', limit: F } }) // [R]
  program.line('arm', 'gather', sparsity, bytes)
  addProduct(of, 'y', 'x', 'weight', F, list)
  // What is packed has the numbers of chosen units alone, side by side.
  program.line('then')
  if (half === 'fc1') copyRows('copy_rows', 'listed_y', 'y', 1)
  else copyRows('copy_rows', 'packed_x', 'x', 1)
  program.line('arm', 'pack', sparsity, 2 * bytes)
  copyRows(storage === 'f32' ? 'copy_rows' : 'copy_rows_f16', 'packed', 'weight', D)
  program.line('arm', 'packed', sparsity, bytes)
  addProduct(of, 'packed_y', half === 'fc1' ? 'x' : 'packed_x', 'packed', R, null)
  if (half === 'fc1') program.line('same', '@packed_y', '@listed_y', R)
  else program.line('same', '@packed_y', '@y', D)
}

/** A product with the `units` rows of a matrix, or with those of a list. */
function addProduct(
  { program, set, shape, storage, half }: Half,
  y: string,
  x: string,
  weight: string,
  units: number,
  list: string | null,
): void {
  const { D } = shape
  const kind = half === 'fc1' ? 'linear' : 'linear_input_major'
  const [I, O] = half === 'fc1' ? [D, units] : [units, D]
  const R = list === null ? 0 : kept(units, Number(list.replace('units_', '')))
  const sizes = [size(1), size(O), size(I), size(R)]
  const arrays = [at(y), at(x), at(weight), null, list === null ? null : at(list)]
  launch(program, set, storage === 'f32' ? kind : `${kind}_f16`, [...arrays, ...sizes])
}

/** A token's attention over its past, whose keys and values are float32: of all heads, and of some. */
function addAttention(program: ProgramWriter, set: KernelSet, shape: Shape): void {
  const { name, D, H, S } = shape
  const K = D / H
  const bytes = 2 * S * D * Float32Array.BYTES_PER_ELEMENT
  const copies = copiesFor(shape, bytes)
  program.line('shape', name, 'attention', 'f32')
  for (const [buffer, length, count] of [
    ['query', D, 1],
    ['key', S * D, copies],
    ['value', S * D, copies],
  ] as const)
    program.buffer({
      name: buffer,
      dtype: 'f32',
      length,
      copies: count,
      fill: { kind: 'numbers', seed: length },
    })
  program.buffer({ name: 'y', dtype: 'f32', length: D, fill: { kind: 'noise' } }) // [1, H, K]
  const attend = (list: string | null, R: number): void => {
    const arrays = [at('y'), at('query'), at('key'), at('value'), list === null ? null : at(list), null]
    const sizes = [size(1), size(S), size(S), size(S), size(H), size(H), size(K), size(R)]
    launch(program, set, 'attention', [...arrays, { scalar: K ** -0.5 }, { scalar: 0 }, ...sizes])
  }
  program.line('arm', 'dense', 0, bytes)
  attend(null, 0)
  for (const sparsity of sparsities) {
    const R = Math.max(1, kept(H, sparsity))
    const list = `heads_${sparsity}`
    program.buffer({ name: list, dtype: 'i32', length: R, fill: { kind: 'spread', limit: H } }) // [R]
    program.line('arm', 'gather', sparsity, Math.round((bytes * R) / H))
    attend(list, R)
  }
  program.line('end')
}
