/**
 * Laws over drawn programs: parts of layers in any order, with masks anywhere.
 */
import fc from 'fast-check'
import type { Need, neededParts, needsOf } from '../../engine/needs.ts'
import type { gradients } from '../../spec/gradients.ts'
import { matrix, run, tensor, type Tensor, type Units, type Weights } from '../../spec/plain.ts'
import {
  add,
  attention,
  combine,
  embedding,
  linear,
  reluGate,
  relu,
  rmsNorm,
  rotate,
  siluGate,
  stepsOf,
  tokens,
  units,
  type Value,
} from '../../spec/program.ts'
import { sameBits } from '../compare.ts'
import { anyData } from '../drawn_data.ts'
import { lawForAll } from '../law.ts'

/** The parts of which programs are drawn. */
const part = fc.record({
  what: fc.constantFrom('attention', 'relu', 'siluGate', 'reluGate', 'bare'),
  isNormed: fc.boolean(),
  isRotated: fc.boolean(),
  isMasked: fc.boolean(),
  /** Whether it reads what the part before it read, and not its result. */
  isParallel: fc.boolean(),
  /** What a second product reads: nothing, the masked units, or what they were before. */
  readAlso: fc.constantFrom('nothing', 'masked', 'inner'),
  groups: fc.constantFrom(1, 2, 4),
})
type Part = ReturnType<(typeof part)['generate']>['value']

const [D, K, F, V] = [8, 4, 6, 5]
const H = 4

/** A program of parts: [T, V]. */
function programWith(parts: readonly Part[]): Value {
  let [before, x] = [embedding(tokens, 'table', V, D), embedding(tokens, 'table', V, D)]
  for (const [l, one] of parts.entries()) {
    const read = one.isParallel ? before : x
    const n = one.isNormed ? rmsNorm(read, `${l}.norm`, 1) : read
    const inner = innerOf(one, l, n)
    const kind = one.what === 'attention' ? 'heads' : 'neurons'
    const count = kind === 'heads' ? H : F
    const masked = one.isMasked ? units(kind, l, inner, count) : inner
    let sum = add(x, combine(masked, `${l}.out`, D))
    if (one.readAlso !== 'nothing')
      sum = add(sum, linear(one.readAlso === 'inner' ? inner : masked, `${l}.also`, D))
    ;[before, x] = [x, sum]
  }
  return linear(x, 'head', V)
}

function innerOf({ what, isRotated, groups }: Part, l: number, n: Value): Value {
  const rotary = { base: 10_000, scaling: null }
  if (what === 'attention') {
    const turned = (value: Value): Value => (isRotated ? rotate(value, rotary, K) : value)
    const [q, k, v] = [H, groups, groups].map((heads, i) => linear(n, `${l}.${'qkv'[i]}`, heads * K))
    return attention(turned(q), turned(k), v, K)
  }
  const up = linear(n, `${l}.up`, F)
  if (what === 'bare') return up
  if (what === 'relu') return relu(up)
  return (what === 'siluGate' ? siluGate : reluGate)(linear(n, `${l}.gate`, F), up)
}

/** Numbers for every parameter of a program, from a list that repeats. */
function weightsFrom(numbers: Float32Array): Weights {
  const take = (name: string, shape: readonly number[]): Float32Array => {
    const size = shape.reduce((all, length) => all * length, 1)
    const start = [...name].reduce((sum, letter) => (31 * sum + letter.charCodeAt(0)) % 997, 7)
    return Float32Array.from({ length: size }, (_, i) => numbers[(start + i) % numbers.length])
  }
  return {
    vector: ({ name, shape }) => tensor(take(name, shape), ...shape),
    matrix: ({ name, shape: [O, I] }, isTurned) =>
      matrix(isTurned ? tensor(take(name, [I, O]), I, O) : tensor(take(name, [O, I]), O, I)),
  }
}

/** The result of a program whose superfluous numbers are NaN. */
function runPoisoned(
  program: Value,
  weights: Weights,
  ids: Int32Array,
  mask: Units,
  needs: ReadonlyMap<Value, Need>,
  needed: typeof neededParts,
): Tensor {
  const replace = (x: Tensor, parts: Float32Array, value: number): Tensor => {
    const [, width] = x.shape
    return tensor(
      x.data.map((old, i) => (parts[Math.floor(((i % width) * parts.length) / width)] === 0 ? value : old)),
      ...x.shape,
    )
  }
  const keep = (step: Value, x: Tensor): Tensor => {
    // A skipped unit adds nothing, whatever it is.
    const own = step.op === 'units' ? replace(x, mask[step.kind][step.layer], 0) : x
    const need = needs.get(step)
    return need ? replace(own, needed(need, mask[need.at.kind][need.at.layer]), NaN) : own
  }
  return run(program, weights, ids, { mask, keep }).get(program) as Tensor
}

/** What the law judges. */
export interface NeedsSubject {
  readonly needsOf: typeof needsOf
  readonly neededParts: typeof neededParts
}

/** The law. */
export const skippedIsZeroed = lawForAll(
  'what a program does not need under a mask changes no bit of its result',
  {
    parts: fc.array(part, { minLength: 1, maxLength: 4, size: 'max' }),
    length: fc.integer({ min: 1, max: 4 }),
    data: anyData,
  },
  (subject: NeedsSubject, { parts, length, data }) => {
    const program = programWith(parts)
    const weights = weightsFrom(data.floats('weights', 1009))
    const ids = data.ids('ids', length, V)
    const rows = (name: string, count: number): Float32Array[] =>
      parts.map((_, l) => data.mask(`${name} ${l}`, count, (stream) => stream.chance(0.5)))
    const mask = { heads: rows('heads', H), neurons: rows('neurons', F) }
    const expected = run(program, weights, ids, { mask }).get(program) as Tensor
    const needs = subject.needsOf(program)
    const found = runPoisoned(program, weights, ids, mask, needs, subject.neededParts)
    sameBits('logits', found.data, expected.data)
  },
)

/** What the law of derivatives judges. */
export type GradientsSubject = typeof gradients

/** Σ of the numbers of a result times some weights, in float64. */
function weighed({ data }: Tensor, by: Tensor): number {
  return data.reduce((sum, value, i) => sum + value * by.data[i], 0)
}

/** The law. Parts with a kink are left out: there a difference quotient is no derivative. */
export const gradientsAreSlopes = lawForAll(
  'the derivative of a number in the factor of a unit is the difference quotient, for any program',
  {
    parts: fc.array(
      part.map((one) => ({
        ...one,
        isMasked: true,
        // Otherwise a stream may grow to numbers whose quotients are far from derivatives.
        isNormed: true,
        what: one.what.startsWith('relu') ? 'siluGate' : one.what,
      })),
      { minLength: 1, maxLength: 3, size: 'max' },
    ),
    length: fc.integer({ min: 1, max: 3 }),
    /** Which unit. */
    place: fc.nat({ max: 1000 }),
    data: anyData,
  },
  (subject: GradientsSubject, { parts, length, place, data }) => {
    const program = programWith(parts)
    const weights = weightsFrom(data.floats('weights', 1009, 'smooth').map((value) => value / 2))
    const ids = data.ids('ids', length, V)
    const endGrad = tensor(data.floats('weights of the result', [length, V], 'smooth'), length, V)
    const rows = (name: string, count: number): Float32Array[] =>
      parts.map((_, l) => data.mask(`${name} ${l}`, count, (stream) => stream.chance(0.7)))
    const mask = { heads: rows('heads', H), neurons: rows('neurons', F) }
    const results = run(program, weights, ids, { mask })
    const grads = subject(program, weights, results, endGrad, mask)
    const valueAt = (kind: keyof Units, l: number, unit: number, step: number): number => {
      const changed = mask[kind].map((row, at) =>
        row.map((factor, u) => (at === l && u === unit ? factor + step : factor)),
      )
      return weighed(
        run(program, weights, ids, { mask: { ...mask, [kind]: changed } }).get(program) as Tensor,
        endGrad,
      )
    }
    const steps = stepsOf(program).filter((step) => step.op === 'units')
    const step = steps[place % steps.length]
    const [inner, grad] = [results.get(step.of[0]), grads.get(step)] as [Tensor, Tensor]
    const unit = Math.floor(place / steps.length) % step.count
    const terms = inner.data
      .map((value, i) => value * grad.data[i])
      .filter((_, i) => Math.floor(((i % step.width) * step.count) / step.width) === unit)
    const quotient = (h: number): number =>
      (valueAt(step.kind, step.layer, unit, h) - valueAt(step.kind, step.layer, unit, -h)) / (2 * h)
    const expected = (4 * quotient(1 / 32) - quotient(1 / 16)) / 3
    const slope = terms.reduce((sum, term) => sum + term, 0)
    const size = terms.reduce((sum, term) => sum + Math.abs(term), Math.abs(expected))
    // A quotient has the rounding of a whole result.
    const rounding = (results.get(program) as Tensor).data.reduce((sum, value) => sum + Math.abs(value), 1)
    if (!(Math.abs(slope - expected) <= 1e-2 * size + 2e-5 * rounding))
      throw new Error(`${step.kind} ${step.layer} ${unit}: expected ${expected}, got ${slope}`)
  },
)
