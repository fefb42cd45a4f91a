/**
 * Numbers with the error that a kernel may have made of them, for each class of arithmetic of the conformance kit.
 *
 * A number is a value v, exact but for float64, and a bound e: a kernel of the class holds a number within e of v. Each operation adds
 * what it magnifies of the errors of its operands and what its own rounding adds (running error analysis: Higham, Accuracy
 * and Stability of Numerical Algorithms, section 3.3). With u the unit roundoff and h half the distance of subnormal numbers:
 *
 *   x + y      e_x + e_y + u (|v| + e) + h               the rounding of a result v
 *   x y        |x| e_y + |y| e_x + e_x e_y + u (...) + h
 *   x / y      (e_x + |x / y| e_y) / (|y| - e_y) + ...   nothing is known where y may be 0
 *   f(x)       the larger of |f(v ± e) - f(v)|, as f is monotonic, + the error of f
 *   sum of n   the errors of the terms + γ_n sum (|v_i| + e_i), γ_n = n u / (1 - n u), which holds for every order
 *   max        the largest error, as comparing rounds nothing
 *
 * What each class may do:
 *
 *   fused      leave products unrounded in the additions of the definition; exp and log within 2 units in the last place
 *   any_order  also add in any order
 *   hardware   also round a quotient and a root to 2 units, use the functions of a GPU (2 + 1.2 |x| units for exp), flush subnormals
 *   bf16, f16  also round arrays that are read or written, and factors of sums, to 16 bits; sums are of float32
 *
 * Through a whole layer or model such sums say nothing: each product multiplies a bound by the sum of a row of absolute weights, which no
 * kernel comes near. There `likely` takes roundings as independent, as in probabilistic error analysis (Higham and Mary, A new
 * approach to probabilistic rounding error analysis, 2019): e is a standard deviation, squares are added, and a bound is DEVIATIONS
 * times e. Products of 0, as of a unit that is skipped, stay exact.
 *
 * A bound between a kernel and the definition is e plus the distance of the definition from v, which is measured. Whole numbers
 * owe bits in each class. Functions here use + - * / and roots alone, so that bounds have the same bits on every engine.
 */

/** The classes that do not owe bits, the strictest first. */
export const classes = ['fused', 'any_order', 'hardware', 'bf16', 'f16'] as const
export type ClassName = (typeof classes)[number]

/** A value and how far a kernel's may be from it. */
export interface Near {
  readonly v: number
  readonly e: number
}

/** Roundings to 16 bits: unit, half of the distance of subnormals, largest number. */
const halves = {
  bf16: { unit: 2 ** -8, least: 2 ** -126, most: 3.3895313892515355e38 },
  f16: { unit: 2 ** -11, least: 2 ** -25, most: 65504 },
}

const UNIT = 2 ** -24
const MOST = 3.4028234663852886e38
/** Float64 is exact but for this share, and shares of second order are below it. */
const SLACK = 1 + 2 ** -20

/** How many standard deviations a bound is, where errors are taken as independent. */
const DEVIATIONS = 6

const { abs, max, min, sqrt } = Math

/** e^x in float64: x = n ln 2 + r. */
function exp64(x: number): number {
  if (!(abs(x) < 700)) return x > 0 ? Infinity : x < 0 ? 0 : NaN
  const n = Math.round(x / 0.6931471805599453)
  const r = x - n * 0.6931471803691238 - n * 1.9082149292705877e-10
  let power = 1
  for (let i = 18; i > 0; i--) power = 1 + (power * r) / i
  return power * 2 ** n
}

/** ln x in float64: x = 2^n m, ln m = 2 atanh((m - 1) / (m + 1)). */
function log64(x: number): number {
  if (!(x > 0)) return x === 0 ? -Infinity : NaN
  if (x === Infinity) return x
  let [n, m] = [0, x]
  for (; m > 1.5; n++) m /= 2
  for (; m < 0.75; n--) m *= 2
  const s = (m - 1) / (m + 1)
  let series = 0
  for (let i = 25; i > 0; i -= 2) series = series * s * s + 1 / i
  return 2 * s * series + n * 0.6931471805599453
}

/** The arithmetic of a class. */
export class Arithmetic {
  readonly #half: (typeof halves)['bf16'] | null
  readonly #isFused: boolean
  readonly #isHardware: boolean
  readonly #isLikely: boolean
  /** How many times its e a number may be off. */
  readonly #reach: number
  /** The error of a rounded number of size 0. */
  readonly #least: number

  constructor(name: ClassName, form: 'certain' | 'likely' = 'certain') {
    this.#half = name === 'bf16' || name === 'f16' ? halves[name] : null
    this.#isFused = name === 'fused'
    this.#isHardware = !this.#isFused && name !== 'any_order'
    this.#isLikely = form === 'likely'
    this.#reach = this.#isLikely ? DEVIATIONS : 1
    this.#least = this.#isHardware ? 2 ** -126 : 2 ** -149
  }

  /** How far each number of a result may be off that is written to an array. */
  boundsOf(expected: ArrayLike<number>, result: readonly Near[]): Float64Array {
    return Float64Array.from(result, (near, i) => {
      const { v, e } = this.stored(near)
      return boundOf(expected[i], { v, e: e * this.#reach })
    })
  }

  /** A number of float32 that is known, such as 1. */
  exactly(v: number): Near {
    return { v, e: 0 }
  }

  /** A number of an array that is read or written: rounded to the 16 bits of the class, or flushed to 0 if it is subnormal. */
  stored(near: Near): Near {
    if (this.#half === null || (near.v === 0 && near.e === 0)) return this.flushed(near)
    const { unit, least, most } = this.#half
    const { v, e } = near
    const size = abs(v) + e
    return { v, e: size > most ? Infinity : this.#withRounding(e, unit * size + least) }
  }

  /** An operand: hardware may take a subnormal one for 0. */
  flushed({ v, e }: Near): Near {
    const isNormal = !this.#isHardware || abs(v) - e >= 2 ** -126 || v !== v
    return { v, e: isNormal ? e : max(e, min(abs(v) + e, 2 ** -126)) }
  }

  #both(a: number, b: number): number {
    return this.#isLikely ? sqrt(a * a + b * b) : a + b
  }

  /** The error of a number and of its rounding, of which any up to the largest is as likely. */
  #withRounding(e: number, rounding: number): number {
    return this.#isLikely ? sqrt(e * e + (rounding * rounding) / 3) : e + rounding
  }

  #rounded(v: number, e: number, unit = UNIT): Near {
    const size = abs(v) + e
    if (size === 0) return { v, e }
    return { v, e: size > MOST ? Infinity : this.#withRounding(e, unit * size + this.#least) * SLACK }
  }

  add(x: Near, y: Near): Near {
    return this.#rounded(x.v + y.v, this.#both(x.e, y.e))
  }

  sub(x: Near, y: Near): Near {
    return this.#rounded(x.v - y.v, this.#both(x.e, y.e))
  }

  #offProduct(x: Near, y: Near): number {
    return this.#both(abs(x.v) * y.e, abs(y.v) * x.e) + x.e * y.e
  }

  mul(x: Near, y: Near): Near {
    return this.#rounded(x.v * y.v, this.#offProduct(x, y))
  }

  div(x: Near, y: Near): Near {
    const v = x.v / y.v
    const least = abs(y.v) - y.e
    if (!(least > 0)) return { v, e: Number.isNaN(v) ? NaN : Infinity }
    return this.#rounded(v, this.#both(x.e, abs(v) * y.e) / least, this.#isHardware ? 4 * UNIT : UNIT)
  }

  /** The error of a rising function, where its argument is off by so much. */
  #moved(f: (x: number) => number, { v, e }: Near): number {
    return max(f(v + e) - f(v), f(v) - f(v - e))
  }

  sqrt(x: Near): Near {
    const root = (value: number): number => sqrt(max(0, value))
    return this.#rounded(sqrt(x.v), this.#moved(root, x), this.#isHardware ? 4 * UNIT : UNIT)
  }

  exp(x: Near): Near {
    // An exponential that is 0 in float32 is 0 by every function.
    const size = Math.min(abs(x.v) + x.e, 104)
    if (exp64(x.v - x.e) > MOST * 2) return { v: Infinity, e: 0 }
    return this.#rounded(
      exp64(x.v),
      this.#moved(exp64, x),
      this.#isHardware ? (6 + 2.4 * size) * UNIT : 4 * UNIT,
    )
  }

  log(x: Near): Near {
    const v = log64(x.v)
    if (!(x.v > x.e)) return { v, e: x.v > 0 ? Infinity : v === -Infinity && x.e === 0 ? 0 : NaN }
    const { e } = this.#rounded(v, this.#moved(log64, x), 6 * UNIT)
    return { v, e: this.#isHardware ? e + 2 ** -21 : e }
  }

  /** cap tanh(x / cap), whose slope is at most 1. */
  capped(x: Near, cap: number): Near {
    const power = exp64((-2 * abs(x.v)) / cap)
    const v = (Math.sign(x.v) * cap * (1 - power)) / (1 + power)
    return this.#rounded(v, x.e, this.#isHardware ? 2 ** -10 : 16 * UNIT)
  }

  /** max(x, 0), 0 where x is NaN. */
  positive(x: Near): Near {
    return x.v > 0 ? x : { v: 0, e: max(0, x.e + x.v / this.#reach) || 0 }
  }

  /** Whether a number may be above 0. */
  mayBePositive({ v, e }: Near): boolean {
    return v > 0 || e * this.#reach > -v
  }

  abs(x: Near): Near {
    return { v: abs(x.v), e: x.e }
  }

  neg(x: Near): Near {
    return { v: -x.v, e: x.e }
  }

  largest(count: number, at: (i: number) => Near): Near {
    let [v, e] = [-Infinity, 0]
    for (let i = 0; i < count; i++) {
      const x = at(i)
      if (x.v > v) v = x.v
      e = max(e, x.e)
    }
    return { v, e: v === -Infinity ? 0 : e }
  }

  /** The sum of terms. @param striped whether the definition adds in stripes */
  sum(count: number, at: (i: number) => Near, striped = true): Near {
    let [v, e, size] = [0, 0, 0]
    for (let i = 0; i < count; i++) {
      const x = at(i)
      v += x.v
      e = this.#both(e, x.e)
      size += abs(x.v) + x.e
    }
    return this.#total(v, e, size, count, striped)
  }

  /** The sum of products. Products of 16 bits may be rounded to them. */
  dot(
    count: number,
    a: readonly Near[],
    aStart: number,
    b: readonly Near[],
    bStart: number,
    striped = true,
    bStep = 1,
  ): Near {
    let [v, e, size] = [0, 0, 0]
    const { unit, least, most } = this.#half ?? { unit: UNIT, least: this.#least, most: MOST }
    for (let i = 0; i < count; i++) {
      const [x, y] = [a[aStart + i], b[bStart + i * bStep]]
      const product = x.v * y.v
      const own = this.#offProduct(x, y)
      const whole = abs(product) + own
      if (whole > most) e = Infinity
      else if (whole !== 0) e = this.#both(e, this.#withRounding(own, unit * whole + least))
      v += product
      size += whole
    }
    return this.#total(v, e, size, count, striped)
  }

  #total(v: number, e: number, size: number, count: number, striped: boolean): Near {
    if (size === 0) return { v, e }
    const stripes = Math.floor(count / 16)
    const most = this.#isFused && striped ? (stripes > 0 ? stripes + 4 : 0) + (count % 16) + 1 : count + 1
    const roundings = this.#isLikely ? sqrt(most) : most
    const share = (roundings * UNIT) / (1 - roundings * UNIT)
    return { v, e: size > MOST ? Infinity : this.#withRounding(e, share * (size + e)) * SLACK }
  }
}

/**
 * How far a kernel's number may be from the definition's. NaN: both are NaN. Infinity: nothing is owed. What certainly overflows is
 * infinite in both, and 0 says so.
 */
function boundOf(expected: number, { v, e }: Near): number {
  if (Number.isNaN(v)) return Number.isNaN(expected) ? NaN : Infinity
  if (Number.isNaN(e) || !Number.isFinite(e)) return Infinity
  if (Number.isFinite(v) && abs(v) - e > MOST * SLACK) return abs(expected) === Infinity ? 0 : Infinity
  if (!Number.isFinite(expected)) return expected === v && e === 0 ? 0 : Infinity
  return Number.isFinite(v) && abs(v) + e <= MOST ? e + abs(expected - v) * SLACK : Infinity
}
