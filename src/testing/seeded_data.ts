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
 * - equal: one number throughout. Of int8 it is 127, of bytes 255, so that sums are as large as they come.
 * - edges: plain, with the least and the greatest finite numbers of each precision and their neighbours mixed in.
 * - special: nothing but zeros, subnormals of either precision, huge numbers, infinities and NaN.
 */
import { narrowToBf16, narrowToF16 } from '../tensor/halves.ts'
import type { Numbers } from '../ops/op.ts'
import { Random } from '../tensor/random.ts'

/** What float32 data is like; the page above says how. */
export type DataKind =
  | 'smooth'
  | 'plain'
  | 'steep'
  | 'ties'
  | 'wild'
  | 'broken'
  | 'sparse'
  | 'equal'
  | 'edges'
  | 'special'

const tied = [-1, -0, 0, 0.5, 1, 1, 2]
const special = [0, -0, 1.4e-45, -1.4e-45, 1.17549421e-38, 1.17549435e-38, 1e30, -1e30, 1, -1, 16777216]
/** Where a precision ends or begins anew, and what exp and rounding look at; each has two neighbours. */
const boundaries: readonly number[] = Object.values({
  float32: [0, 2 ** -149, 2 ** -126, 2 ** -104, 3.4028234663852886e38],
  float16: [2 ** -25, 2 ** -24, 2 ** -14, 65504, 65520],
  bfloat16: [9.183549615799121e-41, 3.3895313892515355e38],
  integers: [0.5, 1, 127, 127.5, 32767, 2 ** 22, 2 ** 23, 2 ** 24, 2 ** 31],
  exp: [88.72283935546875, -104],
  // The greatest number over the steps of int8.
  int8: [2.6793883890187504e36],
}).flat()

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
const allSpecial = [...special, ...subnormalF16, ...beyond]

/** Arrays that can be dealt. */
export type Dealable = Numbers | Uint32Array

/** A length, or the sizes whose product it is. */
export type Shape = number | readonly number[]

/** How dealt numbers can be made simpler without ceasing to be what the caller asked for. */
export interface Simpler<Dealt extends Dealable = Dealable> {
  /** The simplest number that may stand at any place; null if the places are not independent. */
  readonly blank: number | null
  /** Whether a place may also be left out, as in a list of chosen units. */
  readonly isList?: boolean
  /** Simpler forms of all numbers at once, the simplest first, by name. */
  readonly forms?: Readonly<Record<string, (values: Dealt) => Dealt>>
}

/** Signs only, and before them ones only. */
const signs: Simpler<Float32Array>['forms'] = {
  ones: (values) => values.map((x) => (x === 0 ? 0 : 1)),
  signs: (values) => values.map(Math.sign),
}

/** Also whole numbers from 1 to 9, of either sign. */
const wholeNumbers: Simpler<Float32Array>['forms'] = {
  ...signs,
  whole: (values) =>
    values.map((x) =>
      x === 0 || !Number.isFinite(x) ? x : Math.sign(x) * Math.min(9, Math.max(1, Math.round(Math.abs(x)))),
    ),
}

/** Smooth and steep numbers are not 0. Equal ones cannot differ. */
function simplerFloats(kind: DataKind): Simpler<Float32Array> {
  if (kind === 'equal') return { blank: null, forms: signs }
  if (kind === 'smooth') return { blank: 1, forms: signs }
  return { blank: kind === 'steep' ? 1 : 0, forms: wholeNumbers }
}

/** How many numbers a shape has. */
function lengthOf(shape: Shape): number {
  return typeof shape === 'number' ? shape : shape.reduce((product, size) => product * size, 1)
}

/**
 * A stream of random numbers that also deals arrays and choices, each with a name.
 *
 * Here names mean nothing: all comes from one stream, in the order of the calls. `DrawnData` (src/verify/drawn_data.ts), the
 * data of laws, shows by these names what it dealt, and simplifies it.
 */
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

  /** Shows what was made of the data. */
  show(_name: string, _value: unknown): void {}

  /** Deals numbers that `make` makes from a stream: equal ones from an equal stream, since a report makes them again. */
  deal<Dealt extends Dealable>(
    _name: string,
    _shape: Shape,
    make: (stream: Data) => Dealt,
    _simpler: Simpler<Dealt>,
  ): Dealt {
    return make(this)
  }

  /** Deals one of so many choices, the first of which is the simplest. `show` says which. */
  protected choose(
    _name: string,
    make: (stream: Data) => number,
    _show: (choice: number) => unknown,
  ): number {
    return make(this)
  }

  /** A whole number from least, which is the simplest, to most. */
  whole(name: string, least: number, most: number): number {
    return (
      least +
      this.choose(
        name,
        (stream) => stream.below(most - least + 1),
        (choice) => least + choice,
      )
    )
  }

  /** One of the values, of which the first is the simplest. */
  oneOf<Value>(name: string, values: readonly Value[]): Value {
    return values[
      this.choose(
        name,
        (stream) => stream.below(values.length),
        (choice) => values[choice],
      )
    ]
  }

  /** True with this probability. */
  flag(name: string, probability: number): boolean {
    return this.choose(name, (stream) => (stream.chance(probability) ? 1 : 0), Boolean) === 1
  }

  /** Float32 numbers, one by one. @param simplest a number that may stand at any place */
  numbers(
    name: string,
    shape: Shape,
    one: (stream: Data, place: number) => number,
    simplest: number | null = null,
  ): Float32Array {
    const make = (stream: Data): Float32Array =>
      new Float32Array(lengthOf(shape)).map((_, place) => one(stream, place))
    return this.deal(name, shape, make, { blank: simplest })
  }

  /** Zeros and ones, each of them 1 with this probability; the simplest is 1. */
  mask(name: string, shape: Shape, one: (stream: Data, place: number) => boolean): Float32Array {
    return this.numbers(name, shape, (stream, place) => (one(stream, place) ? 1 : 0), 1)
  }

  /** Float32 data of a kind. */
  floats(name: string, shape: Shape, kind: DataKind = 'plain'): Float32Array {
    const make = (stream: Data): Float32Array => floatsOf(stream, lengthOf(shape), kind)
    return this.deal(name, shape, make, simplerFloats(kind))
  }

  /**
   * Half precision of a kind, as bit patterns: floats rounded; among wild ones any pattern, subnormals included. All of
   * them are finite.
   */
  halves(name: string, dtype: 'bf16' | 'f16', shape: Shape, kind: DataKind = 'plain'): Uint16Array {
    const make = (stream: Data): Uint16Array => halvesOf(stream, dtype, lengthOf(shape), kind)
    const narrow = dtype === 'bf16' ? narrowToBf16 : narrowToF16
    const { blank } = simplerFloats(kind)
    return this.deal(name, shape, make, { blank: blank && narrow(Float32Array.of(blank))[0] })
  }

  /** Numbers of int8 weights: -127 to 127, a handful of them for `ties`, the largest for `equal`. */
  int8s(name: string, shape: Shape, kind: DataKind = 'plain'): Int8Array {
    const length = lengthOf(shape)
    const make = (stream: Data): Int8Array =>
      kind === 'equal'
        ? new Int8Array(length).fill(127)
        : new Int8Array(length).map(() =>
            kind === 'ties' ? stream.pick([-127, -1, 0, 1, 127]) : stream.integer(-127, 127),
          )
    return this.deal(name, shape, make, {
      blank: kind === 'equal' ? null : 0,
      forms: { ones: (values) => values.map((x) => (x === 0 ? 0 : 1)) },
    })
  }

  /** Bytes; of rows of blocks that lie `sideBySide` (`ArrayParam`), scales and minima are finite. */
  bytes(name: string, shape: readonly number[], sideBySide = 0, kind: DataKind = 'plain'): Uint8Array {
    const length = lengthOf(shape)
    const make = (stream: Data): Uint8Array => {
      const bytes = new Uint8Array(length).map(() => (kind === 'equal' ? 0xff : stream.below(256)))
      if (sideBySide > 0)
        for (let at = 0; at < length; at += shape[shape.length - 1])
          bytes.set(new Uint8Array(halvesOf(stream, 'f16', 2 * sideBySide, kind).buffer), at)
      return bytes
    }
    return this.deal(name, shape, make, { blank: kind === 'equal' ? null : 0 })
  }

  /** Blocks of Q4_1 with finite scales and minima: [count, 5] words. */
  blocks(name: string, count: number, kind: DataKind = 'plain'): Uint32Array {
    const make = (stream: Data): Uint32Array => {
      const words = new Uint32Array(5 * count).map(() => stream.below(2 ** 32))
      const halves = halvesOf(stream, 'f16', 2 * count, kind)
      for (let b = 0; b < count; b++) words[5 * b] = halves[2 * b] | (halves[2 * b + 1] << 16)
      return words
    }
    return this.deal(name, [count, 5], make, { blank: 0 })
  }

  /** Values in [0, limit), in any order. */
  ids(name: string, shape: Shape, limit: number): Int32Array {
    const make = (stream: Data): Int32Array => new Int32Array(lengthOf(shape)).map(() => stream.below(limit))
    return this.deal(name, shape, make, { blank: 0 })
  }

  /** A list of `length` distinct values in [0, limit), ascending. */
  ascending(name: string, length: number, limit: number): Int32Array {
    return this.deal(name, length, (stream) => stream.permutation(limit).slice(0, length).sort(), {
      blank: null,
      forms: { first: (list) => list.map((_, i) => i) },
    })
  }

  /** A list of some distinct values in [0, limit), ascending; any number of them, none and all included. */
  someOf(name: string, limit: number): Int32Array {
    const make = (stream: Data): Int32Array => {
      const length = stream.integer(0, limit)
      return stream.permutation(limit).slice(0, length).sort()
    }
    return this.deal(name, limit, make, { blank: null, isList: true })
  }

  /** A list of some distinct values in [0, limit), in any order; any number of them, none and all included. */
  someInAnyOrder(name: string, limit: number): Int32Array {
    const make = (stream: Data): Int32Array => {
      const order = stream.permutation(limit)
      return order.slice(0, stream.integer(0, limit))
    }
    return this.deal(name, limit, make, {
      blank: null,
      isList: true,
      forms: { sorted: (list) => list.slice().sort() },
    })
  }

  /** The numbers 0..length-1 in any order. */
  order(name: string, length: number): Int32Array {
    return this.deal(name, length, (stream) => stream.permutation(length), {
      blank: null,
      forms: { sorted: (list) => list.slice().sort() },
    })
  }
}

function floatsOf(stream: Data, length: number, kind: DataKind): Float32Array {
  const values = new Float32Array(length)
  if (kind === 'equal') return values.fill(stream.uniform() * 4 - 2)
  for (let i = 0; i < length; i++) {
    const isZero = kind === 'sparse' && (3 * i < length || stream.chance(0.5))
    values[i] = isZero ? stream.pick([0, -0]) : floatOf(stream, kind)
  }
  return values
}

function floatOf(stream: Data, kind: DataKind): number {
  if (kind === 'ties') return stream.pick(tied)
  if (kind === 'smooth') return (stream.chance(0.5) ? 1 : -1) * (stream.integer(256, 1792) / 1024)
  if (kind === 'special') return stream.pick(allSpecial)
  if (kind === 'steep' || kind === 'sparse')
    return (stream.chance(0.5) ? 1 : -1) * 2 ** (stream.uniform() * 17 - 10)
  if (kind === 'edges') return stream.chance(0.3) ? stream.pick(edges) : stream.uniform() * 4 - 2
  if (kind === 'broken' && stream.chance(0.05)) return stream.pick(beyond)
  if (kind !== 'plain' && stream.chance(0.2)) return stream.pick(special)
  return stream.uniform() * 4 - 2
}

function halvesOf(stream: Data, dtype: 'bf16' | 'f16', length: number, kind: DataKind): Uint16Array {
  const [narrow, infinite] = dtype === 'bf16' ? [narrowToBf16, 0x7f80] : [narrowToF16, 0x7c00]
  const isWild = kind === 'wild' || kind === 'broken'
  return narrow(floatsOf(stream, length, kind)).map((pattern) => {
    const isKept = (pattern & 0x7fff) < infinite && !(isWild && stream.chance(0.2))
    return isKept ? pattern : (stream.below(2) << 15) | stream.below(infinite)
  })
}
