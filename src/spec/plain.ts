/**
 * A program computed on plain arrays, by the definitions of `src/ops`: the specification that every backend is held to. Sizes
 * follow from shapes; a result is a new array. The formula of an operation and the order of its additions stand in its file in
 * `src/ops`.
 */
import ndarray, { type NdArray } from 'ndarray'
import { add } from '../ops/add.ts'
import { attention } from '../ops/attention.ts'
import { embedding } from '../ops/embedding.ts'
import { gates, relu } from '../ops/activations.ts'
import { layer_norm } from '../ops/layer_norm.ts'
import { linear } from '../ops/linear.ts'
import { linear_input_major } from '../ops/linear_input_major.ts'
import { mask_units } from '../ops/mask_units.ts'
import { rms_norm } from '../ops/rms_norm.ts'
import { rotary, rotaryTable } from '../ops/rotary.ts'
import { soft_cap } from '../ops/soft_cap.ts'
import {
  EPSILON,
  scoring,
  stepsOf,
  type Parameter,
  type Scoring,
  type UnitKind,
  type Value,
} from './program.ts'

/** Row-major float32 numbers and their shape. */
export type Tensor = NdArray<Float32Array>

/** A tensor of zeros. */
export function zeros(...shape: number[]): Tensor {
  return ndarray(new Float32Array(shape.reduce((size, length) => size * length, 1)), shape)
}

/** A tensor of these numbers, which are not copied. */
export function tensor(data: Float32Array, ...shape: number[]): Tensor {
  return ndarray(data, shape)
}

/** A new tensor that an operation writes. */
export function result(shape: readonly number[], write: (y: Float32Array) => void): Tensor {
  const y = zeros(...shape)
  write(y.data)
  return y
}

/**
 * A matrix [rows, columns], however its numbers are stored. `linear` has a row for each output, and `combine` one for each input;
 * each is the gradient of the other.
 */
export interface Matrix {
  readonly rows: number
  readonly columns: number
  /** The dot of each x with each row, plus a bias: [T, rows]. x: [T, columns] */
  dots(x: Tensor, bias: Tensor | null): Tensor
  /** The sum of the rows times the numbers of each x, plus a bias: [T, columns]. x: [T, rows] */
  sums(x: Tensor, bias: Tensor | null): Tensor
  /** Rows by their numbers [T]: [T, columns]. */
  pick(ids: Int32Array): Tensor
  /** Its numbers: [rows, columns]. */
  widen(): Tensor
}

/** A matrix of float32 numbers. */
export function matrix(numbers: Tensor): Matrix {
  const { data: w } = numbers
  const [N, M] = numbers.shape
  const product = (op: typeof linear, x: Tensor, bias: Tensor | null, O: number, I: number): Tensor => {
    const T = x.shape[0]
    return result([T, O], (y) => op(y, x.data, w, bias?.data ?? null, null, T, O, I, N, 'f32'))
  }
  return {
    rows: N,
    columns: M,
    dots: (x, bias) => product(linear, x, bias, N, M),
    sums: (x, bias) => product(linear_input_major, x, bias, M, N),
    pick: (ids) => result([ids.length, M], (y) => embedding(y, w, ids, ids.length, N, M, 'f32')),
    widen: () => numbers,
  }
}

/** The numbers of a checkpoint. */
export interface Weights {
  /** A vector. */
  vector(parameter: Parameter): Tensor
  /** A matrix as `linear` and `embedding` read it, a row per output, or turned as `combine` does, a row per input. */
  matrix(parameter: Parameter, isTurned: boolean): Matrix
}

/** A mask for a whole text, as ShadowLLM has it, or one for each token [T]; null computes every unit. */
export type Mask = Units | readonly Units[] | null

/** One number per unit: a score, or a mask with 1 to compute the unit and 0 to skip it. */
export interface Units {
  readonly heads: readonly Float32Array[] // [L] of [H]
  readonly neurons: readonly Float32Array[] // [L] of [F]
}

/** What a program is computed with, beside its weights. */
export interface Setting {
  readonly mask?: Mask
  /** Attention where keys and values are rounded for a cache, in place of `attend`. */
  readonly attention?: Attend
  /** What `linear` and `combine` read in place of x [T, width], the result of a step. */
  readonly read?: (value: Value, x: Tensor) => Tensor
  /** What is kept of the result of a step [T, width]. */
  readonly keep?: (step: Value, result: Tensor) => Tensor
}

/** What steps gave: [T, width] each. */
type Results = Map<Value, Tensor>

/** Every step of a program over the ids of a text [T]. */
export function run(end: Value, weights: Weights, ids: Int32Array, setting: Setting = {}): Results {
  const results: Results = new Map()
  const T = ids.length
  const at = (value: Value): Tensor => results.get(value) as Tensor
  const read = setting.read ?? ((_value: Value, x: Tensor) => x)
  const compute = (step: Value): Tensor => {
    const [x, y, z] = step.of.map(at)
    switch (step.op) {
      case 'tokens':
        return tensor(Float32Array.from(ids), T, 1)
      case 'positions':
        return result([T, 1], (out) => ids.forEach((_, t) => (out[t] = t + step.offset)))
      case 'embedding':
        return weights.matrix(step.weight, false).pick(Int32Array.from(x.data))
      case 'layerNorm':
        return layerNorm(x, weights.vector(step.weight), weights.vector(step.bias))
      case 'rmsNorm': {
        const { data: weight, size } = normWeight(weights, step.weight)
        return result(x.shape, (out) => rms_norm(out, x.data, weight, step.epsilon, x.size / size, size))
      }
      case 'linear':
      case 'combine': {
        const bias = step.bias && weights.vector(step.bias)
        const operand = read(step.of[0], x)
        if (step.op === 'linear') return weights.matrix(step.weight, false).dots(operand, bias)
        return weights.matrix(step.weight, true).sums(operand, bias)
      }
      case 'rotate': {
        const [K, table] = [step.headSize, rotaryTable(step.rotary, T, step.headSize)]
        return result(x.shape, (out) => rotary(out, x.data, table, T, step.width / K, table.length / T, K))
      }
      case 'attention':
        return (setting.attention ?? attend)(x, y, z, scoring(step, T))
      case 'units':
        return maskUnits(x, factorsOf(setting.mask ?? null, step.kind, step.layer))
      case 'add':
        return result(x.shape, (out) => add(out, x.data, y.data, x.size))
      case 'scale':
        return result(x.shape, (out) => mask_units(out, x.data, Float32Array.of(step.factor), 1, 1, x.size))
      case 'cap':
        return result(x.shape, (out) => soft_cap(out, x.data, step.cap, x.size))
      case 'relu':
        return rectify(x)
      case 'gate':
        return result(x.shape, (out) => gates[step.activation].forward(out, x.data, y.data, x.size))
    }
  }
  const keep = setting.keep ?? ((_step: Value, x: Tensor) => x)
  for (const step of stepsOf(end)) results.set(step, keep(step, compute(step)))
  return results
}

/** (x − mean x) / √(var x + ε) of each row, times a weight plus a bias [D]. x: [T, D] */
export function layerNorm(x: Tensor, weight: Tensor, bias: Tensor): Tensor {
  const [T, D] = x.shape
  return result(x.shape, (y) => layer_norm(y, x.data, weight.data, bias.data, EPSILON, T, D))
}

/** What a norm multiplies by: its offset plus its numbers. */
export function normWeight(weights: Weights, parameter: Parameter): Tensor {
  const { offset = 0 } = parameter
  const numbers = weights.vector(parameter)
  return offset === 0 ? numbers : result(numbers.shape, (y) => y.set(numbers.data.map((w) => offset + w)))
}

/** max(x, 0). */
export function rectify(x: Tensor): Tensor {
  return result(x.shape, (y) => relu(y, x.data, x.size))
}

/** Causal attention of every head. q and the result: [T, H K]; k, v: [T, G K]. */
export type Attend = (q: Tensor, k: Tensor, v: Tensor, numbers: Scoring) => Tensor

function attend(q: Tensor, k: Tensor, v: Tensor, { headSize: K, scale, cap, window: W }: Scoring): Tensor {
  const [[T, width], G] = [q.shape, k.shape[1] / K]
  const H = width / K
  const [keys, values] = [byHead(k, K), byHead(v, K)]
  return result(q.shape, (y) =>
    attention(y, q.data, keys, values, null, null, scale, cap, T, T, W, T, H, G, K, H),
  )
}

/** [T, G K] to [G, T, K], as attention reads keys and values. */
export function byHead(x: Tensor, K: number): Float32Array {
  const [T, width] = x.shape
  const placeOf = (g: number, t: number, k: number): number => t * width + g * K + k
  return x.data.map((_, i) => x.data[placeOf(Math.floor(i / (T * K)), Math.floor(i / K) % T, i % K)])
}

/** Factors of U units: the same for all tokens, or [T] of them; null is all ones. */
type Factors = Float32Array | readonly Float32Array[] | null

/** The factors of a layer's units. */
export function factorsOf(mask: Mask, kind: UnitKind, l: number): Factors {
  if (mask === null) return null
  return 'heads' in mask ? mask[kind][l] : mask.map((own) => own[kind][l])
}

/** Each unit's numbers times its factor. x: [T, U K] */
export function maskUnits(x: Tensor, factors: Factors): Tensor {
  if (factors === null) return x
  const [T, width] = x.shape
  return result(x.shape, (y) => {
    for (let t = 0; t < T; t++) {
      const own = factors instanceof Float32Array ? factors : factors[t]
      const [to, from] = [y, x.data].map((all) => all.subarray(t * width, (t + 1) * width))
      mask_units(to, from, own, 1, own.length, width / own.length)
    }
  })
}
