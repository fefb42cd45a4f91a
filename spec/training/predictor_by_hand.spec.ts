/**
 * The training of a predictor from examples and its verdict equal a computation by hand: rows, targets, labels, weights of
 * labels, moments, networks, progress, held-out losses, masks and their qualities.
 *
 * Tests src/predictor/predict.ts, src/training/judge_predictor.ts and src/training/train_predictor.ts.
 */
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import type { Backend } from '../../src/backends/backend.ts'
import { createBackend } from '../../src/backends/select.ts'
import { scopes, type Scope } from '../../src/masks/budget.ts'
import { referenceTopK, type TopK, type UnitScores } from '../../src/masks/selection.ts'
import type { PredictorConfig, PredictorKind } from '../../src/predictor/predictor_config.ts'
import type { CalibrationExample } from '../../src/predictor/example.ts'
import { featureScalings, targetScalings } from '../../src/predictor/features.ts'
import { makePredictorConfig, type PredictorChoices } from '../../src/predictor/make_predictor_config.ts'
import type { ScoreQuality } from '../../src/predictor/metrics.ts'
import type { Network } from '../../src/predictor/network.ts'
import { predictScores } from '../../src/predictor/predict.ts'
import type { Predictor } from '../../src/predictor/predictor_file.ts'
import { Random } from '../../src/tensor/random.ts'
import { judgePredictor } from '../../src/training/judge_predictor.ts'
import type { NetworkTrainer } from '../../src/training/network_trainer.ts'
import { trainPredictor, type TrainingProgress } from '../../src/training/train_predictor.ts'
import { sameBits } from '../../src/verify/compare.ts'
import { killsEach, law, lawForAll, lawOf, runSeed, stateLaw } from '../harness/seed.ts'
import { constantByHand, judgeByHand, networksByHand, rawByHand, targetsByHand } from './predictor_by_hand.ts'
import { engineLearner, plainLearner, trainByHand } from './training_by_hand.ts'

interface Case {
  readonly config: PredictorConfig
  readonly examples: readonly CalibrationExample[]
  readonly unseen: readonly CalibrationExample[]
}

const someShares = fc.constantFrom([0.5], [0.5, 0.25], [0.3, 0.2, 0.1])
const someFeatures = { features: fc.constantFrom(...featureScalings) }
const someChoices: Record<PredictorKind, fc.Arbitrary<PredictorChoices>> = {
  shadow: fc.oneof(
    fc.record({
      ...someFeatures,
      targets: fc.constantFrom(...targetScalings),
      sourceLayer: fc.nat(2),
      pooling: fc.constantFrom('last', 'mean'),
    }),
    fc.record({ ...someFeatures, loss: fc.constant('bce'), top: someShares }),
    fc.record({ ...someFeatures, pooling: fc.constant('attention') }),
  ),
  'dejavu-style': fc.record({ ...someFeatures, targets: fc.constantFrom(...targetScalings) }),
  dejavu: fc.record({ ...someFeatures, top: someShares }),
}

/** Models of one to four layers; scores with ties and with negative values. */
const someCase: fc.Arbitrary<Case> = fc
  .constantFrom<PredictorKind>('shadow', 'shadow', 'dejavu-style', 'dejavu')
  .chain((kind) => fc.tuple(fc.constant(kind), someChoices[kind]))
  .chain(([kind, choices]) =>
    fc.record({
      kind: fc.constant(kind),
      choices: fc.constant(choices),
      shape: fc.record({
        layers: fc.integer({ min: 1, max: 4 }),
        heads: fc.integer({ min: 1, max: 4 }),
        neurons: fc.integer({ min: 1, max: 9 }),
      }),
      width: fc.integer({ min: 1, max: 5 }),
      headHidden: fc.integer({ min: 1, max: 4 }),
      neuronHidden: fc.integer({ min: 1, max: 4 }),
      count: fc.integer({ min: 2, max: 7 }),
      unseen: fc.integer({ min: 1, max: 3 }),
      seed: fc.nat(),
    }),
  )
  .map(({ kind, choices, shape, width, headHidden, neuronHidden, count, unseen, seed }) => {
    const random = new Random(seed)
    const { sourceLayer } = choices
    const subject = { shape, width, criterion: 'plainact', seed, examples: count, dataHash: null }
    const own = sourceLayer === undefined ? {} : { sourceLayer: Math.min(sourceLayer, shape.layers - 1) }
    const config = makePredictorConfig(kind, subject, { headHidden, neuronHidden, ...choices, ...own })
    const examples = Array.from({ length: count + unseen }, (_, index) => someExample(config, index, random))
    return { config, examples: examples.slice(0, count), unseen: examples.slice(count) }
  })

function someExample({ shape, width }: PredictorConfig, index: number, random: Random): CalibrationExample {
  const table = (length: number): Float32Array => Float32Array.from({ length }, () => random.normal())
  const scores = (units: number): Float32Array =>
    Float32Array.from({ length: shape.layers * units }, () =>
      random.below(2) === 0 ? random.below(5) - 2 : random.normal(),
    )
  const known = (): UnitScores => ({ shape, heads: scores(shape.heads), neurons: scores(shape.neurons) })
  return {
    index,
    features: {
      last: table(shape.layers * width),
      mean: table(shape.layers * width),
      stream: table(shape.layers * width),
      sequence: table((1 + random.below(4)) * width),
    },
    scores: new Map([
      ['fisher', known()],
      ['plainact', known()],
    ]),
    loss: 1,
  }
}

const options = { epochs: 2, batch: 2, rate: 0.05, decay: 0.01, heldOut: 0.3, patience: 5 } as const

/** The networks of a predictor, in the order of their training. */
function networksOf(predictor: Predictor): Network[] {
  const { heads, neurons } = predictor.networks
  return [heads, neurons].flat() as Network[]
}

async function isTrainedByHand(backend: Backend, { config, examples }: Case): Promise<void> {
  const progress: TrainingProgress[] = []
  const onEpoch = (one: TrainingProgress): void => void progress.push(one)
  const { predictor, heldOut } = await trainPredictor(backend, config, examples, { ...options, onEpoch })
  const trainers: NetworkTrainer[] = []
  const expected = networksByHand(config, examples)
  const trained = expected.map(({ shape, set, loss }) => {
    const makeLearner = shape.pools ? engineLearner(backend, trainers) : plainLearner
    return trainByHand(shape, set, config.seed, { ...options, loss }, makeLearner)
  })
  const networks = networksOf(predictor)
  expect(networks.length).toBe(expected.length)
  trained.forEach(({ values }, i) => {
    const found = networks[i].read()
    for (const [name, table] of Object.entries(values))
      sameBits(`network ${i} ${name}`, found[name as keyof typeof found] ?? [], table)
  })
  expect(progress).toEqual(
    trained.flatMap(({ reports }, network) => {
      const { kind, layer } = expected[network]
      return reports.map((report) => ({ ...report, kind, layer, network, networks: expected.length }))
    }),
  )
  for (const kind of ['heads', 'neurons'] as const) {
    const own = trained.filter((_, i) => expected[i].kind === kind)
    const mean = own.reduce((total, one) => total + one.heldOut / own.length, 0)
    expect(heldOut[kind]).toBe(mean)
  }
  const moments = expected.flatMap(({ kind, moments }) => (kind === 'heads' && moments ? [moments] : []))
  const kept = predictor.moments
  if (config.features === 'dataset') expect([kept].flat()).toEqual(moments)
  else expect(kept).toBeNull()
  for (const one of [predictor, ...trainers]) one.dispose()
  expect(backend.liveBuffers).toBe(0)
}

type Judge = typeof judgePredictor

/** Budgets whose counts are exact integers or halves. */
const someSparsities = fc.uniqueArray(fc.constantFrom(0, 0.25, 0.5, 0.75, 1), { maxLength: 3 })

/** Sums of float64 in another order agree to about 1e-15, and no quality is above 1. */
function isNear(found: Record<string, ScoreQuality>, expected: Record<string, ScoreQuality>): void {
  const near = (value: number): unknown => expect.closeTo(value, 9)
  for (const [kind, { spearman, spearmanWithin, at }] of Object.entries(expected))
    expect(found[kind]).toEqual({
      spearman: near(spearman),
      spearmanWithin: near(spearmanWithin),
      at: at.map((one) => ({
        recall: near(one.recall),
        precision: near(one.precision),
        jaccard: near(one.jaccard),
        scoreKept: near(one.scoreKept),
      })),
    })
}

/** Only the qualities are compared; the inputs that a verdict repeats would reveal every mutant. */
async function isJudgedByHand(
  backend: Backend,
  judge: Judge,
  { config, examples, unseen }: Case,
  sparsities: readonly number[],
  scope: Scope,
): Promise<void> {
  const { predictor } = await trainPredictor(backend, config, examples, { ...options, epochs: 1 })
  try {
    const { qualities } = judge(predictor, examples, unseen, { sparsities, scope })
    const meanTarget = constantByHand(config, examples, (one, kind) => targetsByHand(config, one, kind))
    const meanScore = constantByHand(config, examples, (one, kind) => rawByHand(config, one, kind))
    const expected = (says: (one: CalibrationExample) => UnitScores): Record<string, ScoreQuality> => {
      const pairs = unseen.map((one) => [says(one), one.scores.get('plainact') as UnitScores] as const)
      return judgeByHand(config, pairs, sparsities, scope)
    }
    isNear(
      qualities.predictor,
      expected(({ features }) => predictScores(predictor, features)),
    )
    isNear(
      qualities['mean-target'],
      expected(() => meanTarget),
    )
    isNear(
      qualities['mean-score'],
      expected(() => meanScore),
    )
  } finally {
    predictor.dispose()
  }
}

const isJudged = lawForAll(
  'has the qualities of masks chosen by hand, in every scope',
  { given: someCase, sparsities: someSparsities, scope: fc.constantFrom<Scope>(...scopes) },
  ({ backend, judge }: { backend: Backend; judge: Judge }, { given, sparsities, scope }) =>
    isJudgedByHand(backend, judge, given, sparsities, scope),
  { runs: 60 },
)

describe.each(['reference', 'wasm'] as const)('a predictor trained on %s', async (name) => {
  const backend = await createBackend(name)
  afterAll(() => backend.dispose())

  law(
    'has the networks trained by hand on the inputs of its kind, bit for bit',
    { given: someCase },
    ({ given }) => isTrainedByHand(backend, given),
    { runs: name === 'reference' ? 60 : 20 },
  )
})

describe('a comparison with constants', async () => {
  const backend = await createBackend('wasm')
  afterAll(() => backend.dispose())

  stateLaw(isJudged, { backend, judge: judgePredictor })

  test('states its inputs, and uses the given top_k', async () => {
    const several = someCase.filter(({ config }) => config.shape.layers > 3)
    const [{ config, examples, unseen }] = fc.sample(several, { seed: runSeed(), numRuns: 1 })
    const { predictor } = await trainPredictor(backend, config, examples, { ...options, epochs: 0 })
    let asked = 0
    const topK: TopK = (scores, count) => {
      asked++
      return referenceTopK(scores, count)
    }
    const sparsities = [0.5]
    const verdict = judgePredictor(predictor, examples, unseen, { sparsities, scope: 'per-layer', topK })
    expect(asked).toBeGreaterThan(0)
    expect(verdict).toMatchObject({ examples: unseen.length, scope: 'per-layer', sparsities })
    predictor.dispose()
  })

  killsEach(
    '%s is found',
    lawOf(isJudged, (judge: Judge) => ({ backend, judge })),
    {
      'in another scope': (...[predictor, seen, unseen, asked]) =>
        judgePredictor(predictor, seen, unseen, {
          ...asked,
          scope: asked.scope === 'global' ? 'per-layer' : 'global',
        }),
      'whose constants are means of the examples it judges': (predictor, _, unseen, asked) =>
        judgePredictor(predictor, unseen, unseen, asked),
      'on the examples of the training': (predictor, seen, _, asked) =>
        judgePredictor(predictor, seen, seen, asked),
      'with its budgets in reverse order': (predictor, seen, unseen, asked) =>
        judgePredictor(predictor, seen, unseen, { ...asked, sparsities: asked.sparsities.toReversed() }),
    },
  )
})
