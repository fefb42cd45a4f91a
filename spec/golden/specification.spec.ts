/**
 * What Hugging Face's OPT, Llama and Mistral compute, `src/spec` computes: activations, logits, losses, gradients, plainact, masks
 * and greedy text, within the tolerances of fixtures/golden/README.md. So the specification is judged by another
 * implementation, and the engine by the specification.
 *
 * The specification knows no padding; each row of a case is run alone. Its functions are judged as a table, so that a wrong one
 * can be put in; two derivatives of operations stand in another.
 *
 * Tests src/engine/program.ts, src/spec/families.ts, src/spec/gradients.ts, src/spec/llama.ts, src/spec/model.ts, src/spec/opt.ts, src/spec/plain.ts, src/spec/plainact.ts,
 * src/spec/predictor.ts, src/spec/program.ts, src/spec/select.ts, src/spec/shadowllm.ts and
 * src/verify/model/plain_model.ts.
 */
import { afterAll, describe, expect, test, vi } from 'vitest'
import { ReferenceBackend } from '../../src/backends/reference.ts'
import type { ModelConfig } from '../../src/engine/config.ts'
import type { Unpadded } from '../../src/engine/batch.ts'
import { countScored, shiftLabels } from '../../src/engine/loss.ts'
import { programOf } from '../../src/engine/program.ts'
import * as rotaryOps from '../../src/ops/rotary.ts'
import * as gateOps from '../../src/ops/activations.ts'
import { loss, type Model } from '../../src/spec/model.ts'
import {
  matrix,
  run as runProgram,
  tensor,
  zeros,
  type Mask,
  type Tensor,
  type Units,
  type Weights,
} from '../../src/spec/plain.ts'
import { plainact } from '../../src/spec/plainact.ts'
import { features, predict, run, type Network } from '../../src/spec/predictor.ts'
import { scale, stepsOf, type Parameter, type Value } from '../../src/spec/program.ts'
import { selectMask } from '../../src/spec/select.ts'
import { calibrate, generate } from '../../src/spec/shadowllm.ts'
import { unitsOf } from '../../src/verify/model/engine_cases.ts'
import { plainWeights } from '../../src/verify/model/plain_model.ts'
import {
  casesOf,
  expectNear,
  expectNearRelative,
  get,
  getFloats,
  getIds,
  isLlama,
  llamaVariants,
  optVariants,
  readCase,
  rowsIn,
  tolerance,
  type Case,
  type Variant,
} from './golden.ts'
import {
  expectLogits,
  expectLoss,
  goldenConfig,
  goldenParameters,
  labelsOf,
  layerOf,
  maskedKinds,
  maskOf,
  rowsOf,
  scoredIn,
} from './model.ts'

// The spec files of a worker share modules. This file loads its own and removes them at its end.
const rotary = { ...rotaryOps }
const gate = { ...gateOps }
const mocked = ['../../src/ops/rotary.ts', '../../src/ops/activations.ts']
vi.resetModules()
vi.doMock(mocked[0], () => rotary)
vi.doMock(mocked[1], () => gate)
const { modelOf } = await import('../../src/spec/model.ts')
afterAll(() => {
  for (const path of mocked) vi.doUnmock(path)
  vi.resetModules()
})

/** The functions that are judged. */
const specification = {
  program: (config: ModelConfig): Value => programOf(config),
  weights: (tensors: ReturnType<typeof goldenParameters>, _config: ModelConfig): Weights =>
    plainWeights(tensors, 'f32'),
  modelOf: (program: Value, weights: Weights): Model => modelOf(program, weights),
  plainact,
  features,
  predict,
  run,
  selectMask,
  calibrate,
  generate,
}
type Specification = typeof specification

const variants: readonly Variant[] = [...optVariants, ...llamaVariants]
const configs = new Map(variants.map((variant) => [variant, goldenConfig(variant)]))
const tensorsOf = new Map(variants.map((variant) => [variant, goldenParameters(variant)]))
const configOf = (variant: Variant): ModelConfig => configs.get(variant) as ModelConfig

/** A golden model by a specification. */
function modelBy(spec: Specification, variant: Variant): Model {
  const config = configOf(variant)
  const weights = spec.weights(tensorsOf.get(variant) as ReturnType<typeof goldenParameters>, config)
  return spec.modelOf(spec.program(config), weights)
}

const kinds = [
  ['heads', 'head'],
  ['neurons', 'ffn'],
] as const

/** What is recorded of each layer, by its golden names. */
const recorded = {
  context: ['head_out'],
  preActivation: ['fc1_pre'],
  activation: ['fc1_act', 'ffn_act'],
} as const
type Recorded = keyof typeof recorded

/** The names of a case for what is recorded of each layer. */
const recordedIn = (tensors: Case, suffix = ''): [Recorded, string][] =>
  Object.entries(recorded).flatMap(([what, names]) =>
    names
      .map((name) => `${name}${suffix}`)
      .filter((name) => tensors.has(name))
      .map((name): [Recorded, string] => [what as Recorded, name]),
  )

/** Layer l of the tensor of this name [L, B, T, width], cut to a row of a case. */
function layerIn(tensors: Case, name: string, l: number, sequence: Unpadded): Float64Array {
  const { shape, values } = get(tensors, name)
  return rowsOf(tensors).cut(layerOf(values, l, shape[0]), sequence, shape[3])
}

/** Activations, logits and the loss. */
function judgeForward(spec: Specification, variant: Variant, name: string): void {
  const tensors = readCase(variant, name)
  const names = recordedIn(tensors)
  expect(names.length).toBeGreaterThanOrEqual(2)
  const model = modelBy(spec, variant)
  for (const sequence of rowsOf(tensors).sequences)
    model.forward(sequence.tokens, null).layers.forEach((at, l) => {
      const { shape, values } = get(tensors, `hidden.${l}`)
      expectNear(
        at.input.data,
        rowsOf(tensors).cut(values, sequence, shape[2]),
        tolerance.logits,
        `hidden.${l}`,
      )
      for (const [what, of] of names)
        expectNear(at[what].data, layerIn(tensors, of, l, sequence), tolerance.logits, `${of} ${l}`)
    })
  // The last of what the Llama files record is what the head reads.
  const last = `hidden.${configOf(variant).layers}`
  if (isLlama(variant))
    for (const sequence of rowsOf(tensors).sequences) {
      const { program } = model
      // The head may be capped.
      const [normed] = (program.op === 'cap' ? program.of[0] : program).of
      const { shape, values } = get(tensors, last)
      const found = runProgram(normed, model.weights, sequence.tokens).get(normed) as Tensor
      expectNear(found.data, rowsOf(tensors).cut(values, sequence, shape[2]), tolerance.logits, last)
    }
  judgeLogits(model, tensors, '', () => null)
}

/** Logits and losses under the masks of a case; and under one mask for each row. */
function judgeMasked(spec: Specification, variant: Variant, name: string): void {
  const tensors = readCase(variant, name)
  const model = modelBy(spec, variant)
  expect(maskedKinds(tensors)).not.toEqual([])
  for (const [key, kind] of maskedKinds(tensors)) {
    const mask = unitsOf(maskOf({ shape: configOf(variant) }, tensors, kind))
    judgeLogits(model, tensors, `${key}.`, () => mask)
  }
  if (!tensors.has('masked_per_sample.logits')) return
  const [heads, neurons] = kinds.map(([, golden]) => get(tensors, `${golden}_mask_per_sample`))
  const own = ({ row }: Unpadded): Units => ({
    heads: rowsIn(layerOf(heads.values, row, heads.shape[0]), model.heads),
    neurons: rowsIn(layerOf(neurons.values, row, heads.shape[0]), model.neurons),
  })
  expectLogits(
    tensors,
    'masked_per_sample.logits',
    (sequence) => model.forward(sequence.tokens, own(sequence)).logits.data,
  )
}

function judgeLogits(
  model: Model,
  tensors: Case,
  prefix: string,
  maskFor: (sequence: Unpadded) => Mask,
): void {
  const logitsOf = (sequence: Unpadded): Float32Array =>
    model.forward(sequence.tokens, maskFor(sequence)).logits.data
  expectLogits(tensors, `${prefix}logits`, logitsOf)
  expectLoss(new ReferenceBackend(), tensors, `${prefix}loss`, logitsOf)
}

type LayerPasses = ReturnType<Model['forward']>['layers']
type Gradients = ReturnType<ReturnType<Model['forward']>['backward']>

/** The derivative of the loss in the factor of every unit: Σ_t Σ_i a g, of what a unit computes before the mask. */
function slopesOf(layers: LayerPasses, gradients: Gradients, H: number): Units {
  const slopes = (a: Tensor, g: Tensor, U: number): Float32Array => {
    const [, width] = a.shape
    const sums = new Float32Array(U)
    a.data.forEach((value, i) => (sums[Math.floor(((i % width) * U) / width)] += value * g.data[i]))
    return sums
  }
  return {
    heads: layers.map(({ context }, l) => slopes(context, gradients[l].context, H)),
    neurons: layers.map(({ activation }, l) =>
      slopes(activation, gradients[l].activation, activation.shape[1]),
    ),
  }
}

/** Gradients of every unit, the derivatives in the masks, and plainact. The loss of a case is the mean over all of its rows. */
function judgeGradients(spec: Specification, variant: Variant, name: string): void {
  const tensors = readCase(variant, name)
  const model = modelBy(spec, variant)
  const rows = rowsOf(tensors)
  const [found, expected] = [new Map<string, number[]>(), new Map<string, number[]>()]
  const note = (to: Map<string, number[]>, of: string, values: ArrayLike<number>): void =>
    void to.set(of, [...(to.get(of) ?? []), ...Array.from(values)])
  const sums = new Map<string, Float64Array>()
  const sum = (of: string, values: readonly Float32Array[], share: number): void => {
    const before = sums.get(of)
    sums.set(
      of,
      Float64Array.from(flatten(values), (value, i) => (before?.[i] ?? 0) + value * share),
    )
  }
  let total = 0
  for (const sequence of rows.sequences) {
    const labels = labelsOf(rows, sequence)
    const share = countScored(labels) / scoredIn(rows)
    if (share === 0) continue
    const pass = model.forward(sequence.tokens, null)
    total += share * loss(pass.logits, shiftLabels(labels))
    const gradients = pass.backward(shiftLabels(labels))
    gradients.forEach((grads, l) => {
      for (const [what, of] of recordedIn(tensors, '_grad')) {
        note(
          found,
          `${of} ${l}`,
          Array.from(grads[what].data, (value) => value * share),
        )
        note(expected, `${of} ${l}`, layerIn(tensors, of, l, sequence))
      }
    })
    const scores = spec.plainact(pass.layers, gradients, model.heads)
    const slopes = slopesOf(pass.layers, gradients, model.heads)
    sum('crit.plainact_head', scores.heads, share)
    sum('crit.plainact_ffn_act', scores.neurons, share)
    if (!tensors.has('crit.plainact_head_signed')) continue
    sum('crit.plainact_head_signed', slopes.heads, share)
    sum('crit.plainact_ffn_signed', slopes.neurons, share)
  }
  expect(found.size).toBeGreaterThan(0)
  const [expectedLoss] = get(tensors, 'loss').values
  expect(Math.abs(total / expectedLoss - 1)).toBeLessThanOrEqual(tolerance.loss)
  for (const [of, values] of found) expectNearRelative(values, expected.get(of) ?? [], tolerance.gradient, of)
  for (const [of, values] of sums) expectNearRelative(values, get(tensors, of).values, tolerance.gradient, of)
}

const flatten = (rows: readonly Float32Array[]): number[] => rows.flatMap((row) => [...row])

/** What calibration makes of the one row of `single`, all of whose tokens but the first are scored. */
function judgeExample(spec: Specification, variant: Variant): void {
  const tensors = readCase(variant, 'single')
  const [sequence] = rowsOf(tensors).sequences
  const { context, scores } = spec.calibrate(modelBy(spec, variant), sequence.tokens, 1)
  const seen = layerIn(tensors, 'head_out', 0, sequence).subarray(0, context.size)
  expectNear(context.data, seen, 1e-5, 'context')
  for (const [kind, golden] of [
    ['heads', 'crit.plainact_head'],
    ['neurons', 'crit.plainact_ffn_act'],
  ] as const)
    expectNearRelative(flatten(scores[kind]), get(tensors, golden).values, tolerance.gradient, golden)
}

/** Sixteen greedy tokens and, where they are recorded, the logits of each; dense and under a mask. */
function judgeText(spec: Specification, variant: Variant): void {
  const tensors = readCase(variant, 'greedy')
  const model = modelBy(spec, variant)
  const prompt = getIds(tensors, 'prompt')
  for (const [kind, mask] of [
    ['dense', null],
    ['sparse', unitsOf(maskOf({ shape: configOf(variant) }, tensors, 'both'))],
  ] as const) {
    const tokens = getIds(tensors, `${kind}.tokens`)
    const text = tokens.slice(-16)
    // Some cases have the prompt before them.
    if (tokens.length > 16) expect(tokens.slice(0, -16)).toEqual(prompt)
    expect(spec.generate(model, prompt, mask, 16)).toEqual(text)
    if (!tensors.has(`${kind}.logits`)) continue
    const { shape, values } = get(tensors, `${kind}.logits`)
    const { logits } = model.forward(Int32Array.of(...prompt, ...text.slice(0, -1)), mask)
    expectNear(
      logits.data.subarray((prompt.length - 1) * shape[1]),
      values,
      tolerance.logits,
      `${kind}.logits`,
    )
  }
}

/** The mean negative log-likelihood in float64 of every token but the first. */
function lossOf({ data, shape: [T, V] }: Tensor, tokens: Int32Array): number {
  let total = 0
  for (let t = 0; t + 1 < T; t++) {
    const row = data.subarray(t * V, (t + 1) * V)
    total += Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0)) - row[tokens[t + 1]]
  }
  return total / (T - 1)
}

/**
 * The loss changes with each unit's factor m as `backward` says, where all units are computed and where half are skipped.
 * The difference quotient of (m - h, m + h) is extrapolated from h and 2 h, so that it errs by the order of h⁴.
 */
function judgeSlopes(spec: Specification): void {
  const tensors = readCase('llama_gqa', 'single')
  const model = modelBy(spec, 'llama_gqa')
  const tokens = getIds(tensors, 'input_ids')
  const half = unitsOf(maskOf({ shape: configOf('llama_gqa') }, tensors, 'both'))
  const dense = {
    heads: half.heads.map((row) => row.map(() => 1)),
    neurons: half.neurons.map((row) => row.map(() => 1)),
  }
  for (const mask of [dense, half]) {
    const pass = model.forward(tokens, mask)
    const slopes = slopesOf(pass.layers, pass.backward(Int32Array.of(...tokens.slice(1), -100)), model.heads)
    for (const kind of ['heads', 'neurons'] as const)
      mask[kind].forEach((row, l) => {
        const steps = Float64Array.from(row, (_, u) => {
          const lossAt = (step: number): number => {
            const changed = mask[kind].map((all, at) =>
              at === l ? all.map((m, unit) => m + (unit === u ? step : 0)) : all,
            )
            return lossOf(model.forward(tokens, { ...mask, [kind]: changed }).logits, tokens)
          }
          const quotient = (h: number): number => (lossAt(h) - lossAt(-h)) / (2 * h)
          return (4 * quotient(1 / 32) - quotient(1 / 16)) / 3
        })
        expectNearRelative(slopes[kind][l], steps, 1e-3, `${kind} ${l}`)
      })
  }
}

const golden = readCase('preln', 'predictor')

/** A network of the golden file, without its first outputs: unlike ours it has outputs for layer 0 as well. */
function goldenNetwork(kind: 'head' | 'ffn', without = 0): Network {
  const part = (name: string): Tensor => {
    const { shape, values } = get(golden, `predictor.${kind}.${name}`)
    return tensor(Float32Array.from(values), ...shape)
  }
  const [W1, b1, W2, b2] = ['fc1.weight', 'fc1.bias', 'fc2.weight', 'fc2.bias'].map(part)
  const [O, R] = W2.shape
  return [
    W1,
    b1,
    tensor(W2.data.slice(without * R), O - without, R),
    tensor(b2.data.slice(without), O - without),
  ]
}

/** The released predictor: its input and its scores. */
function judgePredictor(spec: Specification): void {
  const model = modelBy(spec, 'preln')
  const context = model.contextOf(getIds(golden, 'input_ids'))
  const [T, D] = context.shape
  const seen = get(golden, 'first_layer_last_token_context').values
  expectNear(context.data.subarray((T - 1) * D), seen, 1e-5, 'context')
  const f = spec.features(context, 'min_max')
  expectNear(f.data, get(golden, 'predictor_input').values, 1e-5, 'input')
  const predictor = {
    features: 'min_max',
    heads: goldenNetwork('head', model.heads),
    neurons: goldenNetwork('ffn', model.neurons),
  } as const
  const scores = spec.predict(predictor, context, model.heads, model.neurons)
  for (const [kind, name] of kinds) {
    const { values } = get(golden, `${name}.scores`)
    expectNear(spec.run(goldenNetwork(name), f).y.data, values, 1e-5, `${name}.scores`)
    expectNear(flatten(scores[kind].slice(1)), values.subarray(model[kind]), 1e-5, `${name}.scores`)
  }
}

/** The masks of the paper-compatible policy, and logits under one of them. The golden per-layer masks do not keep layer 0. */
function judgeSelection(spec: Specification): void {
  const model = modelBy(spec, 'preln')
  const scores = Object.fromEntries(
    kinds.map(([kind, name]) => [kind, rowsIn(get(golden, `${name}.scores`).values, model[kind])]),
  ) as unknown as Units
  const masksOf = (percent: number, scope: 'global' | 'per-layer'): Units =>
    spec.selectMask(scores, { sparsity: percent / 100, scope, policy: 'paper-compatible' })
  for (const percent of [25, 50, 75])
    for (const [kind, name] of kinds) {
      const whole = getFloats(golden, `${name}.global_mask_${percent}_layer0kept`)
      expect(masksOf(percent, 'global')[kind]).toEqual(rowsIn(whole, model[kind]))
      const [, ...later] = rowsIn(getFloats(golden, `${name}.perlayer_mask_${percent}`), model[kind])
      const [first, ...found] = masksOf(percent, 'per-layer')[kind]
      expect(found).toEqual(later)
      expect(first.every((kept) => kept === 1)).toBe(true)
    }
  const { logits } = model.forward(getIds(golden, 'input_ids'), masksOf(50, 'global'))
  expectNear(logits.data, get(golden, 'global50_layer0kept.logits').values, tolerance.logits, 'logits')
}

type Judge = (spec: Specification) => void

/** All that is judged, by name. */
const judgements: Readonly<Record<string, Judge>> = {
  ...Object.fromEntries(
    variants.flatMap((variant) => [
      ...casesOf[variant].flatMap((name): [string, Judge][] => [
        [`${variant} ${name}: activations, logits and loss`, (spec) => judgeForward(spec, variant, name)],
        [`${variant} ${name}: logits and loss under masks`, (spec) => judgeMasked(spec, variant, name)],
        [`${variant} ${name}: gradients and plainact`, (spec) => judgeGradients(spec, variant, name)],
      ]),
      [`${variant}: an example of calibration`, (spec: Specification) => judgeExample(spec, variant)],
    ]),
  ),
  ...Object.fromEntries(
    (['preln', ...llamaVariants] as const).map((variant): [string, Judge] => [
      `${variant}: greedy text, dense and sparse`,
      (spec) => judgeText(spec, variant),
    ]),
  ),
  'finite differences of the masks': judgeSlopes,
  "the released predictor's input and scores": judgePredictor,
  'masks of the paper-compatible policy, and logits under one': judgeSelection,
}

for (const [name, judge] of Object.entries(judgements)) test(name, () => judge(specification))

test.each(llamaVariants)('both configs of %s describe one program', (variant) => {
  // A value that several steps read would be compared as often.
  const steps = (config: ModelConfig): object[] => {
    const all = stepsOf(programOf(config))
    return all.map((step) => ({ ...step, of: step.of.map((one) => all.indexOf(one)) }))
  }
  expect(steps(goldenConfig(variant, 'config.v5.json'))).toEqual(steps(configOf(variant)))
})

describe('planted bugs', () => {
  /** The program of a changed configuration. */
  const wrongConfig = (change: (config: ModelConfig) => Partial<ModelConfig>): Partial<Specification> => ({
    program: (config) => programOf({ ...config, ...change(config) }),
  })
  /** The program with some steps replaced. */
  const wrongSteps = (change: (step: Value) => Value): Partial<Specification> => ({
    program: (config) => {
      const known = new Map<Value, Value>()
      const copy = (step: Value): Value => {
        const found = known.get(step) ?? change({ ...step, of: step.of.map(copy) })
        known.set(step, found)
        return found
      }
      return copy(programOf(config))
    },
  })
  /** The numbers of a parameter changed, as rows of some numbers. */
  const wrongWeights = (
    isMeant: (name: string) => boolean,
    change: (row: (i: number) => Float32Array, i: number, config: ModelConfig) => Float32Array,
    rowsOf = (rows: number, _config: ModelConfig): number => rows,
  ): Partial<Specification> => ({
    weights: (tensors, config) => {
      const changed = new Map(tensors)
      for (const [name, { shape, values }] of tensors) {
        if (!isMeant(name)) continue
        const columns = shape[1] ?? 1
        const row = (i: number): Float32Array =>
          values.subarray(i * columns, (i + 1) * columns) as Float32Array
        const rows = rowsOf(shape[0], config)
        const all = Array.from({ length: rows }, (_, i) => [...change(row, i, config)])
        changed.set(name, { shape: [rows, ...shape.slice(1)], values: Float32Array.from(all.flat()) })
      }
      return plainWeights(changed, 'f32')
    },
  })
  /** The model with something done to a mask before each pass. */
  const wrongMask = (change: (mask: Units) => Mask): Partial<Specification> => ({
    modelOf: (program, weights) => {
      const model = modelOf(program, weights)
      const under = (mask: Mask): Mask => (mask !== null && 'heads' in mask ? change(mask) : mask)
      return { ...model, forward: (tokens, mask) => model.forward(tokens, under(mask)) }
    },
  })
  /** The model with another backward pass. */
  const wrongBackward = (
    change: (backward: (labels: Int32Array) => Gradients, labels: Int32Array) => Gradients,
  ): Partial<Specification> => ({
    modelOf: (program, weights) => {
      const model = modelOf(program, weights)
      return {
        ...model,
        forward: (tokens, mask) => {
          const pass = model.forward(tokens, mask)
          return { ...pass, backward: (labels) => change(pass.backward, labels) }
        },
      }
    },
  })
  const late = <Row>(rows: readonly Row[]): Row[] => [...rows.slice(-1), ...rows.slice(0, -1)]
  const all = (rows: readonly Float32Array[]): Float32Array[] => rows.map((row) => row.map(() => 1))
  const gemmas = ['gemma2', 'gemma3'] as const
  const isKeyOrValue = (name: string): boolean => /\.[kv]_proj\./.test(name)

  /** Gates that give the gradient of one operand to the other. */
  const exchanged = Object.fromEntries(
    Object.entries(gateOps.gates).map(([name, { forward, backward }]) => [
      name,
      { forward, backward: (a, b, ...rest) => backward(b, a, ...rest) } satisfies typeof gateOps.gates.silu,
    ]),
  ) as unknown as typeof gateOps.gates

  /** The norm of keys for that of queries, and the other way round. */
  const otherOf = ({ name, shape }: Parameter): Parameter => ({
    name: name.replace(/[qk](?=_norm)/, (letter) => (letter === 'q' ? 'k' : 'q')),
    shape,
  })

  interface Planted {
    readonly spec?: Partial<Specification>
    readonly rotary?: Partial<typeof rotaryOps>
    readonly gate?: Partial<typeof gateOps>
    /** Words of the names of the judgements that find it. */
    readonly about: string
    /** The variants whose judgements must find it, where these are not all. */
    readonly of?: readonly Variant[]
  }
  const mutants: Readonly<Record<string, Planted>> = {
    'queries are not scaled by 1 / √K': {
      // A norm of queries takes away what their product is multiplied by.
      spec: wrongWeights(
        (name) => /\.q_(proj|norm)\./.test(name),
        (row, i, { headSize: K }) => row(i).map((value) => value * K ** 0.5),
      ),
      about: 'activations, logits and loss',
    },
    'norms stand on the other side of each half': {
      spec: wrongConfig(({ preNorm }) => ({ preNorm: !preNorm })),
      about: 'activations, logits and loss',
      of: optVariants,
    },
    'the last norm is left out': {
      spec: wrongConfig(() => ({ finalNorm: false })),
      about: 'preln single: activations, logits and loss',
    },
    'head h reads key head h mod G': {
      spec: {
        ...wrongConfig(({ heads }) => ({ keyHeads: heads })),
        ...wrongWeights(
          isKeyOrValue,
          (row, i, { headSize: K, keyHeads: G }) => row((Math.floor(i / K) % G) * K + (i % K)),
          (_rows, { heads: H, headSize: K }) => H * K,
        ),
      },
      about: 'llama_gqa single: activations, logits and loss',
    },
    'a rotation turns neighbours': {
      spec: wrongWeights(
        (name) => /\.[qk]_proj\./.test(name),
        (row, i, { headSize: K }) =>
          row(i - (i % K) + ((i % K) % (K / 2)) * 2 + Math.floor((i % K) / (K / 2))),
      ),
      about: 'activations, logits and loss',
      of: llamaVariants,
    },
    'keys are not rotated': {
      spec: wrongSteps((step) => {
        if (step.op !== 'attention') return step
        const [q, k, v] = step.of
        return { ...step, of: [q, k.of[0], v] }
      }),
      about: 'llama_gqa single: activations, logits and loss',
    },
    'a window is one position longer': {
      spec: wrongConfig(({ layerWindow }) => ({ layerWindow: layerWindow?.map((one) => one && one + 1) })),
      about: 'activations, logits and loss',
      of: ['mistral_window', 'qwen2_window', ...gemmas],
    },
    'no window slides': {
      spec: wrongConfig(() => ({ layerWindow: undefined })),
      about: 'activations, logits and loss',
      of: ['mistral_window', 'qwen2_window', ...gemmas],
    },
    'layers with windows and without are exchanged': {
      spec: wrongConfig(({ layerWindow = [] }) => {
        const window = layerWindow.find((one) => one !== null) as number
        return { layerWindow: layerWindow.map((one) => (one === null ? window : null)) }
      }),
      about: 'activations, logits and loss',
      of: ['qwen2_window', ...gemmas],
    },
    'whole heads are rotated': {
      spec: wrongConfig(({ rotary }) => ({ rotary: rotary && { ...rotary, size: undefined } })),
      about: 'activations, logits and loss',
      of: ['phi3'],
    },
    'the last part of a head is rotated': {
      spec: wrongWeights(
        (name) => /\.[qk]_proj\./.test(name),
        // Of 16 numbers the first 12 are rotated.
        (row, i) => row(i - (i % 16) + (((i % 16) + 4) % 16)),
      ),
      about: 'activations, logits and loss',
      of: ['phi3'],
    },
    'frequencies are those of whole heads': {
      spec: wrongConfig(({ rotary }) => ({
        rotary: rotary && { ...rotary, base: rotary.base ** (12 / 16) },
      })),
      about: 'activations, logits and loss',
      of: ['phi3'],
    },
    'fused rows of keys and values are exchanged': {
      spec: wrongSteps((step) => {
        if (step.op !== 'linear' || !/\.[kv]_proj/.test(step.weight.name)) return step
        const name = step.weight.name.replace(/[kv](?=_proj)/, (letter) => (letter === 'k' ? 'v' : 'k'))
        return { ...step, weight: { ...step.weight, name } }
      }),
      about: 'activations, logits and loss',
      of: ['phi3'],
    },
    'every layer rotates': {
      spec: wrongConfig(({ rotary, layers }) => ({
        layerRotary: Array.from({ length: layers }, () => rotary),
      })),
      about: 'activations, logits and loss',
      of: ['smollm3'],
    },
    'the layer after that which does not rotate does not': {
      spec: wrongConfig(({ layerRotary = [] }) => ({ layerRotary: late(layerRotary) })),
      about: 'activations, logits and loss',
      of: ['smollm3'],
    },
    'queries and keys are normed after they are rotated': {
      spec: wrongSteps((step) => {
        const [norm] = step.of
        if (step.op !== 'rotate' || norm.op !== 'rmsNorm') return step
        return { ...norm, of: [{ ...step, of: norm.of }] }
      }),
      about: 'activations, logits and loss',
      of: ['qwen3', 'olmo2', 'gemma3'],
    },
    'the norms of queries and keys are exchanged': {
      spec: wrongSteps((step) =>
        step.op === 'rmsNorm' && /[qk]_norm/.test(step.weight.name)
          ? { ...step, weight: otherOf(step.weight) }
          : step,
      ),
      about: 'activations, logits and loss',
      of: ['qwen3', 'olmo2', 'gemma3'],
    },
    'the norms after the halves of a layer are left out': {
      spec: wrongSteps((step) => {
        const [x, norm] = step.of
        return step.op === 'add' && norm.op === 'rmsNorm' ? { ...step, of: [x, norm.of[0]] } : step
      }),
      about: 'activations, logits and loss',
      of: ['olmo2', 'gemma2', 'gemma3'],
    },
    'keys are not normed': {
      spec: wrongSteps((step) =>
        step.op === 'rmsNorm' && step.weight.name.includes('k_norm') ? step.of[0] : step,
      ),
      about: 'activations, logits and loss',
      of: ['qwen3', 'olmo2', 'gemma3'],
    },
    'norms multiply by w, without their 1': {
      spec: wrongConfig(() => ({ normOffset: 0 })),
      about: 'activations, logits and loss',
      of: gemmas,
    },
    'the last norm multiplies by w': {
      spec: wrongSteps((step) =>
        step.op === 'rmsNorm' && step.weight.name === 'model.norm.weight'
          ? { ...step, weight: { ...step.weight, offset: 0 } }
          : step,
      ),
      about: 'activations, logits and loss',
      of: gemmas,
    },
    'norms before a half and after it are exchanged': {
      spec: wrongSteps((step) => {
        if (step.op !== 'rmsNorm') return step
        const other = { input: 'post_attention', post_attention: 'input' } as const
        const name = step.weight.name.replace(
          /(input|post_attention)(?=_layernorm)/,
          (which) => other[which as keyof typeof other],
        )
        return { ...step, weight: { ...step.weight, name } }
      }),
      about: 'activations, logits and loss',
      of: gemmas,
    },
    'embeddings are not scaled': {
      spec: wrongConfig(() => ({ embeddingScale: undefined })),
      about: 'activations, logits and loss',
      of: gemmas,
    },
    'the scale of embeddings goes into the tied head too': {
      spec: wrongSteps((step) =>
        step.op === 'linear' && step.weight.name === 'model.embed_tokens.weight'
          ? scale(step, 32 ** 0.5)
          : step,
      ),
      about: 'activations, logits and loss',
      of: gemmas,
    },
    'gates are SiLU': {
      spec: wrongConfig(() => ({ activation: 'silu' })),
      about: 'activations, logits and loss',
      of: gemmas,
    },
    'layers that slide rotate as the others do': {
      spec: wrongConfig(({ layerRotary = [], rotary }) => ({ layerRotary: layerRotary.map(() => rotary) })),
      about: 'activations, logits and loss',
      of: ['gemma3'],
    },
    'layers that see everything rotate by the local base': {
      spec: wrongConfig(({ layerRotary = [] }) => ({ layerRotary: layerRotary.map(() => layerRotary[0]) })),
      about: 'activations, logits and loss',
      of: ['gemma3'],
    },
    'frequencies of layers that slide are divided too': {
      spec: wrongConfig(({ layerRotary = [], rotary }) => ({
        layerRotary: layerRotary.map((one) => one && { ...one, scaling: rotary?.scaling ?? null }),
      })),
      about: 'activations, logits and loss',
      of: ['gemma3_linear'],
    },
    'no frequencies are divided': {
      spec: wrongConfig(({ layerRotary = [] }) => ({
        layerRotary: layerRotary.map((one) => one && { ...one, scaling: null }),
      })),
      about: 'activations, logits and loss',
      of: ['gemma3_linear'],
    },
    'scores are scaled by the size of a head': {
      spec: wrongConfig(() => ({ scoreScale: undefined })),
      about: 'activations, logits and loss',
      of: ['gemma3_linear'],
    },
    'the layer after each that slides does': {
      spec: wrongConfig(({ layerWindow = [] }) => ({ layerWindow: late(layerWindow) })),
      about: 'activations, logits and loss',
      of: gemmas,
    },
    'scores are not capped': {
      spec: wrongConfig(() => ({ scoreCap: undefined })),
      about: 'activations, logits and loss',
      of: ['gemma2'],
    },
    'logits are not capped': {
      spec: wrongConfig(() => ({ logitCap: undefined })),
      about: 'activations, logits and loss',
      of: ['gemma2'],
    },
    'logits have the cap of scores': {
      spec: wrongConfig(({ scoreCap }) => ({ logitCap: scoreCap })),
      about: 'activations, logits and loss',
      of: ['gemma2'],
    },
    'gate and up are exchanged': {
      spec: wrongSteps((step) => (step.op === 'gate' ? { ...step, of: step.of.toReversed() } : step)),
      about: 'activations, logits and loss',
      of: llamaVariants,
    },
    'epsilon is 1e-3': {
      spec: wrongConfig(() => ({ epsilon: 1e-3 })),
      about: 'activations, logits and loss',
      of: llamaVariants,
    },
    'the head is the token table': {
      spec: wrongConfig(() => ({ tied: true })),
      about: 'llama_mha single: activations, logits and loss',
    },
    'the scaling of rotations is ignored': {
      spec: wrongConfig(({ rotary }) => ({ rotary: rotary && { ...rotary, scaling: null } })),
      about: 'llama3_rope single: activations, logits and loss',
    },
    'masks are one layer late': {
      spec: wrongMask(({ heads, neurons }) => ({ heads: late(heads), neurons: late(neurons) })),
      about: 'logits and loss under masks',
    },
    'the mask of neurons is left out, as in the released code': {
      spec: wrongMask((mask) => ({ ...mask, neurons: all(mask.neurons) })),
      about: 'logits and loss under masks',
    },
    'neurons are masked before the gate': {
      spec: {
        modelOf: (program, weights) => {
          const gatesTimes = (mask: Units): Weights => ({
            ...weights,
            matrix: (parameter, isTurned) => {
              const right = weights.matrix(parameter, isTurned)
              const found = /\.(\d+)\.mlp\.gate_proj/.exec(parameter.name)
              if (found === null) return right
              const factors = mask.neurons[Number(found[1])]
              const numbers = right
                .widen()
                .data.map((value, n) => value * factors[Math.floor(n / right.columns)])
              return matrix(tensor(numbers, right.rows, right.columns))
            },
          })
          const model = modelOf(program, weights)
          return {
            ...model,
            forward: (tokens, mask) =>
              mask !== null && 'heads' in mask
                ? modelOf(program, gatesTimes(mask)).forward(tokens, { ...mask, neurons: all(mask.neurons) })
                : model.forward(tokens, mask),
          }
        },
      },
      about: 'finite differences of the masks',
    },
    'labels are those of the tokens themselves': {
      spec: wrongBackward((backward, labels) => backward(Int32Array.of(-100, ...labels.slice(0, -1)))),
      about: 'gradients and plainact',
    },
    'the gradient of an activation is that before its function': {
      spec: wrongBackward((backward, labels) =>
        backward(labels).map((one) => ({ ...one, activation: one.preActivation })),
      ),
      about: 'gradients and plainact',
    },
    'the gradient is rotated forwards': {
      rotary: { rotary_backward: rotaryOps.rotary },
      about: 'gradients and plainact',
      of: llamaVariants,
    },
    'the gradients of gate and up are exchanged': {
      gate: { gates: exchanged },
      about: 'an example of calibration',
      of: llamaVariants,
    },
    'plainact keeps the sign of a token': {
      spec: {
        plainact: (outputs, gradients, H) => ({
          ...plainact(outputs, gradients, H),
          neurons: outputs.map(({ activation }, l) => {
            const [T, F] = activation.shape
            const sum = zeros(F).data
            for (let i = 0; i < T * F; i++) sum[i % F] += activation.data[i] * gradients[l].activation.data[i]
            return sum
          }),
        }),
      },
      about: 'gradients and plainact',
    },
    'calibration scores the prompt only': {
      spec: { calibrate: (model, text) => calibrate(model, text, text.length - 1) },
      about: 'an example of calibration',
    },
    'text goes on under no mask': {
      spec: { generate: (model, prompt, _mask, count) => generate(model, prompt, null, count) },
      about: 'greedy text, dense and sparse',
    },
    'the predictor sees the first token': {
      spec: {
        features: (context, scaling) => {
          const [, D] = context.shape
          return features(tensor(context.data.slice(0, D), 1, D), scaling)
        },
      },
      about: 'the released predictor',
    },
    'scores of a layer are those of the next': {
      spec: {
        predict: (...all) => {
          const { heads, neurons } = predict(...all)
          return { heads: heads.toReversed(), neurons }
        },
      },
      about: 'the released predictor',
    },
    'layer 0 is left out of the released ranking': {
      spec: { selectMask: (scores, budget) => selectMask(scores, { ...budget, policy: 'exact' }) },
      about: 'masks of the paper-compatible policy',
    },
  }

  test.each(Object.entries(mutants))('%s: is found', (_bug, { spec, about, of, ...operations }) => {
    const isMeant = (name: string): boolean => of === undefined || of.some((one) => name.startsWith(one))
    const names = Object.keys(judgements).filter((name) => name.includes(about) && isMeant(name))
    expect(names).not.toEqual([])
    Object.assign(rotary, operations.rotary)
    Object.assign(gate, operations.gate)
    try {
      for (const name of names)
        expect(() => judgements[name]({ ...specification, ...spec }), name).toThrow(
          expect.objectContaining({ name: 'AssertionError' }) as Error,
        )
    } finally {
      Object.assign(rotary, rotaryOps)
      Object.assign(gate, gateOps)
    }
  })

  test('every kind of judgement finds one', () => {
    const kindOf = (name: string): string => name.slice(name.indexOf(': ') + 1).trim()
    const about = Object.values(mutants).map(({ about }) => kindOf(about))
    const kinds = new Set(Object.keys(judgements).map(kindOf))
    expect([...kinds].filter((kind) => !about.some((words) => kind.includes(words)))).toEqual([])
  })
})
