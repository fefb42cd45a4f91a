/**
 * What Hugging Face's OPT computes, `src/spec` computes: activations, logits, losses, gradients, plainact, masks and greedy
 * text, within the tolerances of fixtures/golden/README.md. So the specification is judged by another implementation, and
 * the engine by the specification.
 *
 * The specification knows no padding; each row of a case is run alone. The functions are judged as a table, so that a wrong
 * one can be put in.
 *
 * Tests src/spec/arrays.ts, src/spec/model.ts, src/spec/opt.ts, src/spec/plainact.ts, src/spec/predictor.ts,
 * src/spec/select.ts, src/spec/shadowllm.ts and src/verify/model/plain_model.ts.
 */
import { describe, expect, test } from 'vitest'
import { ReferenceBackend } from '../../src/backends/reference.ts'
import { countScored, shiftLabels } from '../../src/engine/loss.ts'
import type { Unpadded } from '../../src/engine/batch.ts'
import { tensor, zeros, type Tensor } from '../../src/spec/arrays.ts'
import type { Mask, Units } from '../../src/spec/model.ts'
import * as opt from '../../src/spec/opt.ts'
import { plainact } from '../../src/spec/plainact.ts'
import { features, predict, run, type Network } from '../../src/spec/predictor.ts'
import { selectMask } from '../../src/spec/select.ts'
import { calibrate, generate } from '../../src/spec/shadowllm.ts'
import { plainOpt } from '../../src/verify/model/plain_model.ts'
import { unitsOf } from '../../src/verify/model/engine_cases.ts'
import {
  casesOf,
  expectNear,
  expectNearRelative,
  get,
  getFloats,
  getIds,
  readCase,
  rowsIn,
  tolerance,
  optVariants,
  type Case,
  type OptVariant,
} from './golden.ts'
import {
  expectLogits,
  expectLoss,
  goldenConfig,
  goldenTensors,
  labelsOf,
  layerOf,
  maskedKinds,
  maskOf,
  rowsOf,
  scoredIn,
} from './model.ts'

const { forward, backward, attend, embed } = opt
const predicting = { features, predict, run }
const specification = {
  forward,
  backward,
  attend,
  embed,
  plainact,
  ...predicting,
  selectMask,
  calibrate,
  generate,
}
type Specification = typeof specification

const shape = (({ layers, heads, neurons }) => ({ layers, heads, neurons }))(goldenConfig('preln'))
const kinds = [
  ['heads', 'head'],
  ['neurons', 'ffn'],
] as const

const models = Object.fromEntries(
  optVariants.map((variant) => [
    variant,
    plainOpt(goldenConfig(variant), goldenTensors(variant), 'f32', 'f32'),
  ]),
) as Record<OptVariant, opt.OptModel>

/** A pass over a row of a case. */
function passOf(
  spec: Specification,
  variant: OptVariant,
  { tokens }: Unpadded,
  mask: Mask = null,
): opt.OptPass {
  return spec.forward(models[variant], tokens, mask)
}

/** Layer l of the tensor of this name [L, B, T, width], cut to a row of a case. */
function layerIn(tensors: Case, name: string, l: number, sequence: Unpadded): Float64Array {
  const { shape, values } = get(tensors, name)
  return rowsOf(tensors).cut(layerOf(values, l, shape[0]), sequence, shape[3])
}

/** Activations, logits and the loss. */
function judgeForward(spec: Specification, variant: OptVariant, name: string): void {
  const tensors = readCase(variant, name)
  const near = tolerance.logits
  for (const sequence of rowsOf(tensors).sequences)
    passOf(spec, variant, sequence).layers.forEach((at, l) => {
      const { shape, values } = get(tensors, `hidden.${l}`)
      expectNear(at.input.data, rowsOf(tensors).cut(values, sequence, shape[2]), near, `hidden.${l}`)
      for (const [of, own] of [
        ['head_out', at.context],
        ['fc1_pre', at.preActivation],
        ['fc1_act', at.activation],
      ] as const)
        expectNear(own.data, layerIn(tensors, of, l, sequence), near, `${of} ${l}`)
    })
  judgeLogits(spec, variant, tensors, '', () => null)
}

/** Logits and losses under the masks of heads, of neurons and of both; and one mask for each row. */
function judgeMasked(spec: Specification, variant: OptVariant, name: string): void {
  const tensors = readCase(variant, name)
  for (const [key, kind] of maskedKinds(tensors)) {
    const mask = unitsOf(maskOf({ shape }, tensors, kind))
    judgeLogits(spec, variant, tensors, `${key}.`, () => mask)
  }
  if (!tensors.has('masked_per_sample.logits')) return
  const [heads, neurons] = kinds.map(([, golden]) => get(tensors, `${golden}_mask_per_sample`))
  const own = ({ row }: Unpadded): Units => ({
    heads: rowsIn(layerOf(heads.values, row, heads.shape[0]), shape.heads),
    neurons: rowsIn(layerOf(neurons.values, row, heads.shape[0]), shape.neurons),
  })
  expectLogits(
    tensors,
    'masked_per_sample.logits',
    (sequence) => passOf(spec, variant, sequence, own(sequence)).logits.data,
  )
}

function judgeLogits(
  spec: Specification,
  variant: OptVariant,
  tensors: Case,
  prefix: string,
  maskFor: (sequence: Unpadded) => Mask,
): void {
  const logitsOf = (sequence: Unpadded): Float32Array =>
    passOf(spec, variant, sequence, maskFor(sequence)).logits.data
  expectLogits(tensors, `${prefix}logits`, logitsOf)
  expectLoss(new ReferenceBackend(), tensors, `${prefix}loss`, logitsOf)
}

/** Gradients of every unit, and plainact. The loss of a case is the mean over all of its rows. */
function judgeGradients(spec: Specification, variant: OptVariant, name: string): void {
  const tensors = readCase(variant, name)
  const rows = rowsOf(tensors)
  const sums = { heads: new Float64Array(), neurons: new Float64Array() }
  const found = new Map<string, number[]>()
  const expected = new Map<string, number[]>()
  const note = (to: Map<string, number[]>, of: string, values: ArrayLike<number>): void =>
    void to.set(of, [...(to.get(of) ?? []), ...Array.from(values)])
  for (const sequence of rows.sequences) {
    const labels = labelsOf(rows, sequence)
    const share = countScored(labels) / scoredIn(rows)
    if (share === 0) continue
    const pass = passOf(spec, variant, sequence)
    const gradients = spec.backward(models[variant], pass, shiftLabels(labels))
    gradients.forEach(({ context, activation, preActivation }, l) => {
      for (const [of, own] of [
        ['head_out_grad', context],
        ['fc1_act_grad', activation],
        ['fc1_pre_grad', preActivation],
      ] as const) {
        note(
          found,
          `${of} ${l}`,
          own.data.map((value) => value * share),
        )
        note(expected, `${of} ${l}`, layerIn(tensors, of, l, sequence))
      }
    })
    const scores = spec.plainact(pass.layers, gradients, shape.heads)
    for (const [kind] of kinds) {
      const flat = scores[kind].flatMap((row) => [...row])
      sums[kind] = Float64Array.from(flat, (score, i) => (sums[kind][i] ?? 0) + score * share)
    }
  }
  for (const [of, values] of found) expectNearRelative(values, expected.get(of) ?? [], tolerance.gradient, of)
  expectScores(tensors, sums)
}

function expectScores(tensors: Case, scores: Readonly<Record<keyof Units, ArrayLike<number>>>): void {
  for (const [kind, golden] of [
    ['heads', 'crit.plainact_head'],
    ['neurons', 'crit.plainact_ffn_act'],
  ] as const)
    expectNearRelative(scores[kind], get(tensors, golden).values, tolerance.gradient, golden)
}

/** What calibration makes of the one row of `single`, all of whose tokens but the first are scored. */
function judgeExample(spec: Specification, variant: OptVariant): void {
  const tensors = readCase(variant, 'single')
  const [sequence] = rowsOf(tensors).sequences
  const { context, scores } = spec.calibrate(opt.opt(models[variant]), sequence.tokens, 1)
  expectNear(
    context.data,
    layerIn(tensors, 'head_out', 0, sequence).subarray(0, context.size),
    1e-5,
    'context',
  )
  expectScores(tensors, { heads: flatten(scores.heads), neurons: flatten(scores.neurons) })
}

const flatten = (rows: readonly Float32Array[]): number[] => rows.flatMap((row) => [...row])

/** Sixteen greedy tokens, dense and under a mask. */
function judgeText(spec: Specification): void {
  const tensors = readCase('preln', 'greedy')
  const prompt = getIds(tensors, 'prompt')
  for (const [kind, mask] of [
    ['dense', null],
    ['sparse', unitsOf(maskOf({ shape }, tensors, 'both'))],
  ] as const) {
    const text = spec.generate(opt.opt(models.preln), prompt, mask, 16)
    expect([...prompt, ...text]).toEqual([...get(tensors, `${kind}.tokens`).values])
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
  const input = getIds(golden, 'input_ids')
  const { context } = spec.attend(models.preln, 0, spec.embed(models.preln, input))
  const [T, D] = context.shape
  const seen = get(golden, 'first_layer_last_token_context').values
  expectNear(context.data.subarray((T - 1) * D), seen, 1e-5, 'context')
  const f = spec.features(context, 'min_max')
  expectNear(f.data, get(golden, 'predictor_input').values, 1e-5, 'input')
  const predictor = {
    features: 'min_max',
    heads: goldenNetwork('head', shape.heads),
    neurons: goldenNetwork('ffn', shape.neurons),
  } as const
  const scores = spec.predict(predictor, context, shape.heads, shape.neurons)
  for (const [kind, name] of kinds) {
    const { values } = get(golden, `${name}.scores`)
    expectNear(spec.run(goldenNetwork(name), f).y.data, values, 1e-5, `${name}.scores`)
    expectNear(flatten(scores[kind].slice(1)), values.subarray(shape[kind]), 1e-5, `${name}.scores`)
  }
}

/** The masks of the released policy, and logits under one of them. The golden per-layer masks do not keep layer 0. */
function judgeSelection(spec: Specification): void {
  const scores = Object.fromEntries(
    kinds.map(([kind, name]) => [kind, rowsIn(get(golden, `${name}.scores`).values, shape[kind])]),
  ) as unknown as Units
  const maskOf = (percent: number, scope: 'global' | 'per-layer'): Units =>
    spec.selectMask(scores, { sparsity: percent / 100, scope, policy: 'released' })
  for (const percent of [25, 50, 75])
    for (const [kind, name] of kinds) {
      const whole = getFloats(golden, `${name}.global_mask_${percent}_layer0kept`)
      expect(maskOf(percent, 'global')[kind]).toEqual(rowsIn(whole, shape[kind]))
      const [, ...later] = rowsIn(getFloats(golden, `${name}.perlayer_mask_${percent}`), shape[kind])
      const [first, ...found] = maskOf(percent, 'per-layer')[kind]
      expect(found).toEqual(later)
      expect(first.every((kept) => kept === 1)).toBe(true)
    }
  const { logits } = spec.forward(models.preln, getIds(golden, 'input_ids'), maskOf(50, 'global'))
  expectNear(logits.data, get(golden, 'global50_layer0kept.logits').values, tolerance.logits, 'logits')
}

/** All that is judged, by name. */
const judgements: Readonly<Record<string, (spec: Specification) => void>> = {
  ...Object.fromEntries(
    optVariants.flatMap((variant) => [
      ...casesOf[variant].flatMap((name): [string, (spec: Specification) => void][] => [
        [`${variant} ${name}: activations, logits and loss`, (spec) => judgeForward(spec, variant, name)],
        [`${variant} ${name}: logits and loss under masks`, (spec) => judgeMasked(spec, variant, name)],
        [`${variant} ${name}: gradients and plainact`, (spec) => judgeGradients(spec, variant, name)],
      ]),
      [`${variant}: an example of calibration`, (spec: Specification) => judgeExample(spec, variant)],
    ]),
  ),
  'greedy text, dense and sparse': judgeText,
  "the released predictor's input and scores": judgePredictor,
  'masks of the released policy, and logits under one': judgeSelection,
}

for (const [name, judge] of Object.entries(judgements)) test(name, () => judge(specification))

describe('planted bugs', () => {
  /** The specification with the model changed before every pass. */
  const wrongModel = (change: (model: opt.OptModel) => opt.OptModel): Partial<Specification> => ({
    forward: (model, ...rest) => forward(change(model), ...rest),
    attend: (model, ...rest) => attend(change(model), ...rest),
    embed: (model, ...rest) => embed(change(model), ...rest),
  })
  const timesRoot = (x: Float32Array, K: number): Float32Array => x.map((value) => value * K ** 0.5)

  const mutants: Record<string, [wrong: Partial<Specification>, judgement: string]> = {
    'queries are not scaled by 1 / √K': [
      wrongModel((model) => ({
        ...model,
        layers: model.layers.map((layer) => {
          const { weight, bias } = layer.query
          if (weight.storage !== 'f32') throw new TypeError('a golden model is float32')
          const K = weight.rows / model.heads
          const query = {
            weight: { ...weight, numbers: timesRoot(weight.numbers, K) },
            bias: bias && tensor(timesRoot(bias.data, K), bias.size),
          }
          return { ...layer, query }
        }),
      })),
      'activations, logits and loss',
    ],
    'norms stand on the other side of each half': [
      wrongModel((model) => ({ ...model, preNorm: !model.preNorm })),
      'activations, logits and loss',
    ],
    'the last norm is left out': [
      wrongModel((model) => ({ ...model, finalNorm: null })),
      'preln single: activations, logits and loss',
    ],
    'masks are one layer late': [
      {
        forward: (model, tokens, mask = null) => {
          if (mask === null || !('heads' in mask)) return forward(model, tokens, mask)
          const late = <Row>(rows: readonly Row[]): Row[] => [...rows.slice(-1), ...rows.slice(0, -1)]
          return forward(model, tokens, { heads: late(mask.heads), neurons: late(mask.neurons) })
        },
      },
      'logits and loss under masks',
    ],
    'the mask of neurons is left out, as in the released code': [
      {
        forward: (model, tokens, mask = null) => {
          if (mask === null || !('heads' in mask)) return forward(model, tokens, mask)
          return forward(model, tokens, { ...mask, neurons: mask.neurons.map((row) => row.map(() => 1)) })
        },
      },
      'logits and loss under masks',
    ],
    'labels are those of the tokens themselves': [
      {
        backward: (model, pass, labels) => backward(model, pass, Int32Array.of(-100, ...labels.slice(0, -1))),
      },
      'gradients and plainact',
    ],
    'the gradient of an activation is that before relu': [
      {
        backward: (...all) => backward(...all).map((one) => ({ ...one, activation: one.preActivation })),
      },
      'gradients and plainact',
    ],
    'plainact keeps the sign of a token': [
      {
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
      'gradients and plainact',
    ],
    'calibration scores the prompt only': [
      { calibrate: (model, text) => calibrate(model, text, text.length - 1) },
      'an example of calibration',
    ],
    'text goes on under no mask': [
      { generate: (model, prompt, _mask, count) => generate(model, prompt, null, count) },
      'greedy text',
    ],
    'the predictor sees the first token': [
      {
        features: (context, scaling) => {
          const [, D] = context.shape
          return features(tensor(context.data.slice(0, D), 1, D), scaling)
        },
      },
      'the released predictor',
    ],
    'scores of a layer are those of the next': [
      {
        predict: (...all) => {
          const { heads, neurons } = predict(...all)
          return { heads: heads.toReversed(), neurons }
        },
      },
      'the released predictor',
    ],
    'layer 0 is left out of the released ranking': [
      { selectMask: (scores, budget) => selectMask(scores, { ...budget, policy: 'exact' }) },
      'masks of the released policy',
    ],
  }

  test.each(Object.entries(mutants))('%s: is found', (_bug, [wrong, about]) => {
    const names = Object.keys(judgements).filter((name) => name.includes(about))
    expect(names).not.toEqual([])
    for (const name of names)
      expect(() => judgements[name]({ ...specification, ...wrong }), name).toThrow(
        expect.objectContaining({ name: 'AssertionError' }) as Error,
      )
  })

  test('every judgement finds one', () => {
    const about = Object.values(mutants).map(([, words]) => words)
    expect(Object.keys(judgements).filter((name) => !about.some((words) => name.includes(words)))).toEqual([])
  })
})
