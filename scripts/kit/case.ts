/**
 * A case of the conformance kit as it is written: arrays by name, what is expected, and beside it the bounds of each class.
 */
import type { TensorToWrite } from '../../src/io/safetensors_writer.ts'
import type { ClassName } from './arithmetic.ts'

/** What a kernel must write. */
export interface Expected {
  readonly name: string
  readonly tensor: TensorToWrite
  /** A number between the inputs and the result, which a fused kernel need not have. */
  readonly isTrace?: boolean
  /** How far each number may be off, by class. A class that is not here is not judged; null: bits are owed. */
  readonly bounds: Partial<Record<ClassName, ArrayLike<number> | null>>
}

/** A call and its result. */
export interface KitCase {
  readonly numbers: Readonly<Record<string, number | string>>
  readonly inputs: ReadonlyMap<string, TensorToWrite>
  /** In the order of computation. */
  readonly outputs: readonly Expected[]
  /** The case whose inputs named `w.` are also those of this one. */
  readonly weights?: number
}

/** An operation of the kit. */
export interface KitOp {
  readonly name: string
  readonly formula: string
  /** Every array that a call may read; null stands for one that a case does not have. */
  readonly arrays: readonly string[]
  readonly cases: readonly KitCase[]
}

/** How sizes are spoken of: 0 somewhere; up to 33; up to a tile of 128; past it. */
const sizeClasses = ['empty', 'small', 'tile', 'past_a_tile'] as const

/** What a kernel with limits may ask of a case. */
export interface Tags {
  readonly size: (typeof sizeClasses)[number]
  /** 16 bits: exact in bf16 and f16. Extreme: subnormal, past 65,504, infinite or NaN. */
  readonly values: 'plain' | '16_bits' | 'extreme'
  /** The last dimensions of all float arrays are multiples of 8. */
  readonly aligned: boolean
  /** Heads share key heads evenly. */
  readonly groups: boolean
}

/** The tags of a case, from what it holds. */
export function tagsOf({ numbers, inputs }: KitCase): Tags {
  const arrays = [...inputs.values()]
  const floats = arrays.filter(({ data }) => data instanceof Float32Array)
  const sizes = arrays.flatMap(({ shape }) => shape)
  const most = Math.max(0, ...sizes)
  const { H = 1, G = 1 } = numbers as Record<string, number>
  let values: Tags['values'] = '16_bits'
  for (const { data } of floats)
    for (const x of data as Float32Array) {
      const size = Math.abs(x)
      if (!(size <= 65504) || (size > 0 && size < 2 ** -126)) values = 'extreme'
      else if (values === '16_bits' && !isOf16Bits(size)) values = 'plain'
    }
  return {
    size: sizeClasses[sizes.includes(0) ? 0 : most <= 33 ? 1 : most <= 128 ? 2 : 3],
    values,
    aligned: floats.every(({ shape }) => (shape.at(-1) ?? 0) % 8 === 0),
    groups: G > 0 && H % G === 0,
  }
}

/** A multiple of 2^-7 with 8 significant bits, at most 128, is exact in both. */
function isOf16Bits(size: number): boolean {
  const steps = size * 128
  return (
    size === 0 ||
    (size <= 128 &&
      Number.isInteger(steps) &&
      Number.isInteger(steps / 2 ** Math.max(0, Math.floor(Math.log2(steps)) - 7)))
  )
}

/** Bounds as bf16, rounded up: they are read once, and 1 % wider than they are. */
export function asBf16(bounds: ArrayLike<number>): Uint16Array {
  const words = new Uint32Array(Float32Array.from(bounds).buffer)
  const rounded = new Float32Array(words.buffer)
  return Uint16Array.from(words, (word, i) => {
    if (Number.isNaN(rounded[i])) return 0x7fc0
    const isShort = (word & 0xffff) !== 0 || rounded[i] < bounds[i]
    return (word >>> 16) + Number(isShort && rounded[i] !== Infinity)
  })
}
