/**
 * What holds of every criterion, whatever it measures: a finite number for every unit, the same bits on every strict backend
 * and for the same seed, nothing of another example, and the cost it says it has.
 *
 * Tests src/criteria/index.ts and src/criteria/pass.ts.
 */
import { afterAll, describe, expect, test } from 'vitest'
import type { Backend, Ops } from '../../src/backends/backend.ts'
import { createBackend } from '../../src/backends/select.ts'
import {
  criteria,
  criterionByName,
  datasetCriteria,
  datasetCriterionByName,
  type Criterion,
} from '../../src/criteria/index.ts'
import type { UnitScores } from '../../src/masks/selection.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { overQuickBackends } from '../harness/backends.ts'
import { Data } from '../../src/testing/seeded_data.ts'
import { anyData, kills, law, lawForAll, stateLaw } from '../harness/seed.ts'
import { strictNames } from '../harness/strict.ts'
import { isRest } from '../harness/tier.ts'
import { anyModel, roomyModel, withModel, type ModelCase } from '../engine/cases.ts'
import { unitKinds, textOf, withPass } from './passes.ts'

/** Scores of a model's text. */
async function scoresOn(
  backend: Backend,
  model: ModelCase,
  criterion: Criterion,
  seed = 7,
): Promise<UnitScores> {
  let scores: UnitScores | undefined
  await withModel({ backend, load: LanguageModel.load }, model, (loaded) => {
    scores = withPass(loaded, textOf(model, new Data(model.seed)), criterion.score, { seed })
  })
  if (!scores) throw new Error('scores: expected some, got none')
  return scores
}

const strict = await Promise.all(strictNames.map((name) => createBackend(name)))
afterAll(() => strict.forEach((backend) => backend.dispose()))

// The same backends in every tier: the tier rest would try them again.
for (const criterion of isRest ? [] : criteria)
  describe(criterion.name, () => {
    law(
      'gives every unit a finite number, the same bits on every strict backend',
      { model: anyModel },
      async ({ model }) => {
        const all: UnitScores[] = []
        for (const backend of strict) all.push(await scoresOn(backend, model, criterion))
        for (const kind of unitKinds) {
          const units = model.layers * model[kind]
          expect(all[0][kind].length).toBe(units)
          expect(all[0][kind].every(Number.isFinite)).toBe(true)
          for (const other of all.slice(1)) expect(other[kind]).toEqual(all[0][kind])
        }
      },
      { runs: 15 },
    )
  })

/** A backend that counts calls of some ops. */
function counting(backend: Backend): { backend: Backend; calls: (op: keyof Ops) => number } {
  const counts = new Map<string, number>()
  const ops = Object.fromEntries(
    Object.entries(backend.ops).map(([name, op]) => [
      name,
      (...args: never[]) => {
        counts.set(name, (counts.get(name) ?? 0) + 1)
        ;(op as (...args: never[]) => void)(...args)
      },
    ]),
  ) as unknown as Ops
  const bound = Object.fromEntries(
    (['allocate', 'upload', 'write', 'zero', 'view', 'readF32', 'readI32', 'free', 'dispose'] as const).map(
      (name) => [name, (backend[name] as (...args: never[]) => unknown).bind(backend)],
    ),
  ) as unknown as Backend
  return {
    backend: { ...bound, name: backend.name, liveBuffers: 0, ops },
    calls: (op) => counts.get(op) ?? 0,
  }
}

/** Passes and layers' weight gradients are counted; a weight gradient is a third of a backward pass where F = 4 D. */
const costsWhatItSays = lawForAll(
  'a criterion costs what it says',
  { model: roomyModel, data: anyData },
  async ({ backend, criterion }: { backend: Backend; criterion: Criterion }, { model, data }) => {
    const counted = counting(backend)
    await withModel({ backend: counted.backend, load: LanguageModel.load }, model, (loaded) => {
      const text = textOf(model, data)
      withPass(loaded, text, (input) => {
        const passes = (): number[] => [
          counted.calls('attention') / model.layers,
          counted.calls('attention_backward') / model.layers +
            counted.calls('linear_backward_weight') / model.layers / 3,
        ]
        const [forward, backward] = passes()
        criterion.score(input)
        const [forwards, backwards] = passes()
        expect(forwards - forward, 'forward').toBeCloseTo(criterion.cost.forward, 10)
        expect(backwards - backward, 'backward').toBeCloseTo(criterion.cost.backward, 10)
      })
    })
  },
  { runs: 5 },
)

overQuickBackends((backend) => {
  for (const criterion of criteria)
    stateLaw({ ...costsWhatItSays, sentence: `${criterion.name} costs what it says` }, { backend, criterion })
})

test.each([
  ['one that forgets its passes', { ...criterionByName('grasp'), cost: { forward: 0, backward: 0 } }],
  [
    'one that forgets its weight gradient',
    { ...criterionByName('gradnorm'), cost: { forward: 0, backward: 0 } },
  ],
])('a mutant of cost, %s: killed', async (_, mutant) => {
  await kills(costsWhatItSays, { backend: await createBackend('reference'), criterion: mutant })
})

describe('criteria', () => {
  test('are found by name, and no name is used twice', () => {
    for (const criterion of criteria) expect(criterionByName(criterion.name)).toBe(criterion)
    for (const criterion of datasetCriteria) expect(datasetCriterionByName(criterion.name)).toBe(criterion)
    const names = [...criteria, ...datasetCriteria].map(({ name }) => name)
    expect(new Set(names).size).toBe(names.length)
    expect(() => criterionByName('magic')).toThrow(
      `criterion: expected one of ${criteria.map(({ name }) => name).join(', ')}, got magic`,
    )
    expect(() => datasetCriterionByName('plainact')).toThrow('criterion: expected one of')
  })
})
