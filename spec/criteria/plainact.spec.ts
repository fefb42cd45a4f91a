/**
 * Law 7: plainact is a derivative.
 *
 * The signed form is dL/dm of each unit's mask m at m = 1 (or where the mask of the pass has it), found here by changing
 * one mask at a time; where a single
 * token contributes, the unsigned form is its size; it never is smaller than the signed one; and both are the golden
 * values. `score` is a parameter of each law, so that mutants can be held to it.
 */
import { describe, expect, test } from 'vitest'
import type { Criterion } from '../../src/criteria/index.ts'
import { addSensitivity, plainact, plainactSigned } from '../../src/criteria/plainact.ts'
import { denseMask, type UnitMask } from '../../src/masks/mask.ts'
import type { UnitScores } from '../../src/masks/selection.ts'
import type { Gradients } from '../../src/model/opt/backward.ts'
import { countScored } from '../../src/model/opt/loss.ts'
import { OptModel } from '../../src/model/opt/opt_model.ts'
import type { Trace } from '../../src/model/opt/trace.ts'
import { casesOf, expectNearRelative, get, readCase, tolerance, variants } from '../golden/golden.ts'
import { labelsOf, rowsOf, withGolden } from '../golden/model.ts'
import { overQuickBackends } from '../harness/backends.ts'
import { Data } from '../harness/data.ts'
import { checkLaw } from '../harness/seed.ts'
import { createBackend } from '../../src/backends/select.ts'
import { roomyModel, withModel, type ModelCase, type Subject } from '../model/cases.ts'
import {
  alone,
  kinds,
  lossUnder,
  movedMask,
  someMask,
  textOf,
  withPass,
  type Text,
  type Unit,
} from './passes.ts'

type Score = Criterion['score']

/**
 * Central difference of the loss in a unit's mask, others held at `mask`, or null where a kink of ReLU is near. With step
 * s the slopes ahead and behind differ by (curvature) s + (what a kink right there turns); a kink elsewhere makes the two
 * steps disagree.
 */
function slopeAt(model: OptModel, text: Text, unit: Unit, mask: UnitMask): number | null {
  const direction = alone(model, unit)
  const loss = (by: number): number => lossUnder(model, text, movedMask(direction, by, mask))
  const middle = loss(0)
  const slopes = (step: number): { central: number; turn: number } => {
    const [behind, ahead] = [(middle - loss(-step)) / step, (loss(step) - middle) / step]
    return { central: (ahead + behind) / 2, turn: ahead - behind }
  }
  const [wide, narrow] = [slopes(2 ** -5), slopes(2 ** -6)]
  const bound = 2e-3 * Math.max(1, Math.abs(narrow.central))
  const smooth =
    Math.abs(wide.central - narrow.central) < bound && Math.abs(2 * narrow.turn - wide.turn) < bound
  return smooth ? narrow.central : null
}

/** Of a difference of float32 losses, and of two kinks whose turns cancel. */
const SLOPE_ERROR = 2e-2

/** dL/dm, unit by unit: at a mask of ones, or at one that skips units, those that are skipped included. */
async function isTheSlope(
  subject: Subject,
  model: ModelCase,
  score: Score,
  isPruned: boolean,
): Promise<void> {
  await withModel(subject, model, (loaded) => {
    const data = new Data(model.seed)
    const text = textOf(model, data)
    const mask = isPruned ? someMask(loaded, data) : denseMask(loaded.shape)
    const scores = withPass(loaded, text, score, isPruned ? { mask } : {})
    for (let n = 0; n < 6; n++) {
      const kind = data.pick(kinds)
      const unit = { kind, index: data.integer(0, scores[kind].length - 1) }
      const slope = slopeAt(loaded, text, unit, mask)
      if (slope === null) continue
      const error = Math.abs(scores[kind][unit.index] - slope)
      expect(error, `${kind} ${unit.index}`).toBeLessThan(SLOPE_ERROR * Math.max(1, Math.abs(slope)))
    }
  })
}

/** With one contributing token the score is the size of the slope; with more, at least that. */
async function isItsSize(subject: Subject, model: ModelCase, score: Score): Promise<void> {
  await withModel(subject, model, (loaded) => {
    const data = new Data(model.seed)
    const long = textOf(model, data)
    // Of two tokens the second is scored by the first; nothing the second computes matters.
    const short = { tokens: long.tokens.slice(0, 2), labels: Int32Array.of(-100, long.tokens[1]) }
    const exact = withPass(loaded, short, plainactSigned.score)
    const sizes = withPass(loaded, short, score)
    for (const kind of kinds) expect(sizes[kind]).toEqual(exact[kind].map(Math.abs))
    const signed = withPass(loaded, long, plainactSigned.score)
    const unsigned = withPass(loaded, long, score)
    for (const kind of kinds)
      unsigned[kind].forEach((size, unit) =>
        expect(size * (1 + 1e-5)).toBeGreaterThanOrEqual(Math.abs(signed[kind][unit])),
      )
  })
}

overQuickBackends((backend) => {
  const subject: Subject = { backend, load: OptModel.load }

  test('plainact-signed = the derivative of the loss with respect to each mask', () =>
    checkLaw(
      'criteria plainact-signed is the slope',
      [roomyModel],
      (model) => isTheSlope(subject, model, plainactSigned.score, false),
      { runs: 40 },
    ))

  test('in a pruned model it is the derivative at its mask, for units that are skipped too', () =>
    checkLaw(
      'criteria plainact-signed is the slope at a mask',
      [roomyModel],
      (model) => isTheSlope(subject, model, plainactSigned.score, true),
      { runs: 40 },
    ))

  test('plainact = its size where one token contributes, and at least that otherwise', () =>
    checkLaw(
      'criteria plainact is the size of the slope',
      [roomyModel],
      (model) => isItsSize(subject, model, plainact.score),
      { runs: 40 },
    ))

  test('signed scores are the gradients of the masks, bit for bit', () =>
    checkLaw('criteria plainact-signed is the mask gradient', [roomyModel], (model) =>
      withModel(subject, model, (loaded) => {
        const text = textOf(model, new Data(model.seed))
        withPass(loaded, text, (input) => {
          const scores = plainactSigned.score(input)
          const { gradients } = input
          const layers = Array.from({ length: model.layers }, (_, layer) => layer)
          expect([...scores.heads]).toEqual(layers.flatMap((layer) => [...gradients.headMask(layer)]))
          expect([...scores.neurons]).toEqual(layers.flatMap((layer) => [...gradients.neuronMask(layer)]))
        })
      }),
    ))

  for (const variant of variants)
    for (const name of casesOf[variant])
      test(`${variant} ${name}: the golden scores`, () =>
        withGolden(variant, backend, (model) => {
          const tensors = readCase(variant, name)
          const rows = rowsOf(tensors)
          const scored = rows.sequences.reduce((sum, row) => sum + countScored(labelsOf(rows, row)), 0)
          for (const [criterion, suffix] of [
            [plainact, ''],
            [plainactSigned, '_signed'],
          ] as const) {
            const perRow = rows.sequences.map((row) =>
              withPass(model, { tokens: row.tokens, labels: labelsOf(rows, row) }, criterion.score, {
                scored,
              }),
            )
            const sum = (kind: (typeof kinds)[number]): Float64Array =>
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
      addSensitivity(part(scores.heads, shape.heads), ...rows.heads, shape.heads, rows.size, rows.signed)
      addSensitivity(part(neurons, shape.neurons), ...rows.neurons, shape.neurons, 1, rows.signed)
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

const isTheDenseSlope = (subject: Subject, model: ModelCase, score: Score): Promise<void> =>
  isTheSlope(subject, model, score, false)

const mutants: [string, typeof isItsSize, Score][] = [
  ['no absolute value', isItsSize, wrongPlainact(() => ({ signed: true }))],
  ['an absolute value too many', isTheDenseSlope, plainact.score],
  [
    'gradients before the mask, which know nothing of skipped units',
    (subject, model, score) => isTheSlope(subject, model, score, true),
    wrongPlainact(() => ({ signed: true })),
  ],
  [
    'activations of one layer, gradients of the next',
    isTheDenseSlope,
    wrongPlainact((trace, gradients, layer) => ({
      heads: [trace.headOut(layer), gradients.headOut(nextLayer(trace, layer))],
      signed: true,
    })),
  ],
  [
    'neurons before ReLU',
    isTheDenseSlope,
    wrongPlainact((trace, gradients, layer) => ({
      neurons: [trace.fc1Pre(layer), gradients.fc1Act(layer)],
      signed: true,
    })),
  ],
  [
    'the size of the activation instead of its effect',
    isTheDenseSlope,
    wrongPlainact((trace, _, layer) => ({
      heads: [trace.headOut(layer), trace.headOut(layer)],
      signed: true,
    })),
  ],
]

describe('mutants of plainact', () => {
  for (const [name, holds, score] of mutants)
    test(`${name}: killed`, async () => {
      const backend = await createBackend('reference')
      const broken = checkLaw(
        `mutant: ${name}`,
        [roomyModel],
        (model) => holds({ backend, load: OptModel.load }, model, score),
        { record: false },
      )
      await expect(broken).rejects.toThrow('Property failed')
    })
})
