/**
 * Seeded data for laws and for the parity path: equal seeds give equal data on every engine.
 *
 * Kinds of float32 data:
 * - smooth: multiples of 2^-10 whose size lies in [0.25, 1.75]. Sums and differences with small powers of two are
 *   exact, and no value is near zero: what finite differences and exact shifts need.
 * - plain: uniform in [-2, 2).
 * - steep: any sign, sizes spread evenly over the exponents from 2^-10 to 2^7: what spans the whole range of exp.
 * - ties: a handful of values, both zeros among them, so that comparisons meet equals.
 * - wild: plain, with zeros of both signs, subnormals and numbers up to 1e30 mixed in.
 * - broken: wild, with infinities and NaN.
 * - sparse: steep, but zeros of either sign for the first third and for half of the rest, as after ReLU.
 * - equal: one number throughout. Of int8 it is 127, of int4 15, so that sums are as large as they come.
 * - edges: plain, with the least and the greatest finite numbers of each precision and their neighbours mixed in.
 * - special: nothing but zeros, subnormals of either precision, huge numbers, infinities and NaN.
 */
import { narrowToBf16, narrowToF16 } from '../tensor/dtypes.ts'
import { QUAD_BYTES } from '../tensor/int4.ts'
import { Random } from '../tensor/random.ts'

/** What float32 data is like; the page above says how. */
export type DataKind =
  'smooth' | 'plain' | 'steep' | 'ties' | 'wild' | 'broken' | 'sparse' | 'equal' | 'edges' | 'special'

const tied = [-1, -0, 0, 0.5, 1, 1, 2]
const special = [0, -0, 1.4e-45, -1.4e-45, 1.17549421e-38, 1.17549435e-38, 1e30, -1e30, 1, -1, 16777216]
/** Where a precision ends or begins anew, and what exp and rounding look at; each has two neighbours. */
const boundaries = [
  // float32
  0,
  2 ** -149,
  2 ** -126,
  2 ** -104,
  3.4028234663852886e38,
  // float16
  2 ** -25,
  2 ** -24,
  2 ** -14,
  65504,
  65520,
  // bfloat16
  9.183549615799121e-41,
  3.3895313892515355e38,
  // rounding to whole numbers, and exp
  0.5,
  1,
  127,
  127.5,
  32767,
  2 ** 22,
  2 ** 23,
  2 ** 24,
  2 ** 31,
  88.72283935546875,
  -104,
  2.6793883890187504e36,
]

/** The float32 numbers that are next to others in size, and these. They are finite. */
function withNeighbours(numbers: readonly number[]): number[] {
  const values = Float32Array.from(numbers)
  const patterns = new Uint32Array(values.buffer)
  const found = [-1, 0, 1].flatMap((step) => {
    const moved = patterns.map(
      (pattern) => Math.max(0, (pattern & 0x7fffffff) + step) | (pattern & 0x80000000),
    )
    return [...new Float32Array(moved.buffer)]
  })
  return found.filter(Number.isFinite).flatMap((value) => [value, -value])
}

/** Finite numbers at the edges of what is represented. */
export const edges: readonly number[] = withNeighbours(boundaries)

const beyond = [Infinity, -Infinity, NaN]
/** Subnormal in half precision: half of the largest, and a tie of the two least. */
const subnormalF16 = [2 ** -15, 1.5 * 2 ** -24]

/** A stream of random numbers that also deals arrays. */
export class Data extends Random {
  /** A whole number from least to most, both included. */
  integer(least: number, most: number): number {
    return least + this.below(most - least + 1)
  }

  /** One of the values. */
  pick<Value>(values: readonly Value[]): Value {
    return values[this.below(values.length)]
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.uniform() < probability
  }

  /** Float32 data of a kind. */
  floats(length: number, kind: DataKind = 'plain'): Float32Array {
    const values = new Float32Array(length)
    if (kind === 'equal') return values.fill(this.uniform() * 4 - 2)
    for (let i = 0; i < length; i++) {
      const isZero = kind === 'sparse' && (3 * i < length || this.chance(0.5))
      values[i] = isZero ? this.pick([0, -0]) : this.#float(kind)
    }
    return values
  }

  #float(kind: DataKind): number {
    if (kind === 'ties') return this.pick(tied)
    if (kind === 'smooth') return (this.chance(0.5) ? 1 : -1) * (this.integer(256, 1792) / 1024)
    if (kind === 'special') return this.pick([...special, ...subnormalF16, ...beyond])
    if (kind === 'steep' || kind === 'sparse')
      return (this.chance(0.5) ? 1 : -1) * 2 ** (this.uniform() * 17 - 10)
    if (kind === 'edges') return this.chance(0.3) ? this.pick(edges) : this.uniform() * 4 - 2
    if (kind === 'broken' && this.chance(0.05)) return this.pick(beyond)
    if (kind !== 'plain' && this.chance(0.2)) return this.pick(special)
    return this.uniform() * 4 - 2
  }

  /**
   * Half precision of a kind, as bit patterns: floats rounded; among wild ones any pattern, subnormals included. All of
   * them are finite.
   */
  halves(dtype: 'bf16' | 'f16', length: number, kind: DataKind = 'plain'): Uint16Array {
    const [narrow, infinite] = dtype === 'bf16' ? [narrowToBf16, 0x7f80] : [narrowToF16, 0x7c00]
    const isWild = kind === 'wild' || kind === 'broken'
    return narrow(this.floats(length, kind)).map((pattern) => {
      const isKept = (pattern & 0x7fff) < infinite && !(isWild && this.chance(0.2))
      return isKept ? pattern : (this.below(2) << 15) | this.below(infinite)
    })
  }

  /** Numbers of int8 weights: -127 to 127, a handful of them for `ties`, the largest for `equal`. */
  int8s(length: number, kind: DataKind = 'plain'): Int8Array {
    if (kind === 'equal') return new Int8Array(length).fill(127)
    return Int8Array.from({ length }, () =>
      kind === 'ties' ? this.pick([-127, -1, 0, 1, 127]) : this.integer(-127, 127),
    )
  }

  /** Bytes of int4 numbers; with their scales among them (`interleaved`, of 80 bytes each), these are finite. */
  int4s(length: number, interleaved: boolean, kind: DataKind = 'plain'): Uint8Array {
    const bytes = Uint8Array.from({ length }, () => (kind === 'equal' ? 0xff : this.below(256)))
    if (interleaved)
      for (let at = 0; at < length; at += QUAD_BYTES)
        bytes.set(new Uint8Array(this.halves('f16', 8, kind).buffer), at)
    return bytes
  }

  /** Blocks of int4 numbers with finite scales and minima: [count, 5] words (src/tensor/int4.ts). */
  int4Blocks(count: number, kind: DataKind = 'plain'): Uint32Array {
    const words = Uint32Array.from({ length: 5 * count }, () => this.below(2 ** 32))
    const halves = this.halves('f16', 2 * count, kind)
    for (let b = 0; b < count; b++) words[5 * b] = halves[2 * b] | (halves[2 * b + 1] << 16)
    return words
  }

  /** Values in [0, limit), in any order. */
  ids(length: number, limit: number): Int32Array {
    return Int32Array.from({ length }, () => this.below(limit))
  }

  /** A list of `length` distinct values in [0, limit), ascending. */
  ascending(length: number, limit: number): Int32Array {
    return this.permutation(limit).slice(0, length).sort()
  }

  /** A list of some distinct values in [0, limit), ascending; any number of them, none and all included. */
  someOf(limit: number): Int32Array {
    return this.ascending(this.integer(0, limit), limit)
  }
}
