/**
 * Half precision as bit patterns: F16 (IEEE 754 binary16) and BF16, the upper half of float32. Widening is exact; narrowing rounds
 * to the nearest, ties to even.
 *
 * A matrix in half precision is read as float32, a row at a time. So an op over it is the float32 op over the widened one, bit for
 * bit; it has no other definition.
 */

// ---- One number -----------------------------------------------------------------------------------------------

/** The float32 pattern that equals an F16 pattern. */
function widenF16Bits(half: number): number {
  const sign = (half & 0x8000) << 16
  const exponent = (half >>> 10) & 31
  let fraction = half & 0x3ff
  if (exponent === 31) return (sign | 0x7f800000 | (fraction << 13)) >>> 0
  if (exponent !== 0) return (sign | ((exponent + 112) << 23) | (fraction << 13)) >>> 0
  if (fraction === 0) return sign >>> 0
  let shift = 0 // subnormal: moved up until its leading one is the hidden bit
  for (; (fraction & 0x400) === 0; shift++) fraction <<= 1
  return (sign | ((113 - shift) << 23) | ((fraction & 0x3ff) << 13)) >>> 0
}

/** The F16 pattern nearest to a float32 pattern, ties to even; past 65,520 an infinity. */
function narrowToF16Bits(single: number): number {
  const sign = (single >>> 16) & 0x8000
  const size = single & 0x7fffffff
  if (size > 0x7f800000) return sign | 0x7c00 | ((size >>> 13) & 0x3ff || 0x200)
  if (size >= 0x477ff000) return sign | 0x7c00
  if (size >= 0x38800000) {
    const rebiased = size - 0x38000000 // 2^-14 and up: normal in both
    return sign | ((rebiased + 0xfff + ((rebiased >>> 13) & 1)) >>> 13)
  }
  if (size <= 0x33000000) return sign // up to half the least subnormal, 2^-25, a tie that goes to zero
  const fraction = (size & 0x7fffff) | 0x800000
  const shift = 126 - (size >>> 23) // in units of 2^-24; 14 to 24
  const kept = fraction >>> shift
  const rest = fraction & ((1 << shift) - 1)
  const half = 1 << (shift - 1)
  return sign | (kept + (rest > half || (rest === half && (kept & 1) === 1) ? 1 : 0))
}

/** The BF16 pattern nearest to a float32 pattern, ties to even. */
function narrowToBf16Bits(single: number): number {
  if ((single & 0x7fffffff) > 0x7f800000) {
    const high = single >>> 16
    return high & 0x7f ? high : high | 0x40
  }
  return (single + 0x7fff + ((single >>> 16) & 1)) >>> 16
}

// ---- Arrays ---------------------------------------------------------------------------------------------------

let f16Table: Uint32Array | undefined

/** F16 patterns as float32, exactly. `out` may be given, as long as `half`. */
export function widenF16(half: Uint16Array, out: Float32Array = new Float32Array(half.length)): Float32Array {
  f16Table ??= Uint32Array.from({ length: 65_536 }, (_, bits) => widenF16Bits(bits))
  const single = patternsOf(out)
  for (let i = 0; i < half.length; i++) single[i] = f16Table[half[i]]
  return out
}

/** BF16 patterns as float32, exactly. */
export function widenBf16(
  half: Uint16Array,
  out: Float32Array = new Float32Array(half.length),
): Float32Array {
  const single = patternsOf(out)
  for (let i = 0; i < half.length; i++) single[i] = half[i] << 16
  return out
}

/** float32 rounded to F16 patterns. */
export function narrowToF16(
  values: Float32Array,
  out: Uint16Array = new Uint16Array(values.length),
): Uint16Array {
  const single = patternsOf(values)
  for (let i = 0; i < values.length; i++) out[i] = narrowToF16Bits(single[i])
  return out
}

/** float32 rounded to BF16 patterns. */
export function narrowToBf16(
  values: Float32Array,
  out: Uint16Array = new Uint16Array(values.length),
): Uint16Array {
  const single = patternsOf(values)
  for (let i = 0; i < values.length; i++) out[i] = narrowToBf16Bits(single[i])
  return out
}

/** The same memory as bit patterns: a NaN that passes through a number may lose its payload. */
export function patternsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length)
}

// ---- Rows of a matrix ---------------------------------------------------------------------------------------

/** Storages whose numbers are read as they are, or widened. */
export type FloatStorage = 'f32' | 'bf16' | 'f16'

/** A matrix whose rows can be read as float32. */
export interface StoredRows {
  /** Where opened rows are read. */
  readonly values: Float32Array
  /** Makes a row readable and says where in `values` it starts; it stays there until the next one is opened. */
  readonly open: (row: number) => number
}

/** The rows of a matrix in a storage. */
export function storedRows(
  matrix: Float32Array | Uint16Array, // [., width]
  width: number,
  storage: FloatStorage,
): StoredRows {
  if (storage === 'f32') return { values: matrix as Float32Array, open: (row) => row * width }
  const widen = storage === 'bf16' ? widenBf16 : widenF16
  const values = new Float32Array(width)
  const open = (row: number): number => {
    widen((matrix as Uint16Array).subarray(row * width, (row + 1) * width), values)
    return 0
  }
  return { values, open }
}
