/**
 * rotary: positions as rotations (Su et al. 2021, arXiv 2104.09864), as Hugging Face has them for the Llama family: of the first R
 * numbers of a head, number i and number i + M form a pair, M = floor(R / 2), which turns by an angle of its own at each position.
 *
 *   y[t, h, i]     = x[t, h, i] cos[t, i] - x[t, h, i + M] sin[t, i]        i < M
 *   y[t, h, i + M] = x[t, h, i + M] cos[t, i] + x[t, h, i] sin[t, i]
 *
 * The other numbers stay as they are: a last one without a partner, and those from R on. Row t of the table holds the cosines
 * of the position of token t, then the sines: [cos[t, 0..M-1], sin[t, 0..M-1]]. Products are rounded before they are added.
 *
 * Backward: the same by the opposite angle.
 *
 * The table has the cosines and sines of every position.
 *
 *   angle[t, i] = t * frequency[i];   frequency[i] = base^(-2 i / R)       i < M = floor(R / 2)
 *
 * Long-context checkpoints change the frequencies (`rope_scaling` of a Hugging Face config), with w = 2 pi / frequency:
 *
 *   linear   frequency / factor
 *   factors  frequency / factors[i]                          of llama.cpp, which writes llama3 down so; and of Phi-3, which also
 *            multiplies cosines and sines by a magnitude
 *   llama3   frequency / factor where w > C / low; frequency where w < C / high; between them
 *            (1 - s) frequency / factor + s frequency,  s = (C / w - low) / (high - low)       C the original context
 *
 * Everything is float64 and rounded to float32 once. Math.sin, Math.cos, Math.exp and Math.log differ between engines; what
 * stands here uses + - * / alone, so that the table has the same bits everywhere. It is within 1 unit in the last place of
 * float32 for angles below 2^17.
 */

const { abs, floor, fround, round } = Math

/** Turns every pair of every head by the angle of its token. */
export function rotary(
  y: Float32Array, // [T, H, K], may be x
  x: Float32Array, // [T, H, K]
  table: Float32Array, // [T, R]
  T: number,
  H: number,
  R: number,
  K: number,
): void {
  turn(y, x, table, 1, T, H, R, K)
}

/** Gradient of rotary. */
export function rotary_backward(
  x_grad: Float32Array, // [T, H, K], may be y_grad
  y_grad: Float32Array, // [T, H, K]
  table: Float32Array, // [T, R]
  T: number,
  H: number,
  R: number,
  K: number,
): void {
  turn(x_grad, y_grad, table, -1, T, H, R, K)
}

/** By the angles of the table, or the other way round where `direction` is -1. */
function turn(
  y: Float32Array,
  x: Float32Array,
  table: Float32Array,
  direction: 1 | -1,
  T: number,
  H: number,
  R: number,
  K: number,
): void {
  const M = Math.floor(R / 2)
  for (let t = 0; t < T; t++)
    for (let h = 0; h < H; h++) {
      const at = (t * H + h) * K
      for (let i = 0; i < M; i++) {
        const [cos, sin] = [table[t * R + i], direction * table[t * R + M + i]]
        const [first, second] = [x[at + i], x[at + i + M]]
        y[at + i] = fround(first * cos) - fround(second * sin)
        y[at + i + M] = fround(second * cos) + fround(first * sin)
      }
      for (let i = 2 * M; i < K; i++) y[at + i] = x[at + i]
    }
}

// ---- The table ----------------------------------------------------------------------------------------------

/** How a checkpoint changes the frequencies. */
export type RotaryScaling =
  | { readonly kind: 'linear'; readonly factor: number }
  | {
      readonly kind: 'factors'
      readonly factors: readonly number[] // [R / 2]
      /** What cosines and sines are multiplied by; 1 without. */
      readonly magnitude?: number
    }
  | {
      readonly kind: 'llama3'
      readonly factor: number
      readonly lowFrequencyFactor: number
      readonly highFrequencyFactor: number
      readonly originalPositions: number
    }

/** What the angles follow from. */
export interface Rotary {
  readonly base: number
  readonly scaling: RotaryScaling | null
  /** The numbers of a head that are rotated, from its first: R. Without it all of them are. */
  readonly size?: number
}

/** The table of the first `positions` positions for heads of K numbers: [positions, R], row-major. */
export function rotaryTable(rotary: Rotary, positions: number, K: number): Float32Array {
  const { size: R = K, scaling } = rotary
  const magnitude = (scaling?.kind === 'factors' && scaling.magnitude) || 1
  const M = floor(R / 2)
  const table = new Float32Array(positions * R)
  const frequencies = Array.from({ length: M }, (_, i) => frequencyOf(rotary, i, R))
  for (let t = 0; t < positions; t++)
    frequencies.forEach((frequency, i) => {
      const { cos, sin } = cosAndSin(t * frequency)
      table[t * R + i] = magnitude * cos
      table[t * R + M + i] = magnitude * sin
    })
  return table
}

function frequencyOf({ base, scaling }: Rotary, i: number, R: number): number {
  const frequency = exp((-2 * i * log(base)) / R)
  if (scaling === null) return frequency
  if (scaling.kind === 'factors') return frequency / scaling.factors[i]
  const slow = frequency / scaling.factor
  if (scaling.kind === 'linear') return slow
  const { lowFrequencyFactor: low, highFrequencyFactor: high, originalPositions } = scaling
  const turns = (originalPositions * frequency) / (2 * PI)
  if (turns < low) return slow
  if (turns > high) return frequency
  const share = (turns - low) / (high - low)
  return (1 - share) * slow + share * frequency
}

const PI = 3.14159265358979323846
/** pi / 2 in three parts. The first two have 33 bits, so that their products with whole numbers below 2^20 are exact. */
const HALF_PI = [1.57079632673412561417, 6.0771005063039659766e-11, 2.02226624879595063154e-21]
/** ln 2 in two parts, the first of 32 bits. */
const LN2 = [6.9314718036912381649e-1, 1.90821492927058770002e-10]

/** A power series in x, its coefficients from the highest power down. */
function series(x: number, coefficients: readonly number[]): number {
  return coefficients.reduce((sum, coefficient) => sum * x + coefficient, 0)
}

/** 1 / n! of these n, highest first, with these signs. */
function reciprocals(orders: readonly number[], sign: (n: number) => number): number[] {
  const factorial = (n: number): number => (n < 2 ? 1 : n * factorial(n - 1))
  return orders.map((n) => sign(n) / factorial(n))
}

const SIN = reciprocals([17, 15, 13, 11, 9, 7, 5, 3, 1], (n) => (n % 4 === 1 ? 1 : -1))
const COS = reciprocals([16, 14, 12, 10, 8, 6, 4, 2, 0], (n) => (n % 4 === 0 ? 1 : -1))
const EXP = reciprocals(
  Array.from({ length: 19 }, (_, i) => 18 - i),
  () => 1,
)
const ATANH = Array.from({ length: 12 }, (_, i) => 1 / (23 - 2 * i))

/** Of an angle from 0 to 2^20 radians, in float64. The angle is brought to within pi / 4 of a multiple of pi / 2. */
export function cosAndSin(angle: number): { readonly cos: number; readonly sin: number } {
  const quarter = round(angle / (PI / 2))
  const r = HALF_PI.reduce((rest, part) => rest - quarter * part, angle)
  const [cos, sin] = [series(r * r, COS), r * series(r * r, SIN)]
  return [
    { cos, sin },
    { cos: -sin, sin: cos },
    { cos: -cos, sin: -sin },
    { cos: sin, sin: -cos },
  ][quarter % 4]
}

/** e^x in float64, for |x| below 700. x = n ln 2 + r */
function exp(x: number): number {
  const n = round(x / (LN2[0] + LN2[1]))
  let power = series(
    LN2.reduce((rest, part) => rest - n * part, x),
    EXP,
  )
  for (let i = 0; i < abs(n); i++) power *= n > 0 ? 2 : 0.5
  return power
}

/** ln x in float64, x a positive normal number. x = 2^n m, ln m = 2 atanh((m - 1) / (m + 1)) */
function log(x: number): number {
  let [n, m] = [0, x]
  for (; m > 1.5; n++) m /= 2
  for (; m < 0.75; n--) m *= 2
  const s = (m - 1) / (m + 1)
  return 2 * s * series(s * s, ATANH) + n * LN2[1] + n * LN2[0]
}
