/**
 * The trial of the wide build (backends/wide.ts): every kernel of products at sizes around the edges of tiles, on plain
 * numbers and on the least and greatest, against the other build; then a product, whose time must be less.
 *
 * A function is compiled at its first call, so the trial also compiles what later calls use. Calls of the wide build are the
 * first of their functions while vectors are joined.
 */
import { BufferScope } from '../backends/buffer_scope.ts'
import { allowWide } from '../backends/select.ts'
import type { Backend } from '../backends/backend.ts'
import { kernelNames, kernels, type KernelName } from '../ops/catalog.ts'
import type { Numbers } from '../ops/op.ts'
import { asksToJoinVectors, canJoinVectors, now, whileOptimizing } from '../platform/platform.ts'
import { callRaw, type Values } from './op_call.ts'
import { fitSizes, lettersOf, makeValues } from './op_case.ts'
import { Data, type DataKind } from './seeded_data.ts'

/** The kernels that have wide tiles. */
const tried = kernelNames.filter((name) => /^(linear|attention)/.test(name))

/** The sizes that loops of products run over: numbers, rows, positions, numbers of a head. */
const long = ['I', 'O', 'S', 'K']
/** Tokens, these sizes, and what numbers are like: one token, few and many; within a tile, at its edge and past it. */
const cases: readonly (readonly [tokens: number, others: number, kind: DataKind])[] = [
  [1, 33, 'plain'],
  [1, 70, 'edges'],
  [3, 37, 'wild'],
  [8, 16, 'plain'],
  [17, 37, 'edges'],
]

/** The product that is timed: tokens, numbers and rows; and how often. */
const [TOKENS, NUMBERS, ROWS, TIMES] = [16, 576, 128, 12]
/** The time of the wide build must be less than this share of the other's. */
const MOST = 0.9

/** Lets backends of this process use the wide build if SHADOWLLM_WIDE is on. */
export function allowWideIfAsked(): void {
  if (asksToJoinVectors()) allowWide(tryWide)
}

/** Says why a wide build is not to be used; null if it may be. */
export function tryWide(plain: Backend, wide: Backend): string | null {
  if (!canJoinVectors()) return 'this runtime does not join vectors'
  const calls = callsOf()
  const expected = calls.map(({ name, values }) => callRaw(plain, name, values))
  const timed = whileOptimizing(false, () => productOf(plain))
  return whileOptimizing(true, () => {
    const wrong = calls.find(({ name, values }, i) => !haveSameBits(callRaw(wide, name, values), expected[i]))
    if (wrong) return `${wrong.name}: other bits than with vectors of 16 bytes`
    const share = shareOf(productOf(wide), timed)
    return share < MOST ? null : `no faster than vectors of 16 bytes (${share.toFixed(2)} of their time)`
  })
}

interface Call {
  readonly name: KernelName
  readonly values: Values
}

function callsOf(): Call[] {
  const data = new Data(1)
  return tried.flatMap((name) =>
    cases.map(([tokens, others, kind]) => {
      const row = kernels[name]
      const wanted = Object.fromEntries(
        lettersOf(row).map((letter) => [
          letter,
          letter === 'T' ? tokens : long.includes(letter) ? others : 2,
        ]),
      )
      return { name, values: makeValues(name, fitSizes(row, wanted), data, kind) }
    }),
  )
}

function haveSameBits(found: Record<string, Numbers>, expected: Record<string, Numbers>): boolean {
  return Object.entries(expected).every(([name, numbers]) => {
    const [these, those] = [bytesOf(found[name]), bytesOf(numbers)]
    return these.every((byte, i) => byte === those[i])
  })
}

function bytesOf({ buffer, byteOffset, byteLength }: Numbers): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}

/** A product on a backend, compiled. */
function productOf(backend: Backend): () => void {
  const scope = new BufferScope(backend)
  const of = (...shape: [number, number]) =>
    scope.upload(new Float32Array(shape[0] * shape[1]).fill(0.5), shape)
  const [y, x, w] = [of(TOKENS, ROWS), of(TOKENS, NUMBERS), of(ROWS, NUMBERS)]
  const run = (): void => backend.ops.linear(y, x, w, null, null)
  run()
  return run
}

/** The least time of one by the least time of another, in turns. */
function shareOf(one: () => void, other: () => void): number {
  const least = [Infinity, Infinity]
  for (let time = 0; time < TIMES; time++)
    for (const [i, run] of [one, other].entries()) {
      const start = now()
      run()
      least[i] = Math.min(least[i], now() - start)
    }
  return least[0] / least[1]
}
