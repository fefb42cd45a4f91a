/**
 * Held-out rows have no part in what is judged by them: a squared error over held-out rows is a sum with a term for each row. So
 * with two choices for each of two rows the errors of the four sets satisfy A + D = B + C, however rows, targets or both
 * change. Anything fitted on a held-out row (a mean, a scale, a weight) breaks this.
 *
 * Tests src/training/predictor_training.ts, src/training/learn_predictor.ts and src/training/ridge.ts.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ReferenceBackend } from '../../src/backends/reference.ts'
import { contextWidth, makeConfig } from '../../src/engine/config.ts'
import { makeBudget } from '../../src/masks/budget.ts'
import { columnMoments } from '../../src/predictor/features.ts'
import { Random } from '../../src/tensor/random.ts'
import { learntPredictor } from '../../src/training/learn_predictor.ts'
import type { TrainingSet } from '../../src/training/network_trainer.ts'
import { trainNetwork } from '../../src/training/predictor_training.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'

/** Fits a set without its held-out rows. @returns their squared error over that of the mean of the other targets */
type Judge = (set: TrainingSet) => Promise<number>

/** A fit, the held-out ones of its rows, and the widths of rows and targets. */
interface Fitted {
  readonly judge: Judge
  readonly held: readonly [number, number]
  readonly inputs: number
  readonly outputs: number
}

const ROWS = 20
const config = makeConfig({ layers: 2, width: 4, heads: 2, neurons: 5, vocabulary: 9, positions: 8 })
const shape = { layers: 2, heads: 2, neurons: 5 }
const SEED = 3
const backend = new ReferenceBackend()

const fits: Readonly<Record<string, Fitted>> = {
  'the share that a learnt predictor explains': {
    judge: async ({ rows, targets }) => {
      const table = (units: number): Float32Array => new Float32Array(shape.layers * units)
      const observations = rows.map((row, i) => ({
        features: Float32Array.of(...row, ...row),
        usage: Float32Array.of(...targets[i], ...targets[i]),
      }))
      const scores = { shape, heads: table(shape.heads), neurons: table(shape.neurons) }
      const state = { scores, squares: new Float32Array(1), step: rows.length, observations }
      const options = { sourceLayer: 0, rank: 3, penalty: 1 }
      const budget = makeBudget(0.5, { scope: 'per-layer' })
      const { explained } = learntPredictor({ config, shape }, state, budget, options, {
        seed: 0,
        dataHash: null,
      })
      return 1 - (explained as number)
    },
    held: [9, 19],
    inputs: contextWidth(config),
    outputs: shape.neurons,
  },
  'the held-out loss of a network': {
    judge: async (set) => {
      let found = NaN
      await trainNetwork(backend, { inputs: 4, hidden: 3, outputs: 5 }, set, SEED, {
        epochs: 1,
        batch: 6,
        rate: 0.05,
        decay: 0,
        heldOut: 2 / ROWS,
        patience: 1,
        onEpoch: ({ heldOut }) => void (found = heldOut),
      })
      return found
    },
    held: [...new Random(SEED).permutation(ROWS).subarray(0, 2)] as [number, number],
    inputs: 4,
    outputs: 5,
  },
}

/** Rows of numbers. */
function tableOf(random: Random, rows: number, width: number, size: number): Float32Array[] {
  return Array.from({ length: rows }, () =>
    Float32Array.from({ length: width }, () => size * (2 * random.uniform() - 1)),
  )
}

/** The squared distance of the held-out targets from the mean of the others. */
function errorOfMean(targets: readonly Float32Array[], held: readonly number[]): number {
  const fitted = targets.filter((_, i) => !held.includes(i))
  const mean = fitted[0].map((_, j) => fitted.reduce((sum, row) => sum + row[j], 0) / fitted.length)
  return held.reduce((sum, i) => sum + targets[i].reduce((all, y, j) => all + (y - mean[j]) ** 2, 0), 0)
}

describe.each(Object.entries(fits))('%s', (name, { judge, held, inputs, outputs }) => {
  const isSumOverRows = lawForAll(
    `${name} is a sum over held-out rows, to which each row adds the same whatever the others are`,
    { seed: fc.nat(), changed: fc.constantFrom('rows', 'targets', 'both'), size: fc.constantFrom(0.5, 3) },
    async (of: Judge, { seed, changed, size }) => {
      const random = new Random(seed)
      const set = { rows: tableOf(random, ROWS, inputs, 1), targets: tableOf(random, ROWS, outputs, 1) }
      const others = { rows: tableOf(random, 2, inputs, size), targets: tableOf(random, 2, outputs, size) }
      /** The squared error where these held-out rows are the other ones. */
      const errorWith = async (...exchanged: readonly number[]): Promise<number> => {
        const exchange = (part: 'rows' | 'targets'): Float32Array[] =>
          set[part].map((row, i) => {
            const place = held.indexOf(i)
            return changed !== (part === 'rows' ? 'targets' : 'rows') && exchanged.includes(place)
              ? others[part][place]
              : row
          })
        const chosen = { rows: exchange('rows'), targets: exchange('targets') }
        return (await of(chosen)) * errorOfMean(chosen.targets, held)
      }
      const [neither, first, second, both] = [
        await errorWith(),
        await errorWith(0),
        await errorWith(1),
        await errorWith(0, 1),
      ]
      const scale = neither + first + second + both
      expect(Math.abs(neither + both - first - second)).toBeLessThan(1e-5 * scale)
    },
  )
  stateLaw(isSumOverRows, judge)

  // One set, not every one: a held-out row may leave each hidden neuron of a network at zero, whatever stands in its place.
  test('a held-out row has a part in it', async () => {
    const random = new Random(1)
    const set = { rows: tableOf(random, ROWS, inputs, 1), targets: tableOf(random, ROWS, outputs, 1) }
    const rows = set.rows.with(
      held[0],
      set.rows[held[0]].map((value) => -value),
    )
    expect(Math.abs((await judge({ ...set, rows })) - (await judge(set)))).toBeGreaterThan(1e-3)
  })

  const squashed = (set: TrainingSet, part: 'rows' | 'targets'): TrainingSet => {
    const { mean, deviation } = columnMoments(set[part], set[part][0].length)
    return {
      ...set,
      [part]: set[part].map((row) => row.map((value, j) => Math.tanh((value - mean[j]) / deviation[j]))),
    }
  }
  const fitted = [0, 1, 2].find((i) => !held.includes(i)) as number
  test.each<[string, Judge]>([
    ['squashes rows by the scale of all of them', (set) => judge(squashed(set, 'rows'))],
    ['squashes targets by the scale of all of them', (set) => judge(squashed(set, 'targets'))],
    [
      'is fitted on a held-out row',
      (set) =>
        judge({
          rows: set.rows.with(fitted, set.rows[held[0]]),
          targets: set.targets.with(fitted, set.targets[held[0]]),
        }),
    ],
  ])('one that %s is found', (_, mutant) => kills(isSumOverRows, mutant))
})
