/**
 * The matrix kernels of the wasm backend.
 *
 * One token: the weights of each shape are repeated until they fill STREAM_BYTES, so that every matrix comes from memory;
 * the figure is bytes of weights per second, beside what the machine reads in the same round; then tokens per second of
 * each storage, beside f32 in the same round. Many tokens, through the backend's checks: arithmetic per second, of the strict
 * build and, where the runtime has it, of the relaxed one.
 */
import { write } from '../src/platform/platform.ts'
import type { Backend } from '../src/backends/backend.ts'
import { BufferScope } from '../src/backends/buffer_scope.ts'
import { createBackend } from '../src/backends/select.ts'
import { probeWasm } from '../src/platform/wasm_features.ts'
import { Random } from '../src/tensor/random.ts'
import { GIGABYTES, kernelsOver, openStreams, STREAM_BYTES, STREAM_START } from './streams.ts'
import { figure, ratio, table, interleave, type Job } from './timing.ts'

/** [rows, numbers per row]: blocks of OPT-125m and OPT-1.3b, and the lm_head of the former. */
const STREAMED = [
  [768, 768],
  [3072, 768],
  [768, 3072],
  [2048, 2048],
  [8192, 2048],
  [50272, 768],
] as const

/** Blocks of OPT-125m and OPT-1.3b both ways, and the lm_head of the former. */
const STORED = [
  [2048, 2048],
  [8192, 2048],
  [2048, 8192],
  [768, 3072],
  [50272, 768],
] as const

/** How weights may be stored: the end of an op's name, and the bytes of a number. */
const STORAGES = [
  ['', 4],
  ['_bf16', 2],
  ['_f16', 2],
  ['_i8', 1],
] as const

/** [T, I, O] */
const MULTIPLIED = [
  [4, 768, 3072],
  [16, 768, 3072],
  [128, 768, 768],
  [128, 768, 3072],
  [128, 3072, 768],
  [256, 256, 1024],
  [512, 2048, 2048],
] as const

/** Matrices per turn, and turns, of each storage: short turns, so that quiet moments are found. */
const STORED_REPEATS = 2
const STORED_ROUNDS = 60

/** GFLOP/s from operations per millisecond. */
const GIGAFLOPS = 1e-6

function randomNumbers(length: number): Float32Array {
  const random = new Random(1)
  // A short period is as good as none here, and a thousand times faster to make.
  const period = Float32Array.from({ length: 4096 }, () => random.uniform() - 0.5)
  return Float32Array.from({ length }, (_, i) => period[i % period.length])
}

async function oneToken(): Promise<void> {
  const { memory, forward, five } = await openStreams()
  const {
    kernels: { linear, linear_input_major },
    scratchSize: x,
  } = await kernelsOver(memory)
  const y = x + 4 * 50272
  const rows = [
    ['rows x length', 'linear GB/s', 'of forward', 'of five', 'input-major', 'of forward', 'of five'],
  ]
  for (const [count, length] of STREAMED) {
    const size = 4 * count * length
    const repeats = Math.floor(STREAM_BYTES / size)
    const job = (name: string, call: (weight: number) => void): Job => ({
      name,
      work: size * repeats,
      run: () => {
        for (let i = 0; i < repeats; i++) call(STREAM_START + i * size)
      },
    })
    const jobs = [
      forward,
      five,
      job('linear', (weight) => linear(y, x, weight, 0, 0, 1, count, length, 0)),
      job('linear_input_major', (weight) => linear_input_major(y, x, weight, 0, 0, 1, length, count, 0)),
    ]
    const [one, best, ...kernels] = interleave(jobs, 20)
    const cells = kernels.flatMap((rates) => [
      figure(rates, GIGABYTES),
      `${(100 * ratio(rates, one)).toFixed(0)} %`,
      `${(100 * ratio(rates, best)).toFixed(0)} %`,
    ])
    rows.push([`${count} x ${length}`, ...cells])
  }
  await write(
    'stdout',
    'One token, GB/s of weights: median (best) of 20 rounds, and the median share of what the\n',
  )
  await write('stdout', 'machine reads forward and in five streams in the same round\n')
  await write('stdout', `${table(rows)}\n`)
}

async function storages(): Promise<void> {
  const { memory } = await openStreams()
  const { kernels, scratchSize: x } = await kernelsOver(memory)
  const [scales, y] = [x + 4 * 50272, x + 8 * 50272]
  for (const op of ['linear', 'linear_input_major']) {
    const rows = [['rows x length', 'f32 GB/s', ...['bf16', 'f16', 'i8'].flatMap((name) => [name, 'GB/s'])]]
    for (const [count, length] of STORED) {
      const [O, I] = op === 'linear' ? [count, length] : [length, count]
      const jobs = STORAGES.map(([storage, bytes]): Job => {
        const kernel = kernels[op + storage]
        const size = bytes * count * length
        const repeats = Math.floor(STREAM_BYTES / size)
        const scalesOrNot = storage === '_i8' ? [scales] : []
        let at = 0
        return {
          name: op + storage,
          work: size * STORED_REPEATS,
          run: () => {
            for (let i = 0; i < STORED_REPEATS; i++, at = (at + 1) % repeats)
              kernel(y, x, STREAM_START + at * size, ...scalesOrNot, 0, 0, 1, O, I, 0)
          },
        }
      })
      const [f32, ...others] = interleave(jobs, STORED_ROUNDS)
      const cells = others.flatMap((rates, i) => [
        ((ratio(rates, f32) * 4) / STORAGES[i + 1][1]).toFixed(2),
        figure(rates, GIGABYTES),
      ])
      rows.push([`${count} x ${length}`, figure(f32, GIGABYTES), ...cells])
    }
    await write('stdout', `One token, ${op}: tokens/s x f32, median of ${STORED_ROUNDS} rounds, and GB/s\n`)
    await write('stdout', `${table(rows)}\n`)
  }
}

/** The ops that multiply a matrix by many tokens, as jobs of one backend on one shape. */
function productsOf(backend: Backend, [T, I, O]: (typeof MULTIPLIED)[number], scope: BufferScope): Job[] {
  const x = scope.upload(randomNumbers(T * I), [T, I])
  const y = scope.upload(randomNumbers(T * O), [T, O])
  const w = scope.upload(randomNumbers(O * I), [O, I])
  const turned = scope.backend.view(w, [I, O])
  const repeats = Math.ceil(1e8 / (2 * T * I * O))
  const { linear, linear_input_major, linear_backward_weight } = backend.ops
  const job = (name: string, call: () => void): Job => ({
    name,
    work: 2 * T * I * O * repeats,
    run: () => {
      for (let i = 0; i < repeats; i++) call()
    },
  })
  return [
    job('linear', () => linear(y, x, w, null, null)),
    job('linear_input_major', () => linear_input_major(y, x, turned, null, null)),
    // x stands in for both, so that sums do not grow from call to call.
    job('linear_backward_weight', () => linear_backward_weight(w, y, x, null)),
  ]
}

async function manyTokens(): Promise<void> {
  const strict = await createBackend('wasm')
  const relaxed = probeWasm().relaxedSimd ? await createBackend('wasm-relaxed') : null
  const ops = ['linear', 'input-major', 'backward_weight']
  const rows = [['T x I x O', ...ops.flatMap((op) => (relaxed ? [op, 'relaxed', 'x strict'] : [op]))]]
  for (const shape of MULTIPLIED) {
    const scopes = [strict, ...(relaxed ? [relaxed] : [])].map((backend) => new BufferScope(backend))
    const jobs = scopes.map((scope) => productsOf(scope.backend, shape, scope))
    const rates = interleave(jobs.flat(), 25)
    const cells = ops.flatMap((_, op) => {
      const [base, fused] = [rates[op], rates[ops.length + op]]
      const cell = figure(base, GIGAFLOPS)
      return relaxed ? [cell, figure(fused, GIGAFLOPS), ratio(fused, base).toFixed(2)] : [cell]
    })
    rows.push([shape.join(' x '), ...cells])
    for (const scope of scopes) scope.dispose()
  }
  strict.dispose()
  relaxed?.dispose()
  await write(
    'stdout',
    'Many tokens, GFLOP/s: median (best) of 25 rounds; the relaxed build, and the median of\n',
  )
  await write('stdout', `its rate by the strict one in the same round\n${table(rows)}`)
  if (!relaxed) await write('stdout', 'This runtime has no relaxed SIMD.\n')
}

export async function run(): Promise<void> {
  await oneToken()
  await storages()
  await manyTokens()
}
