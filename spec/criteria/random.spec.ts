/**
 * random: its seed and nothing else decides, and what it draws is uniform.
 */
import { describe, expect, test } from 'vitest'
import { createBackend } from '../../src/backends/select.ts'
import { random } from '../../src/criteria/random.ts'
import type { Criterion } from '../../src/criteria/index.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { Data } from '../../src/testing/seeded_data.ts'
import { anyData, killsEach, lawForAll, stateLaw } from '../harness/seed.ts'
import { anyModel, smallCase, withModel, type ModelCase } from '../engine/cases.ts'
import { unitKinds, textOf, withPass } from './passes.ts'

type Score = Criterion['score']

const knowsItsSeedOnly = lawForAll(
  'random depends on its seed only',
  { model: anyModel, data: anyData },
  async (score: Score, { model, data }) => {
    const backend = await createBackend('reference')
    await withModel({ backend, load: LanguageModel.load }, { ...model, neurons: 37 }, (loaded) => {
      const draw = (seed: number): ReturnType<Score> => withPass(loaded, textOf(model, data), score, { seed })
      const [first, again, other] = [draw(1), draw(1), draw(2)]
      for (const kind of unitKinds) {
        expect(first[kind]).toEqual(again[kind])
        expect(first[kind]).not.toEqual(other[kind])
        expect(first[kind].every((value) => value >= 0 && value < 1)).toBe(true)
      }
      expect(first.neurons.slice(0, first.heads.length)).not.toEqual(first.heads)
    })
  },
  { runs: 20 },
)

/** Mean and variance over many seeds of a unit, and no relation between two. */
async function isUniform(score: Score): Promise<void> {
  const backend = await createBackend('reference')
  const model: ModelCase = { ...smallCase, headSize: 2, neurons: 3, vocabulary: 5, positions: 4, seed: 3 }
  await withModel({ backend, load: LanguageModel.load }, model, (loaded) => {
    const text = textOf(model, new Data(1))
    const draws = Array.from({ length: 2000 }, (_, seed) => withPass(loaded, text, score, { seed }))
    const mean = (value: (draw: ReturnType<Score>) => number): number =>
      draws.reduce((total, draw) => total + value(draw), 0) / draws.length
    for (const unit of [0, 3]) {
      expect(Math.abs(mean(({ heads }) => heads[unit]) - 1 / 2)).toBeLessThan(0.03)
      expect(Math.abs(mean(({ heads }) => (heads[unit] - 1 / 2) ** 2) - 1 / 12)).toBeLessThan(0.01)
      const together = mean(({ heads, neurons }) => (heads[unit] - 1 / 2) * (neurons[unit] - 1 / 2))
      expect(Math.abs(together)).toBeLessThan(0.01)
    }
  })
}
stateLaw(knowsItsSeedOnly, random.score)

test('random is uniform, unit by unit and seed by seed', () => isUniform(random.score))

describe('mutants of random', () => {
  const always: Score = (input) => random.score({ ...input, seed: 1 })
  const same: Score = (input) => {
    const scores = random.score(input)
    return { ...scores, neurons: scores.neurons.map((_, unit) => scores.heads[unit % scores.heads.length]) }
  }
  killsEach('%s: killed', knowsItsSeedOnly, {
    'the seed is not looked at': always,
    'neurons repeat the heads': same,
  })

  test('a skewed draw: killed', async () => {
    const skewed: Score = (input) => {
      const scores = random.score(input)
      return { ...scores, heads: scores.heads.map((value) => value * value) }
    }
    await expect(isUniform(skewed)).rejects.toThrow('expected')
  })
})
