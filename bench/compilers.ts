/**
 * The same kernels from two compilers: those of assembly/ by AssemblyScript, those of rust/ by rustc.
 *
 * Every op of the catalogue is called at the sizes of OPT-125m, for one token and for many, all its units chosen, by both
 * backends in turns of the same round. Calls go through the backend's checks, which take their part of short ones from both.
 * Neither uses the relaxed product of bytes, which the kernels in Rust do not have.
 */
import { write } from '../src/platform/platform.ts'
import type { Backend } from '../src/backends/backend.ts'
import { BufferScope } from '../src/backends/buffer_scope.ts'
import { opCall, type Argument } from '../src/backends/calls.ts'
import { WasmBackend } from '../src/backends/wasm/wasm_backend.ts'
import { argumentsOn } from '../src/parity/run_ops.ts'
import { arraysOf, fitSizes, makeValues } from '../src/testing/op_case.ts'
import { Data } from '../src/testing/seeded_data.ts'
import type { Values } from '../src/testing/op_call.ts'
import { median } from '../src/results/interleaved_rounds.ts'
import { kernelNames, kernels, type KernelName } from '../src/ops/catalog.ts'
import type { Sizes } from '../src/ops/op.ts'
import { now } from '../src/platform/platform.ts'
import { ratio, table, interleave, type Job } from './timing.ts'

/** OPT-125m by letter, at a context of 512; B is the number of blocks of I, R the length of lists that cannot be left out. */
const usual: Sizes = { H: 12, K: 64, D: 768, I: 768, B: 24, O: 3072, V: 8192, U: 3072, N: 3072, R: 12 }
const sizesOfTokens: readonly (readonly [string, Sizes])[] = [
  ['one token', { ...usual, T: 1, P: 511, S: 512, W: 512, C: 512 }],
  ['64 tokens', { ...usual, T: 64, P: 448, S: 512, W: 512, C: 512, N: 64 * 3072 }],
]

const ROUNDS = 25

/** Calls of a turn are as many as take about this long. */
const TURN = 2 // ms

/** Arguments of an op for so many tokens, without what may be left out. */
function valuesOf(op: KernelName, wanted: Sizes): Values {
  const row = kernels[op]
  const absent = new Set(arraysOf(row).flatMap((param) => (param.optional ? [param.name] : [])))
  return makeValues(op, fitSizes(row, wanted), new Data(1), 'plain', absent)
}

/** How often an op is called so that it takes about a turn. */
function repeatsOf(call: () => void): number {
  call()
  const start = now()
  let calls = 0
  do {
    call()
    calls++
  } while (now() - start < TURN)
  return calls
}

/** The op on one backend: its rate is calls per millisecond. */
function jobOf(scope: BufferScope, op: KernelName, values: Values, repeats: number | null): Job {
  const args = argumentsOn(scope, kernels[op], values)
  const call = opCall(op, args)
  const run = scope.backend.ops[call.op] as (...all: Argument[]) => void
  const work = repeats ?? repeatsOf(() => run(...call.args))
  return {
    name: scope.backend.name,
    work,
    run: () => {
      for (let i = 0; i < work; i++) run(...call.args)
    },
  }
}

/** Microseconds of a call of the first backend, and how many times as fast the second is. */
function compare(backends: readonly Backend[], op: KernelName, sizes: Sizes): { time: number; gain: number } {
  const scopes = backends.map((backend) => new BufferScope(backend))
  try {
    const values = valuesOf(op, sizes)
    const first = jobOf(scopes[0], op, values, null)
    const [base, other] = interleave([first, jobOf(scopes[1], op, values, first.work)], ROUNDS)
    return { time: 1e3 / median(base.samples), gain: ratio(other, base) }
  } finally {
    for (const scope of scopes) scope.dispose()
  }
}

export async function run(): Promise<void> {
  const backends = [
    await WasmBackend.create({ relaxedBytes: false }),
    await WasmBackend.create({ build: 'wasm-rust' }),
  ]
  const rows = [['op', ...sizesOfTokens.flatMap(([name]) => [`${name}, us`, 'Rust x'])]]
  const gains: number[] = []
  for (const op of kernelNames) {
    const found = sizesOfTokens.map(([, sizes]) => compare(backends, op, sizes))
    gains.push(...found.map(({ gain }) => gain))
    rows.push([op, ...found.flatMap(({ time, gain }) => [time.toFixed(1), gain.toFixed(2)])])
  }
  for (const backend of backends) backend.dispose()
  await write(
    'stdout',
    `Microseconds of a call by AssemblyScript, and how many times as fast Rust is: medians of ${ROUNDS} rounds\n`,
  )
  await write('stdout', `${table(rows)}\nMedian over all: Rust x ${median(gains).toFixed(2)}\n`)
}
