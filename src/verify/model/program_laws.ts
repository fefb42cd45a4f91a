/**
 * Laws over drawn programs: parts of layers in any order, with masks anywhere.
 */
import fc from 'fast-check'
import type { Buffer } from '../../backends/backend.ts'
import { BufferScope } from '../../backends/buffer_scope.ts'
import { createBackend } from '../../backends/select.ts'
import { maskModes, type ActiveLayer, type activateLayer } from '../../engine/active_layer.ts'
import type { Matrix } from '../../engine/storages/index.ts'
import { neededParts, needsOf, type Need } from '../../engine/needs.ts'
import type { Plan, planOf } from '../../engine/plan.ts'
import { RunState } from '../../engine/run_state.ts'
import type { Pass, runStep } from '../../engine/run_step.ts'
import { chosenUnits } from '../../engine/unit_lists.ts'
import type { Activation } from '../../ops/activations.ts'
import { rotaryTable } from '../../ops/rotary.ts'
import type { gradients } from '../../spec/gradients.ts'
import { matrix, normWeight, run, tensor, type Tensor, type Units, type Weights } from '../../spec/plain.ts'
import {
  add,
  attention,
  cap,
  combine,
  embedding,
  gate,
  linear,
  relu,
  rmsNorm,
  rotate,
  scale,
  stepsOf,
  tap,
  tokens,
  units,
  type Value,
} from '../../spec/program.ts'
import type { Data } from '../../testing/seeded_data.ts'
import { sameBits } from '../compare.ts'
import { anyData } from '../drawn_data.ts'
import { dot64 } from '../float64.ts'
import { lawForAll } from '../law.ts'

/** The parts of which programs are drawn. */
const part = fc.record({
  what: fc.constantFrom('attention', 'attention', 'relu', 'silu gate', 'relu gate', 'gelu_tanh gate', 'bare'),
  isNormed: fc.boolean(),
  /** Over what queries and keys are normed, if they are. */
  queryNorm: fc.constantFrom('none', 'none', 'head', 'width'),
  keyNorm: fc.constantFrom('none', 'none', 'head', 'width'),
  /** What is added to the weights of norms. */
  offset: fc.constantFrom(0, 1),
  /** What units are multiplied by before they are masked; 1 for nothing. */
  factor: fc.constantFrom(1, 1, 3),
  /** Whether they are capped before they are masked. */
  isCapped: fc.constantFrom(false, false, true),
  /** Whether what is added to the stream is normed. */
  isNormedAfter: fc.boolean(),
  /** How many numbers of a head are rotated. */
  rotated: fc.constantFrom(0, 2, 4),
  form: fc.record({
    window: fc.constantFrom(undefined, undefined, 1, 2, 3),
    cap: fc.constantFrom(undefined, 2),
    scale: fc.constantFrom(undefined, 0.25),
  }),
  isMasked: fc.boolean(),
  /** Whether it reads what the part before it read, and not its result. */
  isParallel: fc.boolean(),
  hasBias: fc.boolean(),
  /** What a second product reads: nothing, the masked units, or what they were before. */
  readAlso: fc.constantFrom('nothing', 'nothing', 'masked', 'inner'),
  groups: fc.constantFrom(1, 2, 2, 4),
  /** How often the masked units are added up. */
  readers: fc.constantFrom(1, 1, 2),
})
type Part = ReturnType<(typeof part)['generate']>['value']

const [D, K, F, V] = [8, 4, 6, 5]
const H = 4

/** A program of parts: [T, V]. A layer goes on while parts read what the one before them read; its masks are the same. */
function programWith(parts: readonly Part[]): Value {
  let layer = 0
  let x = tap('stream 0', embedding(tokens, 'table', V, D))
  let before = x
  for (const [l, one] of parts.entries()) {
    if (l > 0 && !one.isParallel) before = x = tap(`stream ${++layer}`, x)
    const read = one.isParallel ? before : x
    const n = one.isNormed ? rmsNorm(read, `${l}.norm`, 1, D, one.offset) : read
    const made = innerOf(one, l, n)
    const scaled = one.factor === 1 ? made : scale(made, one.factor)
    const inner = one.isCapped ? cap(scaled, 2) : scaled
    const kind = one.what === 'attention' ? 'heads' : 'neurons'
    const masked = one.isMasked ? units(kind, layer, inner, kind === 'heads' ? H : F) : inner
    let sum = x
    for (let i = 0; i < one.readers; i++) {
      const out = combine(masked, `${l}.out.${i}`, D, one.hasBias)
      sum = add(sum, one.isNormedAfter ? rmsNorm(out, `${l}.after.${i}`, 1, D, one.offset) : out)
    }
    if (one.readAlso !== 'nothing')
      sum = add(sum, linear(one.readAlso === 'inner' ? inner : masked, `${l}.also`, D))
    ;[before, x] = [x, sum]
  }
  return linear(tap(`stream ${layer + 1}`, x), 'head', V)
}

function innerOf(
  { what, queryNorm, keyNorm, offset, rotated, form, groups, hasBias }: Part,
  l: number,
  n: Value,
): Value {
  const rotary = { base: 10_000, scaling: null, size: rotated }
  if (what === 'attention') {
    const normed = (value: Value, name: string, over: Part['queryNorm']): Value =>
      over === 'none' ? value : rmsNorm(value, `${l}.${name}`, 1, over === 'head' ? K : value.width, offset)
    const turned = (value: Value): Value => (rotated > 0 ? rotate(value, rotary, K) : value)
    const [q, k, v] = [H, groups, groups].map((heads, i) => linear(n, `${l}.${'qkv'[i]}`, heads * K, hasBias))
    return attention(turned(normed(q, 'qNorm', queryNorm)), turned(normed(k, 'kNorm', keyNorm)), v, K, form)
  }
  const up = linear(n, `${l}.up`, F, hasBias)
  if (what === 'bare') return up
  if (what === 'relu') return relu(up)
  const [activation] = what.split(' ') as [Activation]
  return gate(activation, linear(n, `${l}.gate`, F), up)
}

/** Numbers for every parameter of a program, from a list that repeats. */
function weightsFrom(numbers: Float32Array): Weights {
  const take = (name: string, shape: readonly number[]): Float32Array => {
    const size = shape.reduce((all, length) => all * length, 1)
    const start = [...name].reduce((sum, letter) => (31 * sum + letter.charCodeAt(0)) % 997, 7)
    return new Float32Array(size).map((_, i) => numbers[(start + i) % numbers.length])
  }
  return {
    vector: ({ name, shape }) => tensor(take(name, shape), ...shape),
    matrix: ({ name, shape: [O, I] }, isTurned) =>
      matrix(isTurned ? tensor(take(name, [I, O]), I, O) : tensor(take(name, [O, I]), O, I)),
  }
}

/** A mask of the units of every layer that parts may have. @param share of units that are kept */
function maskFor(parts: readonly Part[], data: Data, share: number, of = ''): Units {
  const rows = (kind: string, count: number): Float32Array[] =>
    parts.map((_, l) => data.mask(`${kind} ${l}${of}`, count, (stream) => stream.chance(share)))
  return { heads: rows('heads', H), neurons: rows('neurons', F) }
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
    const partOf = (i: number): number => Math.floor(((i % width) * parts.length) / width)
    const replaced = x.data.map((old, i) => (parts[partOf(i)] === 0 ? value : old))
    return tensor(replaced, ...x.shape)
  }
  const keep = (step: Value, x: Tensor): Tensor => {
    // A skipped unit adds nothing, whatever it is.
    const own = step.op === 'units' ? replace(x, mask[step.kind][step.layer], 0) : x
    const need = needs.get(step)
    if (!need) return own
    const { at, parts } = need
    const kept = chosenUnits(mask[at.kind][at.layer])
    const ones = new Float32Array(parts)
    for (const part of needed(kept, at.count, parts).needed) ones[part] = 1
    return replace(own, ones, NaN)
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
    const mask = maskFor(parts, data, 0.5)
    const expected = run(program, weights, ids, { mask }).get(program) as Tensor
    const needs = subject.needsOf(program)
    const found = runPoisoned(program, weights, ids, mask, needs, subject.neededParts)
    sameBits('logits', found.data, expected.data)
  },
)

/** What the law of compiled programs judges: how a program is laid out, brought under a mask, and run. */
export interface EngineSubject {
  readonly planOf: typeof planOf
  readonly activateLayer: typeof activateLayer
  readonly runStep: typeof runStep
}

/** Parameters as the engine holds them, a row for each output, or for each input of those that are turned. */
function heldWeights(
  scope: BufferScope,
  plan: Plan,
  weights: Weights,
  unread: ReadonlyMap<string, Float32Array>,
): Map<string, Matrix> {
  return new Map(
    [...plan.parameters.values()].map((parameter) => {
      const { name, shape, isTurned } = parameter
      const { data } =
        shape.length === 1 ? normWeight(weights, parameter) : weights.matrix(parameter, isTurned).widen()
      const kept = unread.get(name)
      const values = data.map((value, i) =>
        kept?.[Math.floor((i * kept.length) / data.length)] === 0 ? NaN : value,
      )
      return [name, scope.upload(values, isTurned ? shape.toReversed() : shape)]
    }),
  )
}

/** Which rows of which parameters are read where a mask skips units: ones and zeros for equal parts of them. */
function readUnder(program: Value, mask: Units): Map<string, Float32Array> {
  const steps = stepsOf(program)
  const needs = needsOf(program)
  const read = new Map<string, Float32Array>()
  // Where something else reads the units, their zeros are computed.
  const isSkipped = (at: Value): boolean =>
    steps.every((step) => step.op === 'combine' || !step.of.includes(at))
  for (const step of steps) {
    const need = needs.get(step)
    const [at] = step.of
    if (step.op === 'combine' && at.op === 'units' && isSkipped(at))
      read.set(step.weight.name, mask[at.kind][at.layer])
    if (step.op !== 'linear' || !need || !isSkipped(need.at)) continue
    const parts = new Float32Array(need.parts)
    const kept = chosenUnits(mask[need.at.kind][need.at.layer])
    for (const part of neededParts(kept, need.at.count, need.parts).needed) parts[part] = 1
    for (const parameter of [step.weight, step.bias]) if (parameter) read.set(parameter.name, parts)
  }
  return read
}

/** One text by the engine, in scratch that was used before: the logits [T, V]. */
function runCompiled(
  { runStep: run }: EngineSubject,
  { program, sections }: Plan,
  layers: readonly ActiveLayer[],
  state: RunState,
  scope: BufferScope,
  ids: Int32Array,
): Float32Array {
  const { backend } = scope
  const T = ids.length
  const pass: Pass = {
    backend,
    T,
    past: 0,
    tokens: scope.upload(ids),
    positions: (offset) => scope.upload(ids.map((_, t) => t + offset)),
    factor: (value) => scope.upload(Float32Array.of(value)),
    angles: (rotary) => scope.upload(rotaryTable(rotary, T, K), [T, rotary.size ?? K]),
  }
  let logits: Buffer | null = null
  for (const [s, section] of sections.entries()) {
    const { instructions } = layers[s]
    const frame = state.frame(section, T, instructions).slice()
    const isLast = section.steps.at(-1)?.value === program
    if (isLast) frame[section.steps.length] = state.logits(T)
    for (const instruction of instructions)
      run(pass, instruction, frame, (G) => ({
        key: scope.allocate('f32', [G, T, K], 'anything'),
        value: scope.allocate('f32', [G, T, K], 'anything'),
        room: (row, count) => ({ row, count }),
      }))
    if (isLast) logits = frame[section.steps.length]
  }
  return backend.readF32(logits as Buffer)
}

/** The law. */
export const compiledIsInterpreted = lawForAll(
  'a program gives the same bits by the engine as on plain arrays: in every mode, under one mask after another, and with NaN in what one mask skips',
  {
    parts: fc.array(part, { minLength: 1, maxLength: 4, size: 'max' }),
    /** The length of each text. */
    lengths: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 3, size: 'max' }),
    mode: fc.constantFrom(...maskModes),
    changes: fc.boolean(),
    data: anyData,
  },
  async (subject: EngineSubject, { parts, lengths, mode, changes, data }) => {
    const program = programWith(parts)
    const weights = weightsFrom(data.floats('weights', 1009))
    const backend = await createBackend('reference')
    const scope = new BufferScope(backend)
    const plan = subject.planOf(program)
    const masks = lengths.map((_, i) => maskFor(parts, data, 0.5, ` of text ${i}`))
    const skips = lengths.length === 1 && (mode === 'skip' || mode === 'pack')
    const read = skips ? readUnder(program, masks[0]) : new Map<string, Float32Array>()
    const held = { backend, matrices: heldWeights(scope, plan, weights, read) }
    const state = new RunState(backend, plan)
    let layers: (ActiveLayer | null)[] = plan.sections.map(() => null)
    for (const [i, length] of lengths.entries()) {
      const ids = data.ids(`ids ${i}`, length, V)
      const mask = masks[i]
      const hints = { mode, T: length, steps: 8, changes, packsHeads: !changes }
      layers = plan.sections.map((section, s) => {
        const l = section.layer ?? 0
        const own = { heads: mask.heads[l], neurons: mask.neurons[l] }
        return subject.activateLayer(section, held, own, hints, layers[s])
      })
      const found = runCompiled(subject, plan, layers as ActiveLayer[], state, scope, ids)
      sameBits(`text ${i}`, found, (run(program, weights, ids, { mask }).get(program) as Tensor).data)
    }
    for (const layer of layers) layer?.dispose()
    state.dispose()
    scope.dispose()
    if (backend.liveBuffers !== 0)
      throw new Error(`buffers: expected none to be left, got ${backend.liveBuffers}`)
  },
  { runs: 300 },
)

/** What the law of derivatives judges. */
export type GradientsSubject = typeof gradients

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
        what: one.what.startsWith('relu') ? 'silu gate' : one.what,
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
    const mask = maskFor(parts, data, 0.7)
    const results = run(program, weights, ids, { mask })
    const grads = subject(program, weights, results, endGrad, mask)
    const valueAt = (kind: keyof Units, l: number, unit: number, step: number): number => {
      const changed = mask[kind].map((row, at) =>
        row.map((factor, u) => (at === l && u === unit ? factor + step : factor)),
      )
      const moved = run(program, weights, ids, { mask: { ...mask, [kind]: changed } })
      return dot64((moved.get(program) as Tensor).data, endGrad.data)
    }
    const steps = stepsOf(program).filter((step) => step.op === 'units')
    const step = steps[place % steps.length]
    const unit = Math.floor(place / steps.length) % step.count
    // The factors of a layer are those of all its steps.
    const terms = steps
      .filter(({ kind, layer }) => kind === step.kind && layer === step.layer)
      .flatMap((one) => {
        const [inner, grad] = [results.get(one.of[0]), grads.get(one)] as [Tensor, Tensor]
        return Array.from(inner.data, (value, i) => value * grad.data[i]).filter(
          (_, i) => Math.floor(((i % one.width) * one.count) / one.width) === unit,
        )
      })
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
