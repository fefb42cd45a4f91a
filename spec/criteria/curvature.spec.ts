/**
 * snip and grasp are derivatives of the loss in the masks: the first and, along the gradient, the second, both found here
 * from losses alone.
 *
 * Tests src/criteria/grasp.ts and src/criteria/snip.ts.
 */
import { describe, expect, test } from 'vitest'
import { createBackend } from '../../src/backends/select.ts'
import { grasp } from '../../src/criteria/grasp.ts'
import type { Criterion } from '../../src/criteria/index.ts'
import { maskGradients, plainact, plainactSigned } from '../../src/criteria/plainact.ts'
import { snip } from '../../src/criteria/snip.ts'
import { makeMask, type UnitMask } from '../../src/masks/mask.ts'
import type { UnitScores } from '../../src/masks/selection.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { overQuickBackends } from '../harness/backends.ts'
import { withoutKinks } from '../../src/verify/model/finite_differences.ts'
import { anyData, kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { roomyModel, withModel, type Subject } from '../engine/cases.ts'
import {
  alone,
  unitKinds,
  lossUnder,
  movedMask,
  sameSides,
  smoothTensors,
  textOf,
  withPass,
  type Text,
  type Unit,
} from './passes.ts'

type Score = Criterion['score']

const largest = ({ heads, neurons }: UnitScores): number =>
  [...heads, ...neurons].reduce((most, value) => Math.max(most, Math.abs(value)), 0)

/** a + b of two directions, with factors. */
function combine(a: UnitMask, byA: number, b: UnitMask, byB: number): UnitMask {
  const table = (kind: 'heads' | 'neurons'): Float32Array =>
    a[kind].map((value, unit) => byA * value + byB * b[kind][unit])
  return makeMask(a.shape, table('heads'), table('neurons'))
}

/**
 * The mixed second derivative of the loss along a direction and one unit's mask; null where a kink of ReLU is near or the
 * loss bends too much to tell.
 */
function mixedSlope(model: LanguageModel, text: Text, direction: UnitMask, unit: Unit): number | null {
  const other = alone(model, unit)
  const mask = (a: number, b: number): UnitMask => movedMask(combine(direction, a, other, b), 1)
  const at = (a: number, b: number): number => lossUnder(model, text, mask(a, b))
  const slope = (step: number): number =>
    (at(step, step) - at(step, -step) - at(-step, step) + at(-step, -step)) / (4 * step * step)
  const signs = [-1, 1]
  const corners = signs.flatMap((a) => signs.map((b) => mask(a * 2 ** -4, b * 2 ** -4)))
  if (!sameSides(model, text, corners)) return null
  const [wide, narrow] = [slope(2 ** -4), slope(2 ** -5)]
  // What is left of the error is of the fourth power of the step.
  const best = (4 * narrow - wide) / 3
  return Math.abs(wide - narrow) < 2e-2 * Math.max(0.1, Math.abs(narrow)) ? best : null
}

/** A criterion's scores, and where they are computed. */
interface Judged extends Subject {
  readonly score: Score
}

/** Of differences of float32 losses over steps of 2^-5. */
const ERROR = 4e-2

const isMinusHessianTimesGradient = lawForAll(
  'grasp = minus the second derivative of the loss along the gradient and the mask',
  { any: roomyModel.map(withoutKinks), data: anyData },
  async (subject: Judged, { any, data }) => {
    // Without a norm before the head logits are so large that softmax is all but a step.
    const model = { ...any, finalNorm: true }
    await withModel(
      subject,
      model,
      (loaded) => {
        const text = textOf(model, data)
        const [gradient, scores] = withPass(loaded, text, (input) => [
          plainactSigned.score(input),
          subject.score(input),
        ])
        const size = largest(gradient)
        if (size < 1e-3) return
        // Along g / max |g|, so that both differences move masks alike; the score is that times max |g|.
        const direction = makeMask(
          gradient.shape,
          gradient.heads.map((value) => value / size),
          gradient.neurons.map((value) => value / size),
        )
        for (let n = 0; n < 4; n++) {
          const kind = data.oneOf('kind', unitKinds)
          const unit = { kind, index: data.whole('index', 0, scores[kind].length - 1) }
          const slope = mixedSlope(loaded, text, direction, unit)
          if (slope === null) continue
          const error = Math.abs(scores[kind][unit.index] / size + slope)
          expect(error, `${kind} ${unit.index}`).toBeLessThan(ERROR * Math.max(0.1, Math.abs(slope)))
        }
      },
      smoothTensors(model),
    )
  },
  { runs: 30 },
)

/** |dL/dm|, bit for bit the size of the mask's gradient. */
const isTheSizeOfTheSlope = lawForAll(
  'snip = the size of the gradient of each mask',
  { model: roomyModel, data: anyData },
  async (subject: Judged, { model, data }) => {
    await withModel(subject, model, (loaded) => {
      withPass(loaded, textOf(model, data), (input) => {
        const scores = subject.score(input)
        const gradient = maskGradients(input)
        for (const kind of unitKinds) expect(scores[kind]).toEqual(gradient[kind].map(Math.abs))
      })
    })
  },
  { runs: 30 },
)

overQuickBackends((backend) => {
  const subject: Subject = { backend, load: LanguageModel.load }
  stateLaw(isTheSizeOfTheSlope, { ...subject, score: snip.score })
  stateLaw(isMinusHessianTimesGradient, { ...subject, score: grasp.score })
})

/** grasp with something done to it. */
const changed =
  (change: (score: number, gradient: number) => number): Score =>
  (input) => {
    const [scores, gradient] = [grasp.score(input), plainactSigned.score(input)]
    const table = (kind: 'heads' | 'neurons'): Float32Array =>
      scores[kind].map((value, unit) => change(value, gradient[kind][unit]))
    return { shape: scores.shape, heads: table('heads'), neurons: table('neurons') }
  }

describe('mutants of snip and grasp', () => {
  test.each([
    ['snip token by token', isTheSizeOfTheSlope, plainact.score],
    ['snip with its sign', isTheSizeOfTheSlope, plainactSigned.score],
    ['grasp turned round', isMinusHessianTimesGradient, changed((score) => -score)],
    [
      'grasp with first-order terms mixed in',
      isMinusHessianTimesGradient,
      changed((score, slope) => score - slope),
    ],
    ['grasp of half the step', isMinusHessianTimesGradient, changed((score) => score / 2)],
  ] as const)('%s: killed', async (_, law, score) => {
    const backend = await createBackend('reference')
    await kills(law, { backend, load: LanguageModel.load, score })
  })
})
