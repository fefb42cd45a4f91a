/**
 * The matrices of blocks that a mask makes smaller, for one token: whole against packed, in each storage, by turns.
 *
 * A job of a sparsity walks over as many packed blocks as fill the memory that the whole ones fill, so that every matrix
 * comes from memory. Units are whole: of 32 heads, three are left at 90 %.
 */
import { createBackend } from '../src/backends/select.ts'
import type { Backend, Buffer } from '../src/backends/backend.ts'
import { BufferScope } from '../src/backends/buffer_scope.ts'
import { storageNamed, type Matrix } from '../src/engine/storages/index.ts'
import { write } from '../src/platform/platform.ts'
import { Random } from '../src/tensor/random.ts'
import { STREAM_BYTES } from './streams.ts'
import { ratio, table, interleave, type Job } from './timing.ts'

/** The blocks of OPT-125m and OPT-1.3b. */
const SHAPES = [
  { name: 'opt-125m', width: 768, heads: 12, neurons: 3072 },
  { name: 'opt-1.3b', width: 2048, heads: 32, neurons: 8192 },
] as const

const SPARSITIES = [0.5, 0.75, 0.9] as const

const ROUNDS = 25

type Shape = (typeof SHAPES)[number]

/** Blocks of one size that lie one after the other in memory: each matrix of [count, rows, D]. */
interface Blocks {
  readonly query: Matrix
  readonly key: Matrix
  readonly value: Matrix
  readonly out: Matrix
  readonly fc1: Matrix
  readonly fc2: Matrix
}

const names = ['query', 'key', 'value', 'out', 'fc1', 'fc2'] as const

/** Storages whose rows stand one after the other, so that any of them are a matrix. Those of int4 do not. */
const rowStorages = ['f32', 'bf16', 'f16', 'int8'] as const

function fill(scope: BufferScope, storage: (typeof rowStorages)[number], rows: number, D: number): Matrix {
  const random = new Random(1)
  const builder = storageNamed(storage).builder(scope, [rows, D], false)
  const some = Float32Array.from({ length: 64 * D }, () => random.uniform() - 0.5)
  for (let row = 0; row < rows; row += 64)
    builder.add({ start: row * D, values: some.subarray(0, Math.min(64, rows - row) * D) })
  return builder.build()
}

/** A view of rows of a matrix. */
function rowsFrom(backend: Backend, matrix: Matrix, count: number, start: number): Matrix {
  const rows = (part: Buffer): Buffer => {
    const [, ...rest] = part.shape
    const width = rest.reduce((product, size) => product * size, 1)
    return backend.view(part, [count, ...rest], start * width)
  }
  return 'scales' in matrix ? { values: rows(matrix.values), scales: rows(matrix.scales) } : rows(matrix)
}

/** One token through all blocks of so many channels of heads and neurons that fit into what is held. */
function walk(backend: Backend, shape: Shape, held: Blocks, count: number, kept: Kept, to: Buffers): Job {
  const { width: D, neurons: F } = shape
  const times = Math.floor(count * Math.min(D / kept.channels, F / kept.neurons))
  const blocks = Array.from({ length: times }, (_, i): Blocks => {
    const parts = names.map((name) => {
      const rows = name.startsWith('fc') ? kept.neurons : kept.channels
      return [name, rowsFrom(backend, held[name], rows, i * rows)] as const
    })
    return Object.fromEntries(parts) as unknown as Blocks
  })
  const { ops } = backend
  const { x, y } = to
  const [context, hidden] = [kept.channels, kept.neurons].map((width) => backend.view(to.inner, [1, width]))
  const run = (): void => {
    for (const { query, key, value, out, fc1, fc2 } of blocks) {
      for (const matrix of [query, key, value]) ops.linear(context, x, matrix, null, null)
      ops.linear_input_major(y, context, out, null, null)
      ops.linear(hidden, x, fc1, null, null)
      ops.linear_input_major(y, hidden, fc2, null, null)
    }
  }
  return { name: `${kept.neurons} of ${F}`, work: times, run }
}

interface Kept {
  readonly channels: number
  readonly neurons: number
}

interface Buffers {
  readonly x: Buffer // [1, D]
  readonly inner: Buffer // [F]
  readonly y: Buffer // [1, D]
}

export async function run(): Promise<void> {
  const head = ['shape', 'storage', ...SPARSITIES.flatMap((s) => [`${100 * s} %`, 'ideal', 'of ideal'])]
  const rows = [head]
  for (const shape of SHAPES)
    for (const storage of rowStorages) {
      const backend = await createBackend('wasm')
      const scope = new BufferScope(backend)
      const { width: D, neurons: F, heads } = shape
      const ones = new Float32Array(F).fill(0.5)
      const to = {
        x: scope.upload(ones.slice(0, D), [1, D]),
        inner: scope.upload(ones),
        y: scope.allocate('f32', [1, D]),
      }
      const block = 4 * D * D + 2 * F * D
      const bytes = { f32: 4, bf16: 2, f16: 2, int8: 1 }[storage] * block
      const count = Math.max(2, Math.ceil(STREAM_BYTES / bytes))
      const held = Object.fromEntries(
        names.map((name) => [name, fill(scope, storage, count * (name.startsWith('fc') ? F : D), D)]),
      ) as unknown as Blocks
      const jobs = [0, ...SPARSITIES].map((sparsity) => {
        const channels = Math.round(heads * (1 - sparsity)) * (D / heads)
        return { channels, neurons: Math.round(F * (1 - sparsity)) }
      })
      const sizeOf = ({ channels, neurons }: Kept): number => 4 * channels + 2 * neurons
      const [dense, ...packed] = interleave(
        jobs.map((kept) => walk(backend, shape, held, count, kept, to)),
        ROUNDS,
      )
      const cells = packed.flatMap((rates, i) => {
        const measured = ratio(rates, dense)
        const ideal = sizeOf(jobs[0]) / sizeOf(jobs[i + 1])
        return [measured.toFixed(2), ideal.toFixed(2), `${((100 * measured) / ideal).toFixed(0)} %`]
      })
      rows.push([shape.name, storage, ...cells])
      backend.dispose()
    }
  await write(
    'stdout',
    `One token, matrices that masks make smaller: packed against whole, median of ${ROUNDS} rounds\n`,
  )
  await write('stdout', table(rows))
}
