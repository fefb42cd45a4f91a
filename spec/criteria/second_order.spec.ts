/**
 * second-order is a curvature: its mean over all labels the model could draw, taken one by one over a tiny vocabulary, is
 * half the second derivative of the KL divergence in each mask, found from logits alone; labels are drawn from the
 * model's distribution; and the mean of its estimates tends to that mean.
 */
import { describe, expect, test } from 'vitest'
import type { Backend } from '../../src/backends/backend.ts'
import { createBackend } from '../../src/backends/select.ts'
import type { Criterion, CriterionInput } from '../../src/criteria/index.ts'
import { addCurvature, drawLabels, secondOrder } from '../../src/criteria/second_order.ts'
import type { UnitScores } from '../../src/masks/selection.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { Random } from '../../src/tensor/random.ts'
import { overQuickBackends } from '../harness/backends.ts'
import { Data } from '../../src/testing/seeded_data.ts'
import { anyData, kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { roomyModel, smallCase, withModel, type ModelCase, type Subject } from '../engine/cases.ts'
import {
  alone,
  unitKinds,
  movedMask,
  sameSides,
  smoothTensors,
  withPass,
  type Text,
  type Unit,
} from './passes.ts'

/** Each row of logits as probabilities, in float64: [T][V]. */
function probabilities(logits: Float32Array, V: number): number[][] {
  return Array.from({ length: logits.length / V }, (_, t) => {
    const row = Array.from(logits.subarray(t * V, (t + 1) * V))
    const most = Math.max(...row)
    const weights = row.map((value) => Math.exp(value - most))
    const total = weights.reduce((a, b) => a + b, 0)
    return weights.map((weight) => weight / total)
  })
}

/** A tiny text over three words; the last two of its tokens are scored. */
function tinyText(model: ModelCase): Text {
  const tokens = new Data(model.seed).ids('tokens', Math.max(3, Math.min(4, model.positions)), 3)
  const labels = tokens.slice().fill(-100, 0, tokens.length - 2)
  return { tokens, labels }
}

const tiny = (model: ModelCase): ModelCase => ({
  ...model,
  vocabulary: 3,
  positions: Math.max(4, model.positions),
})

const noScores = ({ shape }: LanguageModel): UnitScores => ({
  shape,
  heads: new Float32Array(shape.layers * shape.heads),
  neurons: new Float32Array(shape.layers * shape.neurons),
})

/** The mean of the estimate over every pair of labels the two scored positions could get. */
function meanOverLabels(input: CriterionInput, estimate: typeof addCurvature): UnitScores {
  const T = input.tokens.length
  const p = probabilities(input.trace.logits(), 3)
  const sums = noScores(input.model)
  for (let first = 0; first < 3; first++)
    for (let second = 0; second < 3; second++) {
      const labels = input.labels.slice()
      labels.set([first, second], T - 2)
      estimate(sums, input, labels, p[T - 3][first] * p[T - 2][second])
    }
  return sums
}

/** The mean KL divergence of the scored positions from the dense model to one with a mask moved. */
function divergence(model: LanguageModel, text: Text, unit: Unit, by: number): number {
  const V = model.config.vocabulary
  const logits = (mask?: ReturnType<typeof movedMask>): number[][] =>
    withPass(model, text, ({ trace }) => probabilities(trace.logits(), V), { mask })
  const [dense, moved] = [logits(), logits(movedMask(alone(model, unit), by))]
  let total = 0
  const scored = [...text.labels.keys()].filter((t) => t > 0 && text.labels[t] !== -100)
  for (const t of scored) dense[t - 1].forEach((p, word) => (total += p * Math.log(p / moved[t - 1][word])))
  return total / scored.length
}

/** KL / d², which tends to half its second derivative; null where a kink of ReLU is near. */
function halfCurvature(model: LanguageModel, text: Text, unit: Unit): number | null {
  const direction = alone(model, unit)
  if (!sameSides(model, text, [movedMask(direction, 2 ** -5), movedMask(direction, -(2 ** -5))])) return null
  const at = (step: number): number =>
    (divergence(model, text, unit, step) + divergence(model, text, unit, -step)) / (2 * step * step)
  const [wide, narrow] = [at(2 ** -5), at(2 ** -6)]
  return Math.abs(wide - narrow) < 1e-2 * Math.max(1e-3, narrow) ? narrow : null
}

const isTheCurvature = lawForAll(
  'the mean over all labels = half the second derivative of the KL divergence',
  { model: roomyModel, data: anyData },
  async (subject: Subject & { estimate: typeof addCurvature }, { model, data }) => {
    const small = tiny(model)
    await withModel(
      subject,
      small,
      (loaded) => {
        const text = tinyText(small)
        const scores = withPass(loaded, text, (input) => meanOverLabels(input, subject.estimate))
        for (let n = 0; n < 4; n++) {
          const kind = data.oneOf('kind', unitKinds)
          const unit = { kind, index: data.whole('index', 0, scores[kind].length - 1) }
          const expected = halfCurvature(loaded, text, unit)
          if (expected === null) continue
          const error = Math.abs(scores[kind][unit.index] - expected)
          expect(error, `${kind} ${unit.index}`).toBeLessThan(4e-2 * Math.max(2e-3, expected))
        }
      },
      smoothTensors(small),
    )
  },
  { runs: 30 },
)

/** A model of the tests that need many draws. */
const fixed: ModelCase = {
  ...smallCase,
  headSize: 4,
  neurons: 5,
  vocabulary: 3,
  positions: 6,
  tied: false,
  seed: 11,
}

/** The mean of a thousand estimates is the mean over all labels, within five deviations of it. */
async function tendsToTheMean(backend: Backend, score: Criterion['score']): Promise<void> {
  const runs = 1000
  await withModel({ backend, load: LanguageModel.load }, fixed, (loaded) =>
    withPass(loaded, tinyText(fixed), (input) => {
      const exact = meanOverLabels(input, addCurvature)
      const draws = Array.from({ length: runs }, (_, seed) => score({ ...input, seed }))
      for (const kind of unitKinds)
        exact[kind].forEach((expected, unit) => {
          const values = draws.map((draw) => draw[kind][unit])
          const mean = values.reduce((a, b) => a + b, 0) / runs
          const variance = values.reduce((total, value) => total + (value - mean) ** 2, 0) / (runs - 1)
          const allowed = 5 * Math.sqrt(variance / runs) + 1e-6
          expect(Math.abs(mean - expected), `${kind} ${unit}`).toBeLessThan(allowed)
        })
    }),
  )
}

/** Labels are drawn as often as the model says they come; what is not scored is not drawn. */
function drawsFromTheModel(draw: typeof drawLabels): void {
  const [T, V, runs] = [4, 5, 4000]
  const logits = new Data(3).floats('logits', [T, V])
  const labels = Int32Array.of(1, 1, -100, 1)
  const p = probabilities(logits, V)
  const random = new Random(9)
  const counts = Array.from({ length: T }, () => new Array<number>(V).fill(0))
  for (let run = 0; run < runs; run++) {
    const drawn = draw(logits, labels, random)
    expect([drawn[0], drawn[2]]).toEqual([-100, -100])
    for (const t of [1, 3]) counts[t][drawn[t]]++
  }
  for (const t of [1, 3])
    p[t - 1].forEach((share, word) => {
      const allowed = 4.5 * Math.sqrt(runs * share * (1 - share))
      expect(Math.abs(counts[t][word] - runs * share), `${t} ${word}`).toBeLessThan(allowed)
    })
}

overQuickBackends((backend) => {
  stateLaw(isTheCurvature, { backend, load: LanguageModel.load, estimate: addCurvature })

  test('estimates tend to the mean over all labels', () => tendsToTheMean(backend, secondOrder.score))
})

test('labels are drawn from the model', () => drawsFromTheModel(drawLabels))

test('a token of probability 0 is never drawn', () => {
  const random = new Random(1)
  const logits = Float32Array.of(-Infinity, 0, 0, -Infinity, 0, 0)
  for (let run = 0; run < 200; run++)
    expect([1, 2]).toContain(drawLabels(logits, Int32Array.of(0, 0), random)[1])
})

describe('mutants of second-order', () => {
  test.each(
    Object.entries<typeof addCurvature>({
      'the square of the mean, not of the sum': (sums, input, labels, share) =>
        addCurvature(sums, input, labels, share / 2),
      'one label for all positions': (sums, input, labels, share) => {
        const wrong = labels.map((label) => (label === -100 ? -100 : labels[labels.length - 1]))
        addCurvature(sums, input, wrong, share)
      },
      'the labels of the text': (sums, input, labels, share) => {
        const wrong = labels.map((label, t) => (label === -100 ? -100 : input.trace.tokens[t]))
        addCurvature(sums, input, wrong, share)
      },
    }),
  )('%s: killed', async (_, estimate) => {
    const backend = await createBackend('reference')
    await kills(isTheCurvature, { backend, load: LanguageModel.load, estimate })
  })

  test.each(
    Object.entries<typeof drawLabels>({
      'labels drawn from a row too late': (logits, labels, random) => {
        const V = logits.length / labels.length
        const late = new Float32Array(logits.length)
        late.set(logits.subarray(V))
        return drawLabels(late, labels, random)
      },
      'labels drawn evenly': (logits, labels, random) =>
        drawLabels(
          logits.map(() => 0),
          labels,
          random,
        ),
      'unscored positions drawn': (logits, labels, random) =>
        drawLabels(
          logits,
          labels.map(() => 1),
          random,
        ),
    }),
  )('%s: killed', (_, draw) => expect(() => drawsFromTheModel(draw)).toThrow('expected'))

  test('estimates of the text’s own labels: killed', async () => {
    const own: Criterion['score'] = (input) => {
      const sums = noScores(input.model)
      addCurvature(sums, input, input.labels, 1)
      return sums
    }
    await expect(tendsToTheMean(await createBackend('reference'), own)).rejects.toThrow('expected')
  })
})
