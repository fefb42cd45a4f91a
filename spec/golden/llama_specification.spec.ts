/**
 * What Hugging Face's Llama and Mistral compute, `src/spec/llama.ts` computes: activations, logits, losses, gradients,
 * plainact, masks and greedy text, within the tolerances of fixtures/golden-llama/README.md.
 *
 * The specification knows no padding; each row of a case is run alone. Its functions are judged as a table, and the array
 * operations that it calls stand in another, so that a wrong one can be put in.
 *
 * Tests src/spec/llama.ts, src/spec/plainact.ts and src/spec/shadowllm.ts.
 */
import { afterAll, describe, expect, test, vi } from 'vitest'
import { ReferenceBackend } from '../../src/backends/reference.ts'
import type { Unpadded } from '../../src/engine/batch.ts'
import { countScored, shiftLabels } from '../../src/engine/loss.ts'
import * as arrays from '../../src/spec/arrays.ts'
import { zeros, type Matrix, type Tensor } from '../../src/spec/arrays.ts'
import type { LlamaLayer, LlamaModel, LlamaPass } from '../../src/spec/llama.ts'
import type { Mask, Units } from '../../src/spec/model.ts'
import { plainact } from '../../src/spec/plainact.ts'
import { calibrate, generate } from '../../src/spec/shadowllm.ts'
import { plainLlama } from '../../src/verify/model/plain_model.ts'
import { casesOf, expectNear, expectNearRelative, get, getFloats, getIds, llamaVariants } from './golden.ts'
import { readCase, rowsIn, tolerance, type Case, type LlamaVariant } from './golden.ts'
import { expectLogits, expectLoss, goldenConfig, goldenTensors, labelsOf, layerOf, rowsOf } from './model.ts'
import { scoredIn } from './model.ts'

// The spec files of a worker share modules. This file loads its own and removes it at its end.
const path = '../../src/spec/arrays.ts'
const operations = { ...arrays }
vi.resetModules()
vi.doMock(path, () => operations)
const { forward, backward, llama } = await import('../../src/spec/llama.ts')
afterAll(() => {
  vi.doUnmock(path)
  vi.resetModules()
})

/** A variant, as the first of its two configs or as the other describes it. */
function goldenLlama(variant: LlamaVariant, file = 'config.json'): LlamaModel {
  return plainLlama(goldenConfig(variant, file), goldenTensors(variant), 'f32', 'f32')
}

/** The mask of a case. */
function unitsIn(tensors: Case): Units {
  const rows = (name: string): Float32Array[] => rowsIn(getFloats(tensors, name), get(tensors, name).shape[1])
  return { heads: rows('head_mask'), neurons: rows('ffn_mask') }
}

const specification = { forward, backward, llama }
type Specification = typeof specification

const models = Object.fromEntries(llamaVariants.map((variant) => [variant, goldenLlama(variant)])) as Record<
  LlamaVariant,
  LlamaModel
>

/** Layer l of the tensor of this name [L, B, T, width], cut to a row of a case. */
function layerIn(tensors: Case, name: string, l: number, sequence: Unpadded): Float64Array {
  const { shape, values } = get(tensors, name)
  return rowsOf(tensors).cut(layerOf(values, l, shape[0]), sequence, shape[3])
}

/** Activations, logits and the loss. */
function judgeForward(spec: Specification, variant: LlamaVariant, name: string): void {
  const tensors = readCase(variant, name)
  const model = models[variant]
  for (const sequence of rowsOf(tensors).sequences) {
    const { layers } = spec.forward(model, sequence.tokens)
    const last = layers[layers.length - 1].output
    const hidden = [...layers.map(({ input }) => input), arrays.rmsNorm(last, model.finalNorm, model.epsilon)]
    hidden.forEach(({ data }, l) => {
      const { shape, values } = get(tensors, `hidden.${l}`)
      expectNear(data, rowsOf(tensors).cut(values, sequence, shape[2]), tolerance.logits, `hidden.${l}`)
    })
    layers.forEach(({ context, activation }, l) => {
      for (const [of, { data }] of [
        ['head_out', context],
        ['ffn_act', activation],
      ] as const)
        expectNear(data, layerIn(tensors, of, l, sequence), tolerance.logits, `${of} ${l}`)
    })
  }
  judgeLogits(spec, model, tensors, '', null)
}

/** Logits and the loss under the mask of the case. */
function judgeMasked(spec: Specification, variant: LlamaVariant, name: string): void {
  const tensors = readCase(variant, name)
  judgeLogits(spec, models[variant], tensors, 'masked.', unitsIn(tensors))
}

function judgeLogits(
  spec: Specification,
  model: LlamaModel,
  tensors: Case,
  prefix: string,
  mask: Mask,
): void {
  const logitsOf = ({ tokens }: Unpadded): Float32Array => spec.forward(model, tokens, mask).logits.data
  expectLogits(tensors, `${prefix}logits`, logitsOf)
  expectLoss(new ReferenceBackend(), tensors, `${prefix}loss`, logitsOf)
}

/** Gradients of every unit, the derivatives in the masks, and plainact. The loss is the mean over all rows of a case. */
function judgeGradients(spec: Specification, variant: LlamaVariant, name: string): void {
  const tensors = readCase(variant, name)
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
  for (const sequence of rows.sequences) {
    const labels = labelsOf(rows, sequence)
    const share = countScored(labels) / scoredIn(rows)
    if (share === 0) continue
    const pass = spec.forward(models[variant], sequence.tokens)
    const gradients = spec.backward(models[variant], pass, shiftLabels(labels))
    gradients.forEach(({ context, activation }, l) => {
      for (const [of, { data }] of [
        ['head_out_grad', context],
        ['ffn_act_grad', activation],
      ] as const) {
        note(
          found,
          `${of} ${l}`,
          Array.from(data, (value) => value * share),
        )
        note(expected, `${of} ${l}`, layerIn(tensors, of, l, sequence))
      }
    })
    const scores = plainact(pass.layers, gradients, models[variant].heads)
    const slopes = slopesOf(pass, gradients, models[variant].heads)
    sum('crit.plainact_head', scores.heads, share)
    sum('crit.plainact_ffn_act', scores.neurons, share)
    sum('crit.plainact_head_signed', slopes.heads, share)
    sum('crit.plainact_ffn_signed', slopes.neurons, share)
  }
  for (const [of, values] of found) expectNearRelative(values, expected.get(of) ?? [], tolerance.gradient, of)
  for (const [of, values] of sums) expectNearRelative(values, get(tensors, of).values, tolerance.gradient, of)
}

const flatten = (rows: readonly Float32Array[]): number[] => rows.flatMap((row) => [...row])

/** The derivative of the loss in the factor of every unit: Σ_t Σ_i a g, of what a unit computes before the mask. */
function slopesOf({ layers }: LlamaPass, gradients: ReturnType<typeof backward>, H: number): Units {
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

/** What calibration makes of the one row of `single`, all of whose tokens but the first are scored. */
function judgeExample(spec: Specification, variant: LlamaVariant): void {
  const tensors = readCase(variant, 'single')
  const [sequence] = rowsOf(tensors).sequences
  const { context, scores } = calibrate(spec.llama(models[variant]), sequence.tokens, 1)
  const expected = layerIn(tensors, 'head_out', 0, sequence).subarray(0, context.size)
  expectNear(context.data, expected, 1e-5, 'context')
  for (const [kind, golden] of [
    ['heads', 'crit.plainact_head'],
    ['neurons', 'crit.plainact_ffn_act'],
  ] as const)
    expectNearRelative(flatten(scores[kind]), get(tensors, golden).values, tolerance.gradient, golden)
}

/** Sixteen greedy tokens and the logits of each, dense and under a mask. */
function judgeText(spec: Specification, variant: LlamaVariant): void {
  const tensors = readCase(variant, 'greedy')
  const prompt = getIds(tensors, 'prompt')
  for (const [kind, mask] of [
    ['dense', null],
    ['sparse', unitsIn(tensors)],
  ] as const) {
    const tokens = getIds(tensors, `${kind}.tokens`)
    const { shape, values } = get(tensors, `${kind}.logits`)
    expect(generate(spec.llama(models[variant]), prompt, mask, tokens.length)).toEqual(tokens)
    const { logits } = spec.forward(models[variant], Int32Array.of(...prompt, ...tokens.slice(0, -1)), mask)
    const scored = logits.data.subarray((prompt.length - 1) * shape[1])
    expectNear(scored, values, tolerance.logits, `${kind}.logits`)
  }
}

/** The mean negative log-likelihood in float64 of every token but the first. */
function lossOf({ logits }: LlamaPass, tokens: Int32Array): number {
  const [T, V] = logits.shape
  let total = 0
  for (let t = 0; t + 1 < T; t++) {
    const row = logits.data.subarray(t * V, (t + 1) * V)
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
  const model = models.llama_gqa
  const tokens = getIds(tensors, 'input_ids')
  const dense = unitsIn(tensors)
  for (const row of [...dense.heads, ...dense.neurons]) row.fill(1)
  for (const mask of [dense, unitsIn(tensors)]) {
    const pass = spec.forward(model, tokens, mask)
    const slopes = slopesOf(
      pass,
      spec.backward(model, pass, Int32Array.of(...tokens.slice(1), -100)),
      model.heads,
    )
    for (const kind of ['heads', 'neurons'] as const)
      mask[kind].forEach((row, l) => {
        const steps = Float64Array.from(row, (_, u) => {
          const lossAt = (step: number): number => {
            const changed = mask[kind].map((all, at) =>
              at === l ? all.map((m, unit) => m + (unit === u ? step : 0)) : all,
            )
            return lossOf(spec.forward(model, tokens, { ...mask, [kind]: changed }), tokens)
          }
          const quotient = (h: number): number => (lossAt(h) - lossAt(-h)) / (2 * h)
          return (4 * quotient(1 / 32) - quotient(1 / 16)) / 3
        })
        expectNearRelative(slopes[kind][l], steps, 1e-3, `${kind} ${l}`)
      })
  }
}

type Judge = (spec: Specification) => void

/** All that is judged, by name. */
const judgements: Readonly<Record<string, Judge>> = {
  ...Object.fromEntries(
    llamaVariants.flatMap((variant) => [
      ...casesOf[variant].flatMap((name): [string, Judge][] => [
        [`${variant} ${name}: activations, logits and loss`, (spec) => judgeForward(spec, variant, name)],
        [`${variant} ${name}: logits and loss under a mask`, (spec) => judgeMasked(spec, variant, name)],
        [`${variant} ${name}: gradients and plainact`, (spec) => judgeGradients(spec, variant, name)],
      ]),
      [`${variant}: an example of calibration`, (spec: Specification) => judgeExample(spec, variant)],
      [`${variant}: greedy text, dense and sparse`, (spec: Specification) => judgeText(spec, variant)],
    ]),
  ),
  'finite differences of the masks': judgeSlopes,
}

for (const [name, judge] of Object.entries(judgements)) test(name, () => judge(specification))

test.each(llamaVariants)('both configs of %s describe one model', (variant) => {
  expect(goldenLlama(variant, 'config.v5.json')).toEqual(models[variant])
})

describe('planted bugs', () => {
  /** The specification with the model, or the mask, changed before every pass. */
  const wrongPass = (change: (model: LlamaModel, mask: Mask) => [LlamaModel, Mask]): Specification => {
    const wrong: Specification = {
      forward: (model, tokens, mask = null) => {
        const [other, under] = change(model, mask)
        return forward(other, tokens, under)
      },
      backward: (model, pass, labels) => backward(change(model, null)[0], pass, labels),
      llama: (model) => ({
        ...llama(model),
        forward: (tokens, mask) => {
          const pass = wrong.forward(model, tokens, mask)
          return { ...pass, backward: (labels) => wrong.backward(model, pass, labels) }
        },
        look: (tokens) => llama(change(model, null)[0]).look(tokens),
      }),
    }
    return wrong
  }
  const wrongModel = (change: (model: LlamaModel) => LlamaModel): Specification =>
    wrongPass((model, mask) => [change(model), mask])
  const wrongLayers = (
    change: (layer: LlamaLayer, l: number, model: LlamaModel) => LlamaLayer,
  ): Specification =>
    wrongModel((model) => ({ ...model, layers: model.layers.map((layer, l) => change(layer, l, model)) }))

  /** A matrix whose row i is row `source(i)` of this one, times a factor. */
  const rowsFrom = (
    matrix: Matrix,
    rows: number,
    source: (i: number) => number,
    factor: (i: number) => number = () => 1,
  ): Matrix => {
    if (matrix.storage !== 'f32') throw new TypeError('a golden model is float32')
    const { columns: I, numbers } = matrix
    return {
      ...matrix,
      rows,
      numbers: Float32Array.from({ length: rows * I }, (_, n) => {
        const i = Math.floor(n / I)
        return numbers[source(i) * I + (n % I)] * factor(i)
      }),
    }
  }
  /** x [T, H K] with the numbers of each head in the order 0, M, 1, M + 1, ..., or back in their own. */
  const interleave = (x: Tensor, K: number, back: boolean): Tensor => {
    const y = zeros(...x.shape)
    for (let n = 0; n < x.size; n++) {
      const [at, i] = [n - (n % K), n % K]
      const other = at + (i % 2) * (K / 2) + Math.floor(i / 2)
      if (back) y.data[n] = x.data[other]
      else y.data[other] = x.data[n]
    }
    return y
  }
  const { rotate, siluGateBackward } = arrays
  const keyWidth = ({ layers }: LlamaModel): number => layers[0].key.weight.rows

  const mutants: Record<
    string,
    [wrong: { spec?: Specification; operations?: Partial<typeof arrays> }, judgement: string]
  > = {
    'head h reads key head h mod G': [
      {
        spec: wrongLayers((layer, _l, { heads: H, headSize: K }) => {
          const G = layer.key.weight.rows / K
          const ofHead = (i: number): number => (Math.floor(i / K) % G) * K + (i % K)
          const [key, value] = [layer.key, layer.value].map(({ weight }) => ({
            weight: rowsFrom(weight, H * K, ofHead),
            bias: null,
          }))
          return { ...layer, key, value }
        }),
      },
      'llama_gqa single: activations, logits and loss',
    ],
    'a rotation turns neighbours': [
      {
        operations: {
          rotate: (x, table) =>
            interleave(rotate(interleave(x, table.shape[1], false), table), table.shape[1], true),
        },
      },
      'activations, logits and loss',
    ],
    'keys are not rotated': [
      {
        operations: {
          rotate: (x, table) => (x.shape[1] === keyWidth(models.llama_gqa) ? x : rotate(x, table)),
        },
      },
      'llama_gqa single: activations, logits and loss',
    ],
    'gate and up are exchanged': [
      { spec: wrongLayers((layer) => ({ ...layer, gate: layer.up, up: layer.gate })) },
      'activations, logits and loss',
    ],
    'epsilon is 1e-3': [
      { spec: wrongModel((model) => ({ ...model, epsilon: 1e-3 })) },
      'activations, logits and loss',
    ],
    'the head is the token table': [
      { spec: wrongModel((model) => ({ ...model, head: model.tokenTable })) },
      'llama_mha single: activations, logits and loss',
    ],
    'the scaling of rotations is ignored': [
      { spec: wrongModel((model) => ({ ...model, rotary: { ...model.rotary, scaling: null } })) },
      'llama3_rope single: activations, logits and loss',
    ],
    'masks are one layer late': [
      {
        spec: wrongPass((model, mask) => {
          if (mask === null || !('heads' in mask)) return [model, mask]
          const late = <Row>(rows: readonly Row[]): Row[] => [...rows.slice(-1), ...rows.slice(0, -1)]
          return [model, { heads: late(mask.heads), neurons: late(mask.neurons) }]
        }),
      },
      'logits and loss under a mask',
    ],
    'neurons are masked before the gate': [
      {
        spec: wrongPass((model, mask) => {
          if (mask === null || !('heads' in mask)) return [model, mask]
          const layers = model.layers.map((layer, l) => ({
            ...layer,
            gate: rowsFrom(
              layer.gate,
              layer.gate.rows,
              (i) => i,
              (i) => mask.neurons[l][i],
            ),
          }))
          return [
            { ...model, layers },
            { ...mask, neurons: mask.neurons.map((row) => row.map(() => 1)) },
          ]
        }),
      },
      'finite differences of the masks',
    ],
    'text goes on under no mask': [
      { spec: wrongPass((model) => [model, null]) },
      'greedy text, dense and sparse',
    ],
    'the gradient is rotated forwards': [
      { operations: { rotateBackward: rotate } },
      'gradients and plainact',
    ],
    'the gradients of gate and up are exchanged': [
      { operations: { siluGateBackward: (...all) => siluGateBackward(...all).toReversed() } },
      'an example of calibration',
    ],
  }

  test.each(Object.entries(mutants))('%s: is found', (_bug, [{ spec, operations: wrong }, about]) => {
    const names = Object.keys(judgements).filter((name) => name.includes(about))
    expect(names).not.toEqual([])
    Object.assign(operations, wrong)
    try {
      for (const name of names)
        expect(() => judgements[name](spec ?? specification), name).toThrow(
          expect.objectContaining({ name: 'AssertionError' }) as Error,
        )
    } finally {
      Object.assign(operations, arrays)
    }
  })

  test('every kind of judgement finds one', () => {
    const kindOf = (name: string): string => name.slice(name.indexOf(': ') + 1).trim()
    const about = Object.values(mutants).map(([, words]) => kindOf(words))
    expect(Object.keys(judgements).filter((name) => !about.includes(kindOf(name)))).toEqual([])
  })
})
