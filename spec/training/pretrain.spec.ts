/**
 * A run of training: what was stopped and goes on is, bit for bit, what was not; and what is reported and kept, when.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { HostTensor } from '../../src/tensor/memory_source.ts'
import { pretrain, type PretrainOptions } from '../../src/training/pretrain.ts'
import { embeddedRecipe } from '../../src/training/pretrain_settings.ts'
import type { TrainerState } from '../../src/training/pretrain_trainer.ts'
import { overQuickBackends } from '../harness/backends.ts'
import { sameBits } from '../../src/verify/compare.ts'
import { Data } from '../../src/testing/seeded_data.ts'
import { killsEach, lawForAll, stateLaw } from '../harness/seed.ts'
import { configOf, roomyModel, type ModelCase } from '../engine/cases.ts'
import { someModel, turned } from './pretrain_cases.ts'

overQuickBackends((backend) => {
  describe('an interrupted run', () => {
    const settings = { ...embeddedRecipe, steps: 7, batch: 2, warmup: 2, rate: 0.01 }

    function optionsFor(given: ModelCase): PretrainOptions {
      const length = given.positions
      const data = new Data(given.seed)
      const training = Array.from({ length: 5 }, () => data.ids('window', length, given.vocabulary))
      return {
        config: configOf(given),
        backend,
        windows: { training, heldOut: training.slice(0, 1) },
        settings: { ...settings, length, seed: given.seed >>> 0 },
        from: null,
        evaluateEvery: 3,
        saveEvery: 4,
        save: async () => {},
      }
    }

    /** The state kept when a run is told to stop during the step after `steps`. */
    async function stoppedAfter(options: PretrainOptions, steps: number): Promise<TrainerState> {
      const stop = new AbortController()
      let kept: TrainerState | null = null
      const stopWhenTaken = ({ step }: { step: number }): void => {
        if (step === steps) stop.abort()
      }
      const run = pretrain({
        ...options,
        signal: stop.signal,
        onStep: stopWhenTaken,
        onHeldOut: steps === 0 ? stopWhenTaken : undefined,
        save: async (state) => void (kept = state),
      })
      await run.catch((error: Error) => expect(error.name).toBe('AbortError'))
      return kept as unknown as TrainerState
    }

    function sameState(mine: TrainerState, expected: TrainerState): void {
      expect(mine.step).toBe(expected.step)
      for (const kind of ['weights', 'means', 'squares'] as const)
        for (const [name, { values }] of expected[kind])
          sameBits(`${kind} ${name}`, (mine[kind].get(name) as HostTensor).values, values)
    }

    const goesOnAsIfNot = lawForAll(
      'resumes to the same weights, bit for bit',
      { given: roomyModel, steps: fc.integer({ min: 0, max: 7 }) },
      async (carry: (state: TrainerState) => TrainerState, { given, steps }) => {
        const options = optionsFor(given)
        const whole = await pretrain(options)
        const kept = await stoppedAfter(options, steps)
        expect(kept.step).toBe(steps)
        sameState(await pretrain({ ...options, from: carry(kept) }), whole)
      },
      { runs: 8 },
    )
    stateLaw(goesOnAsIfNot, (state) => state)

    const withoutValues = (tensors: ReadonlyMap<string, HostTensor>): Map<string, HostTensor> =>
      new Map([...tensors].map(([name, { shape, values }]) => [name, { shape, values: values.map(() => 0) }]))
    killsEach('that lost %s is found', goesOnAsIfNot, {
      'its first moments': (state) => ({ ...state, means: withoutValues(state.means) }),
      'its second moments': (state) => ({ ...state, squares: withoutValues(state.squares) }),
      'a step it took': (state) => ({ ...state, step: Math.max(0, state.step - 1) }),
      'how fc2 lies': (state) => {
        const weights = new Map(state.weights)
        for (const [name, tensor] of weights)
          if (name.endsWith('fc2.weight')) weights.set(name, { ...tensor, values: turned(tensor) })
        return { ...state, weights }
      },
    })

    test('stops when the loss is NaN, and keeps the state before it', async () => {
      const options = optionsFor(someModel)
      const kept: TrainerState[] = []
      const run = pretrain({
        ...options,
        settings: { ...options.settings, rate: 1e30, warmup: 0 },
        saveEvery: 1,
        save: async (state) => void kept.push(state),
      })
      await expect(run).rejects.toMatchObject({ code: 'DIVERGED', exitCode: 1 })
      expect(kept.length).toBeGreaterThan(0)
      expect(kept.length).toBeLessThan(7)
    })

    test('reports each step, and held-out losses when due', async () => {
      const rows: string[] = []
      await pretrain({
        ...optionsFor(someModel),
        onStep: ({ step }) => void rows.push(`step ${step}`),
        onHeldOut: ({ step, heldOut }) => void rows.push(`held out ${step} ${heldOut > 0}`),
        save: async ({ step }) => void rows.push(`save ${step}`),
      })
      expect(rows.join(', ')).toBe(
        'save 0, held out 0 true, step 1, step 2, step 3, held out 3 true, step 4, save 4, step 5, step 6, ' +
          'held out 6 true, step 7, save 7, held out 7 true',
      )
    })
  })
})
