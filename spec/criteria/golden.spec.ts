/**
 * Criteria of the released code: what they say of a sequence is what the golden files say, computed in float64 by
 * another implementation. `spec/parity/check.spec.ts` holds their scores of padded batches to them too.
 *
 * Tests src/criteria/fisher.ts, src/criteria/gradnorm.ts, src/criteria/l2norm.ts, src/criteria/plainact_weight.ts,
 * src/criteria/unit_scores.ts and src/criteria/weight_gradient.ts.
 */
import { describe, expect, test } from 'vitest'
import type { Criterion } from '../../src/criteria/index.ts'
import { fisher } from '../../src/criteria/fisher.ts'
import { gradnorm } from '../../src/criteria/gradnorm.ts'
import { l2norm, l2normPre } from '../../src/criteria/l2norm.ts'
import { plainact, plainactSigned } from '../../src/criteria/plainact.ts'
import { plainactWeight } from '../../src/criteria/plainact_weight.ts'
import { normPerUnit, sumPerUnit } from '../../src/criteria/unit_scores.ts'
import { fc1WeightGradient } from '../../src/criteria/weight_gradient.ts'
import type { Backend } from '../../src/backends/backend.ts'
import { createBackend } from '../../src/backends/select.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { expectNearRelative, get, readCase, tolerance, optVariants } from '../golden/golden.ts'
import { labelsOf, rowsOf, withGolden } from '../golden/model.ts'
import { overQuickBackends } from '../harness/backends.ts'
import { anyData, kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { anyModel, withModel, type Subject } from '../engine/cases.ts'
import { unitKinds, textOf, withPass, withUnits } from './passes.ts'
import { moduleName } from '../../src/verify/model/modules.ts'

type Score = Criterion['score']

/** Golden names of heads and neurons. */
const expected: [Criterion, { heads: string; neurons: string }][] = [
  [plainact, { heads: 'plainact_head', neurons: 'plainact_ffn_act' }],
  [plainactSigned, { heads: 'plainact_head_signed', neurons: 'plainact_ffn_signed' }],
  [plainactWeight, { heads: 'plainact_head', neurons: 'plainact_ffn_weight' }],
  [l2norm, { heads: 'l2_head', neurons: 'l2_ffn_act' }],
  [l2normPre, { heads: 'l2_head', neurons: 'l2_ffn_pre' }],
  [gradnorm, { heads: 'gradnorm_head', neurons: 'gradnorm_ffn' }],
  [fisher, { heads: 'fisher_head', neurons: 'fisher_ffn_pre' }],
]

/** The scores of the golden files' single sequence, of both models. */
async function isGolden(
  backend: Backend,
  score: Score,
  names: { heads: string; neurons: string },
): Promise<void> {
  for (const variant of optVariants)
    await withGolden(variant, backend, (model) => {
      const tensors = readCase(variant, 'single')
      const rows = rowsOf(tensors)
      const row = rows.sequences[0]
      const scores = withPass(model, { tokens: row.tokens, labels: labelsOf(rows, row) }, score)
      for (const kind of unitKinds) {
        const name = `crit.${names[kind]}`
        expectNearRelative(scores[kind], get(tensors, name).values, tolerance.gradient, `${variant} ${name}`)
      }
    })
}

const isTheParameterGradient = lawForAll(
  'the gradient of fc1, layer by layer, is that of a backward pass over parameters, bit for bit',
  { model: anyModel, data: anyData },
  (subject: Subject & { weightGradient: typeof fc1WeightGradient }, { model, data }) =>
    withModel(subject, model, (loaded) => {
      const text = textOf(model, data)
      withPass(
        loaded,
        text,
        (input) => {
          for (let layer = 0; layer < model.layers; layer++) {
            const whole = input.gradients.parameters.get(`${moduleName(loaded.config, layer, 'fc1')}.weight`)
            expect(subject.weightGradient(input, layer)).toEqual(whole)
          }
        },
        { parameters: true },
      )
    }),
  { runs: 40 },
)

overQuickBackends((backend) => {
  for (const [criterion, names] of expected)
    test(`${criterion.name}: the golden scores`, () => isGolden(backend, criterion.score, names))
  stateLaw(isTheParameterGradient, { backend, load: LanguageModel.load, weightGradient: fc1WeightGradient })
})

test('every golden score belongs to a criterion', () => {
  const names = new Set(expected.flatMap(([, { heads, neurons }]) => [`crit.${heads}`, `crit.${neurons}`]))
  const golden = [...readCase('preln', 'single').keys()].filter((name) => name.startsWith('crit.'))
  expect(new Set(golden)).toEqual(names)
})

const mutants: Readonly<Record<string, { readonly criterion: Criterion; readonly score: Score }>> = {
  'plainact-weight with sizes taken before tokens are added': {
    criterion: plainactWeight,
    score: withUnits(plainactWeight, 'neurons', ({ gradients, trace, model }, layer) => {
      const [z, gz] = [trace.fc1Pre(layer), gradients.fc1Pre(layer)]
      return sumPerUnit(z.length, model.shape.neurons, 1, (i) => Math.abs(z[i] * gz[i]))
    }),
  },
  'plainact-weight by activation': { criterion: plainactWeight, score: plainact.score },
  'l2norm before ReLU': { criterion: l2norm, score: l2normPre.score },
  'l2norm-pre after ReLU': { criterion: l2normPre, score: l2norm.score },
  'l2norm of heads across the channels of two': {
    criterion: l2norm,
    score: withUnits(l2norm, 'heads', ({ trace, model }, layer) => {
      const { heads, headSize } = model.config
      const shifted = trace.headOut(layer)
      shifted.copyWithin(1, 0)
      return normPerUnit(shifted, heads, headSize)
    }),
  },
  'gradnorm of neurons by their activation': {
    criterion: gradnorm,
    score: withUnits(gradnorm, 'neurons', ({ gradients, model }, layer) =>
      normPerUnit(gradients.fc1Pre(layer), model.shape.neurons, 1),
    ),
  },
  'gradnorm without the root': {
    criterion: gradnorm,
    score: withUnits(gradnorm, 'heads', (input, layer) =>
      gradnorm
        .score(input)
        .heads.slice(layer * input.model.shape.heads, (layer + 1) * input.model.shape.heads)
        .map((norm) => norm * norm),
    ),
  },
  'fisher squared after the sum over channels': {
    criterion: fisher,
    score: withUnits(fisher, 'heads', ({ trace, gradients, model }, layer) => {
      const { heads, headSize: K } = model.config
      const [a, g] = [trace.headOut(layer), gradients.headOut(layer)]
      const perToken = Float64Array.from({ length: a.length / K }, (_, row) => {
        let sum = 0
        for (let k = row * K; k < (row + 1) * K; k++) sum += a[k] * g[k]
        return sum * sum
      })
      return sumPerUnit(perToken.length, heads, 1, (i) => perToken[i] / trace.length)
    }),
  },
  'fisher added up over tokens': {
    criterion: fisher,
    score: withUnits(fisher, 'neurons', ({ trace, gradients, model }, layer) => {
      const [z, gz] = [trace.fc1Pre(layer), gradients.fc1Pre(layer)]
      return sumPerUnit(z.length, model.shape.neurons, 1, (i) => (z[i] * gz[i]) ** 2)
    }),
  },
}

describe('mutants of the released criteria', () => {
  for (const [name, { criterion, score }] of Object.entries(mutants))
    test(`${name}: killed`, async () => {
      const names = expected.find(([each]) => each === criterion)?.[1]
      if (!names) throw new Error(`${criterion.name}: has no golden scores`)
      const backend = await createBackend('reference')
      await expect(isGolden(backend, score, names)).rejects.toThrow('largest error')
    })

  test('a weight gradient through ReLU left open: killed', async () => {
    const backend = await createBackend('reference')
    const open: typeof fc1WeightGradient = (input, layer) =>
      fc1WeightGradient(
        {
          ...input,
          gradients: Object.create(input.gradients, {
            fc1Pre: { value: () => input.gradients.fc1Act(layer) },
          }),
        },
        layer,
      )
    await kills(isTheParameterGradient, { backend, load: LanguageModel.load, weightGradient: open })
  })
})
