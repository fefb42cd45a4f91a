/**
 * Laws of attention over a cache, whatever the cache stores: attention of float64 over what its rows stand for, what a token
 * sees, that neither capacity nor the cut between prompt and step changes a bit, and groups of heads that share a key head.
 */
import fc from 'fast-check'
import type { Backend } from '../../backends/backend.ts'
import { call, type Values } from '../../testing/op_call.ts'
import { near, sameBits } from '../compare.ts'
import type { Data } from '../../testing/seeded_data.ts'
import { VALUE_BLOCK } from '../../ops/attention_i8.ts'
import { attention64 } from '../float64.ts'
import { anyData } from '../drawn_data.ts'
import { forAll, type BackendLaw } from './law.ts'

export const T: fc.Arbitrary<number> = fc.integer({ min: 1, max: 19 })
export const H: fc.Arbitrary<number> = fc.integer({ min: 1, max: 4 })
export const G: fc.Arbitrary<number> = fc.integer({ min: 1, max: 3 })
export const K: fc.Arbitrary<number> = fc.integer({ min: 1, max: 36 })

/** Sizes of a sequence and of its cache. */
interface Sizes {
  readonly T: number
  readonly C: number
  readonly H: number
  readonly G: number
  readonly K: number
}

/** The key head of each head, where neighbours share one. */
export function shared(H: number, G: number): Int32Array {
  return new Int32Array(H).map((_, h) => Math.floor((h * G) / H))
}

/** An op of attention, and the cache it reads. */
export interface CachedAttention<Cache> {
  readonly op: 'attention' | 'attention_i8'
  /** What the op computes, in words. */
  readonly formula: string
  /** Keys or values of a sequence, x [T, G, K], in a cache whose other places hold NaN. */
  append(backend: Backend, x: Float32Array, sizes: Sizes): Cache
  /** The arguments of the op that are caches. */
  argumentsOf(key: Cache, value: Cache): Values
  /** What the row of position s of key head g stands for: [K]. */
  rowOf(cache: Cache, g: number, s: number, sizes: Sizes): Float32Array
  /** A cache with a copy of its key head for each head. */
  repeat(cache: Cache, keyHeads: Int32Array, sizes: Sizes): Cache
  /** NaN in the rows of some positions. */
  poison(cache: Cache, isPoisoned: (position: number) => boolean, sizes: Sizes): Cache
  /** How far a head's output may be from float64, per channel: [K]. @param first the position of the first key */
  bound(
    query: Float32Array,
    keys: readonly Float32Array[],
    values: readonly Float32Array[],
    scoring: { readonly scale: number; readonly cap: number; readonly first: number },
  ): number | ArrayLike<number>
  /** What a mean of values may be off by, beside the rounding of float32. */
  meanError(values: readonly Float32Array[]): number
}

/** A whole sequence: queries [T, H, K], and caches with a few places to spare. */
export interface Sequence<Cache> extends Sizes {
  readonly values: Values & { query: Float32Array }
  readonly key: Cache
  readonly value: Cache
  readonly cap: number
  readonly window: number // W
}

/** The numbers of a sequence. */
interface Inputs {
  readonly query: Float32Array // [T, H, K]
  readonly keys: Float32Array // [T, G, K]
  readonly values: Float32Array // [T, G, K]
  readonly cap: number
  readonly window: number // W
}

type SequenceSizes = readonly [T: number, H: number, G: number, K: number]

function inputsOf([T, H, G, K]: SequenceSizes, data: Data): Inputs {
  return {
    query: data.floats('query', [T, H, K]),
    keys: data.floats('keys', [T, G, K]),
    values: data.floats('values', [T, G, K]),
    cap: data.whole('cap', -1, 3),
    window: data.whole('window', 1, T + 2),
  }
}

/** Puts a sequence into caches. @param spare places of the cache beyond it */
function sequenceOf<Cache>(
  { append, argumentsOf }: CachedAttention<Cache>,
  backend: Backend,
  [T, H, G, K]: SequenceSizes,
  { query, keys, values, cap, window: W }: Inputs,
  spare: number,
): Sequence<Cache> {
  const sizes = { T, C: T + spare, H, G, K }
  const [key, value] = [keys, values].map((x) => append(backend, x, sizes))
  const given = { query, ...argumentsOf(key, value), scale: K ** -0.5, cap, S: T, W, ...sizes }
  return { values: given, key, value, cap, window: W, ...sizes }
}

/** Draws a sequence, in caches with up to three places to spare. */
export function sequence<Cache>(
  attention: CachedAttention<Cache>,
  backend: Backend,
  sizes: SequenceSizes,
  data: Data,
): Sequence<Cache> {
  return sequenceOf(attention, backend, sizes, inputsOf(sizes, data), data.whole('spare', 0, 3))
}

/** The first position that the token at a position sees. */
function firstSeen(position: number, window: number): number {
  return Math.max(0, position + 1 - window)
}

/** Every row of attention over a sequence, from token `from` on, is near attention in float64. */
export function nearAttention<Cache>(
  attention: CachedAttention<Cache>,
  backend: Backend,
  { values, key, value, cap, window, ...sizes }: Sequence<Cache>,
  from = 0,
): void {
  const { T, H, G, K } = sizes
  const keyHeads = shared(H, G)
  const query = values.query.slice(from * H * K)
  const { y } = call(backend, attention.op, { ...values, query, T: T - from })
  for (let t = from; t < T; t++)
    for (let h = 0; h < H; h++) {
      const first = firstSeen(t, window)
      const start = ((t - from) * H + h) * K
      const own = query.subarray(start, start + K)
      const [keys, seen] = [key, value].map((cache) =>
        Array.from({ length: t + 1 - first }, (_, s) =>
          attention.rowOf(cache, keyHeads[h], first + s, sizes),
        ),
      )
      const expected = attention64(own, keys, seen, K ** -0.5, cap)
      const error = attention.bound(own, keys, seen, { scale: K ** -0.5, cap, first })
      near(`y[${t}, ${h}]`, y.subarray(start, start + K), expected, error)
    }
}

/** The laws of one op. */
export function cacheLaws<Cache>(attention: CachedAttention<Cache>) {
  const { op, argumentsOf, poison } = attention
  const law = (
    words: string,
    check: (backend: Backend, sizes: SequenceSizes, data: Data) => void,
  ): BackendLaw =>
    forAll(`${op}: ${words}`, { T, H, G, K, data: anyData }, (backend, { T, H, G, K, data }) =>
      check(backend, [T, H, G, K], data),
    )
  return {
    isNear: law(attention.formula, (backend, sizes, data) =>
      nearAttention(attention, backend, sequence(attention, backend, sizes, data)),
    ),

    futureIsUnseen: law(
      'keys and values after a position cannot change it, bit for bit, NaN included',
      (backend, sizes, data) => {
        const { values, key, value, ...all } = sequence(attention, backend, sizes, data)
        const cut = data.whole('cut', 1, all.T)
        const isFuture = (position: number): boolean => position >= cut
        const poisoned = argumentsOf(poison(key, isFuture, all), poison(value, isFuture, all))
        const past = cut * all.H * all.K
        const { y } = call(backend, op, values)
        sameBits('y', call(backend, op, { ...values, ...poisoned }).y.subarray(0, past), y.subarray(0, past))
      },
    ),

    pastIsSeen: law(
      'a token attends to every position of its window: NaN in a key or a value appears in it, in the later tokens that see it, and in no other',
      (backend, sizes, data) => {
        const { values, key, value, ...all } = sequence(attention, backend, sizes, data)
        const cut = data.whole('cut', 0, all.T - 1)
        const broken = (cache: Cache): Cache => poison(cache, (position) => position === cut, all)
        for (const caches of [argumentsOf(broken(key), value), argumentsOf(key, broken(value))])
          call(backend, op, { ...values, ...caches }).y.forEach((found, i) => {
            const t = Math.floor(i / (all.H * all.K))
            const sees = t >= cut && cut >= firstSeen(t, all.window)
            if (sees !== Number.isNaN(found))
              throw new Error(`y[${i}]: expected ${sees ? '' : 'not '}to see ${cut}`)
          })
      },
    ),

    stepIsPass: law(
      'tokens over a cache = the last tokens of a whole pass, bit for bit',
      (backend, sizes, data) => {
        const { values, T, H, K } = sequence(attention, backend, sizes, data)
        const fresh = data.whole('fresh', 1, T)
        const start = (T - fresh) * H * K
        const step = call(backend, op, { ...values, query: values.query.slice(start), T: fresh })
        sameBits('y', step.y, call(backend, op, values).y.subarray(start))
      },
    ),

    capacityIsRoom: law('the capacity of the cache changes no bit', (backend, sizes, data) => {
      const inputs = inputsOf(sizes, data)
      const [roomy, full] = [7, 0].map((spare) => {
        const { values } = sequenceOf(attention, backend, sizes, inputs, spare)
        return call(backend, op, values).y
      })
      sameBits('y', roomy, full)
    }),

    windowIsShort: forAll(
      `${op}: positions before all windows may go, by whole blocks of values, and no bit changes`,
      { T: fc.integer({ min: VALUE_BLOCK, max: 3 * VALUE_BLOCK }), G, K, data: anyData },
      (backend, { T, G, K, data }) => {
        const inputs = inputsOf([T, 2, G, K], data)
        const fresh = data.whole('fresh', 1, Math.min(T, 40))
        const first = firstSeen(T - fresh, inputs.window)
        const cut = data.whole('blocks', 0, Math.floor(first / VALUE_BLOCK)) * VALUE_BLOCK
        const [whole, short] = [0, cut].map((from) => {
          const rest = {
            ...inputs,
            keys: inputs.keys.slice(from * G * K),
            values: inputs.values.slice(from * G * K),
          }
          const { values } = sequenceOf(attention, backend, [T - from, 2, G, K], rest, 1)
          return call(backend, op, { ...values, query: inputs.query.slice((T - fresh) * 2 * K), T: fresh }).y
        })
        sameBits('y', short, whole)
      },
    ),

    wholeWindow: law('a window as long as the text, and any longer one, is none', (backend, sizes, data) => {
      const { values, T } = sequence(attention, backend, sizes, data)
      const [whole, longer] = [T, data.whole('longer', T, 2 ** 31 - 1)].map(
        (W) => call(backend, op, { ...values, W }).y,
      )
      sameBits('y', longer, whole)
    }),

    capIsWide: law(
      'a cap of 0 or less is none, and one far above all scores changes them by their rounding alone',
      (backend, sizes, data) => {
        const { values } = sequence(attention, backend, sizes, data)
        const [none, less, wide] = [0, -1, 2 ** 20].map((cap) => call(backend, op, { ...values, cap }).y)
        sameBits('y', less, none)
        near('y', wide, none, 1e-3)
      },
    ),

    equalScores: law('a zero query gives the mean of the values seen', (backend, sizes, data) => {
      const { values, value, ...all } = sequence(attention, backend, sizes, data)
      const { T, H, G, K } = all
      const { y } = call(backend, op, { ...values, query: new Float32Array(T * H * K) })
      const rows = Array.from(shared(H, G), (g) =>
        Array.from({ length: T }, (_, s) => attention.rowOf(value, g, s, all)),
      )
      const expected = y.map((_, i) => {
        const [t, h, k] = [Math.floor(i / (H * K)), Math.floor(i / K) % H, i % K]
        const seen = rows[h].slice(firstSeen(t, all.window), t + 1)
        return seen.reduce((total, row) => total + row[k], 0) / seen.length
      })
      near('y', y, expected, 1e-5 + attention.meanError(rows.flat()))
    }),

    groupsShareKeys: law(
      'heads that share a key head = heads that have a copy of it each, bit for bit',
      (backend, sizes, data) => {
        const { values, key, value, ...all } = sequence(attention, backend, sizes, data)
        const key_heads = data.ids('key_heads', all.H, all.G)
        const heads = data.someOf('heads', all.H)
        const choosing = { ...values, heads, R: heads.length }
        const [keys, seen] = [key, value].map((cache) => attention.repeat(cache, key_heads, all))
        const { y } = call(backend, op, { ...choosing, key_heads })
        sameBits('y', y, call(backend, op, { ...choosing, ...argumentsOf(keys, seen), G: all.H }).y)
      },
    ),

    neighboursShare: law(
      'without a list of key heads, head h of H reads key head floor(h G / H), bit for bit',
      (backend, sizes, data) => {
        const { values, H, G } = sequence(attention, backend, sizes, data)
        const { y } = call(backend, op, values)
        sameBits('y', y, call(backend, op, { ...values, key_heads: shared(H, G) }).y)
      },
    ),
  }
}
