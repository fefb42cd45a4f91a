/**
 * The attention criterion: its weights are those the model used, and its scores are their definition over
 * the attention maps of the golden files, which another implementation computed.
 *
 * Tests src/criteria/attention_weights.ts.
 */
import { describe, expect, test } from 'vitest'
import type { Backend } from '../../src/backends/backend.ts'
import { createBackend } from '../../src/backends/select.ts'
import { attention } from '../../src/criteria/attention.ts'
import { eachAttention } from '../../src/criteria/attention_weights.ts'
import type { Criterion } from '../../src/criteria/index.ts'
import { sumPerUnit } from '../../src/criteria/unit_scores.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import {
  expectNear,
  expectNearRelative,
  get,
  largestValue,
  readCase,
  tolerance,
  optVariants,
} from '../golden/golden.ts'
import { labelsOf, rowsOf, withGolden } from '../golden/model.ts'
import { overQuickBackends } from '../harness/backends.ts'
import { anyData, kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { anyModel, withModel, type Subject } from '../engine/cases.ts'
import { textOf, withPass, withUnits } from './passes.ts'

type Score = Criterion['score']

/** Weights times values, within what float32 leaves open. */
const givesTheContext = lawForAll(
  'weights times values are the heads’ outputs',
  { model: anyModel, data: anyData },
  (subject: Subject & { each: typeof eachAttention }, { model, data }) =>
    withModel(subject, model, (loaded) => {
      withPass(loaded, textOf(model, data), ({ trace }) => {
        const { heads: H, keyHeads: G, headSize: K } = loaded.config
        for (let layer = 0; layer < model.layers; layer++) {
          const values = trace.value(layer) // [G, T, K]
          const context = new Float64Array(trace.length * H * K)
          subject.each(trace, layer, (h, t, weights) => {
            const row = (t * H + h) * K
            weights.forEach((weight, s) => {
              const value = (Math.floor((h * G) / H) * trace.length + s) * K
              for (let k = 0; k < K; k++) context[row + k] += weight * values[value + k]
            })
          })
          expectNear(context, trace.headOut(layer), 1e-4 * largestValue(values), 'context')
        }
      })
    }),
  { runs: 40 },
)

/** The definition, over golden maps and activations, in float64. */
async function isTheDefinition(backend: Backend, score: Score): Promise<void> {
  for (const variant of optVariants)
    await withGolden(variant, backend, (model) => {
      const tensors = readCase(variant, 'single')
      const rows = rowsOf(tensors)
      const row = rows.sequences[0]
      const { layers: L, heads: H, neurons: F } = model.shape
      const T = row.tokens.length
      const maps = Array.from({ length: L }, (_, layer) => get(tensors, `attn.${layer}`).values) // [H, T, T]
      const activations = get(tensors, 'fc1_act').values // [L, 1, T, F]
      const heads = maps.flatMap((map) =>
        Array.from({ length: H }, (_, h) => {
          let sum = 0
          for (let t = 1; t < T; t++)
            sum += Math.max(...map.subarray((h * T + t) * T + 1, (h * T + t + 1) * T))
          return sum / (T - 1)
        }),
      )
      const received = (layer: number, s: number): number => {
        if (layer === L) return 1 / T
        let sum = 0
        for (let row = 0; row < H * T; row++) sum += maps[layer][row * T + s]
        return sum / (H * T)
      }
      const neurons = Array.from({ length: L * F }, (_, unit) => {
        const [layer, neuron] = [Math.floor(unit / F), unit % F]
        let sum = 0
        for (let t = 1; t < T; t++) sum += received(layer + 1, t) * activations[(layer * T + t) * F + neuron]
        return sum
      })
      const scores = withPass(model, { tokens: row.tokens, labels: labelsOf(rows, row) }, score)
      expectNearRelative(scores.heads, heads, tolerance.gradient, `${variant} heads`)
      expectNearRelative(scores.neurons, neurons, tolerance.gradient, `${variant} neurons`)
    })
}

overQuickBackends((backend) => {
  stateLaw(givesTheContext, { backend, load: LanguageModel.load, each: eachAttention })

  test('attention = its definition over the golden attention maps', () =>
    isTheDefinition(backend, attention.score))
})

/** The criterion with other heads. */
const withConfidence = (confidence: (weights: Float64Array) => number): Score =>
  withUnits(attention, 'heads', ({ trace, model }, layer) => {
    const sums = new Float64Array(model.shape.heads)
    eachAttention(trace, layer, (head, t, weights) => {
      if (t > 0) sums[head] += confidence(weights) / (trace.length - 1)
    })
    return sums
  })

const mutants: Readonly<Record<string, Score>> = {
  'a look at the first position counts': withConfidence((weights) => Math.max(...weights)),
  'the mean of what is looked at': withConfidence(
    (weights) => weights.slice(1).reduce((a, b) => a + b, 0) / (weights.length - 1),
  ),
  'attention of the neurons’ own layer': withUnits(attention, 'neurons', ({ trace, model }, layer) => {
    const { heads: H, neurons: F } = model.shape
    const T = trace.length
    const received = new Float64Array(T)
    eachAttention(trace, layer, (_, __, weights) =>
      weights.forEach((weight, s) => (received[s] += s === 0 ? 0 : weight / (H * T))),
    )
    const act = trace.fc1Act(layer)
    return sumPerUnit(act.length, F, 1, (i) => act[i] * received[Math.floor(i / F)])
  }),
}

describe('mutants of attention', () => {
  for (const [name, score] of Object.entries(mutants))
    test(`${name}: killed`, async () => {
      await expect(isTheDefinition(await createBackend('reference'), score)).rejects.toThrow('largest error')
    })

  test('weights of twice the scale: killed', async () => {
    const backend = await createBackend('reference')
    const steep: typeof eachAttention = (trace, layer, visit) =>
      eachAttention(trace, layer, (head, t, weights) => {
        const total = weights.reduce((sum, weight) => sum + weight * weight, 0)
        visit(
          head,
          t,
          weights.map((weight) => (weight * weight) / total),
        )
      })
    await kills(givesTheContext, { backend, load: LanguageModel.load, each: steep })
  })
})
