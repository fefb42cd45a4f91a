/**
 * Law 7: plainact is a derivative. The laws stand in src/verify/criteria/plainact_laws.ts; here they are stated, together
 * with the golden values, and bugs are planted that they must find.
 *
 * Tests src/verify/criteria/plainact_laws.ts.
 */
import { describe, test } from 'vitest'
import type { Criterion } from '../../src/criteria/index.ts'
import { plainact, plainactSigned, sensitivity } from '../../src/criteria/plainact.ts'
import type { UnitScores } from '../../src/masks/selection.ts'
import type { Gradients } from '../../src/engine/backward.ts'
import { ReferenceBackend } from '../../src/backends/reference.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import type { Trace } from '../../src/engine/trace.ts'
import { plainactLaws } from '../../src/verify/criteria/plainact_laws.ts'
import { casesOf, expectNearRelative, get, readCase, tolerance, optVariants } from '../golden/golden.ts'
import { labelsOf, rowsOf, scoredIn, withGolden } from '../golden/model.ts'
import { overQuickBackends } from '../harness/backends.ts'
import { killsByLaw, type Law, lawOf, stateLaw } from '../harness/seed.ts'
import { withPass, type UnitKind } from './passes.ts'

type Score = Criterion['score']

overQuickBackends((backend) => {
  for (const { law, criterion } of Object.values(plainactLaws))
    stateLaw(law, { backend, load: LanguageModel.load, score: criterion.score })

  for (const variant of optVariants)
    for (const name of casesOf[variant])
      test(`${variant} ${name}: the golden scores`, () =>
        withGolden(variant, backend, (model) => {
          const tensors = readCase(variant, name)
          const rows = rowsOf(tensors)
          const scored = scoredIn(rows)
          for (const [criterion, suffix] of [
            [plainact, ''],
            [plainactSigned, '_signed'],
          ] as const) {
            const perRow = rows.sequences.map((row) =>
              withPass(model, { tokens: row.tokens, labels: labelsOf(rows, row) }, criterion.score, {
                scored,
              }),
            )
            const sum = (kind: UnitKind): Float64Array =>
              Float64Array.from(perRow[0][kind], (_, unit) =>
                perRow.reduce((total, row) => total + row[kind][unit], 0),
              )
            const neuronName = suffix === '' ? 'crit.plainact_ffn_act' : 'crit.plainact_ffn_signed'
            for (const [kind, golden] of [
              ['heads', `crit.plainact_head${suffix}`],
              ['neurons', neuronName],
            ] as const)
              expectNearRelative(sum(kind), get(tensors, golden).values, tolerance.gradient, golden)
          }
        }))
})

/** plainact with one thing changed in each layer. */
function wrongPlainact(change: (trace: Trace, gradients: Gradients, layer: number) => Partial<Rows>): Score {
  return ({ trace, gradients }): UnitScores => {
    const { shape, config } = trace.model
    const scores = {
      shape,
      heads: new Float32Array(shape.layers * shape.heads),
      neurons: new Float32Array(0),
    }
    const neurons = new Float32Array(shape.layers * shape.neurons)
    for (let layer = 0; layer < shape.layers; layer++) {
      const rows: Rows = {
        heads: [trace.headOut(layer), gradients.headOut(layer)],
        neurons: [trace.fc1Act(layer), gradients.fc1Act(layer)],
        size: config.headSize,
        signed: false,
        ...change(trace, gradients, layer),
      }
      const part = (table: Float32Array, units: number): Float32Array =>
        table.subarray(layer * units, (layer + 1) * units)
      part(scores.heads, shape.heads).set(sensitivity(...rows.heads, shape.heads, rows.size, rows.signed))
      part(neurons, shape.neurons).set(sensitivity(...rows.neurons, shape.neurons, 1, rows.signed))
    }
    return { ...scores, neurons }
  }
}

interface Rows {
  heads: [Float32Array, Float32Array]
  neurons: [Float32Array, Float32Array]
  size: number
  signed: boolean
}

const nextLayer = (trace: Trace, layer: number): number => (layer + 1) % trace.model.shape.layers

/** Mutants by the law that they break. */
const mutants: Readonly<Record<keyof typeof plainactLaws, Readonly<Record<string, Score>>>> = {
  size: {
    'no absolute value': wrongPlainact(() => ({ signed: true })),
  },
  slope: {
    'an absolute value too many': plainact.score,
    'gradients before the mask, which know nothing of skipped units': wrongPlainact(() => ({ signed: true })),
    'activations of one layer, gradients of the next': wrongPlainact((trace, gradients, layer) => ({
      heads: [trace.headOut(layer), gradients.headOut(nextLayer(trace, layer))],
      signed: true,
    })),
    'neurons before ReLU': wrongPlainact((trace, gradients, layer) => ({
      neurons: [trace.fc1Pre(layer), gradients.fc1Act(layer)],
      signed: true,
    })),
    'the size of the activation instead of its effect': wrongPlainact((trace, _, layer) => ({
      heads: [trace.headOut(layer), trace.headOut(layer)],
      signed: true,
    })),
  },
}

describe('mutants of plainact', () => {
  const ofScores = ({ law }: (typeof plainactLaws)[keyof typeof plainactLaws]): Law<Score> =>
    lawOf(law, (score) => ({ backend: new ReferenceBackend(), load: LanguageModel.load, score }))
  killsByLaw({ size: ofScores(plainactLaws.size), slope: ofScores(plainactLaws.slope) }, mutants)
})
