/**
 * Numbers that a bundle need not hold, because they follow from a seed and their place. cuda/certify/numbers.hpp has the
 * same rules; a bundle holds hashes of what comes of them, so that it would show if they were others.
 */
import { NOT_SCORED } from '../../../src/ops/cross_entropy.ts'
import type { Dtype, Numbers } from '../../../src/ops/op.ts'
import type { Fill } from './program.ts'

/** What is generated: everything but what is stored. */
export type GeneratedFill = Exclude<Fill, { readonly kind: 'data' }>

/** 32 bits from a seed and a place: MurmurHash3's last step, which lets every bit reach every other. */
function mix(seed: number, place: number): number {
  let z = (Math.imul(place, 0x9e3779b9) + seed) >>> 0
  z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
  z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
  return (z ^ (z >>> 16)) >>> 0
}

/** -2 to 2, in steps of 2^-22; a whole number of these steps is a float32. */
const plain = (bits: number): number => Math.fround((bits >>> 8) * 2 ** -22 - 2)

/** A finite pattern of half precision, 2^-5 to 2 in size: sign, six exponents from `least` on, mantissa. */
const half = (bits: number, least: number, mantissa: number): number =>
  ((bits >>> 31) << 15) |
  ((least + (((bits >>> 16) & 0x7fff) % 6)) << mantissa) |
  (bits & ((1 << mantissa) - 1))

/** Fills an array with numbers of its dtype from a seed. */
type Filler = (numbers: Numbers, seed: number) => void

/** A loop for each dtype: a common one would call a function for each of 200 million numbers, in eight times the time. */
const fillers: Readonly<Record<Dtype, Filler>> = {
  f32: (y, seed) => {
    for (let i = 0; i < y.length; i++) y[i] = plain(mix(seed, i))
  },
  i32: (y, seed) => {
    for (let i = 0; i < y.length; i++) y[i] = mix(seed, i) >> 8
  },
  bf16: (y, seed) => {
    for (let i = 0; i < y.length; i++) y[i] = half(mix(seed, i), 122, 7)
  },
  f16: (y, seed) => {
    for (let i = 0; i < y.length; i++) y[i] = half(mix(seed, i), 10, 10)
  },
  i8: (y, seed) => {
    for (let i = 0; i < y.length; i++) y[i] = (mix(seed, i) % 255) - 127
  },
  // Two bytes that are a scale or a minimum then have no exponent of ones: they are finite, below 2 in size.
  i4: (y, seed) => {
    for (let i = 0; i < y.length; i++) y[i] = mix(seed, i) & 0xbf
  },
}

/** Fills numbers as a bundle says it. */
export function generate(numbers: Numbers, dtype: Dtype, fill: GeneratedFill): void {
  if (fill.kind === 'noise') new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength).fill(0xff)
  else if (fill.kind === 'numbers') fillers[dtype](numbers, fill.seed)
  else {
    const rule = ruleOf(fill, numbers.length)
    for (let i = 0; i < numbers.length; i++) numbers[i] = rule(i)
  }
}

type Rule = (place: number) => number

function ruleOf(fill: Exclude<GeneratedFill, { kind: 'noise' | 'numbers' }>, length: number): Rule {
  switch (fill.kind) {
    case 'zeros':
      return () => 0
    case 'sizes':
      return (i) => Math.abs(plain(mix(fill.seed, i)))
    case 'ids':
      return (i) => mix(fill.seed, i) % fill.limit
    case 'labels':
      return (i) => (mix(fill.seed + 1, i) % 5 === 0 ? NOT_SCORED : mix(fill.seed, i) % fill.limit)
    case 'spread':
      return (i) => spread(i, length, fill.limit)
    default:
      return (i) => spread(length - 1 - i, length, fill.limit)
  }
}

/** The i-th of `length` units that lie evenly among `limit`. */
function spread(i: number, length: number, limit: number): number {
  return Math.floor((i * limit) / length)
}
