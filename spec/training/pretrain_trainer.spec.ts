/**
 * A step of training a language model: the gradient of a batch is that of its mean loss; clipping keeps the direction
 * and caps the norm; only matrices decay; what is seen again and again is learnt by heart.
 *
 * Tests src/training/adamw.ts.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Backend, Buffer } from '../../src/backends/backend.ts'
import { BufferScope } from '../../src/backends/buffer_scope.ts'
import { backward } from '../../src/engine/backward.ts'
import { makeConfig } from '../../src/engine/config.ts'
import { initialWeights, residualScale } from '../../src/engine/initial_weights.ts'
import { countScored } from '../../src/engine/loss.ts'
import { parameterShapes } from '../../src/engine/program.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { traceForward } from '../../src/engine/trace.ts'
import type { HostTensor } from '../../src/tensor/memory_source.ts'
import { AdamW } from '../../src/training/adamw.ts'
import { clipGradients, LanguageTrainer } from '../../src/training/pretrain_trainer.ts'
import { overQuickBackends } from '../harness/backends.ts'
import { near, sameBits } from '../../src/verify/compare.ts'
import { Data } from '../../src/testing/seeded_data.ts'
import { anyData, killsEach, lawForAll, lawOf, stateLaw } from '../harness/seed.ts'
import { roomyModel, withModel, type ModelCase } from '../engine/cases.ts'
import { withoutKinks } from '../../src/verify/model/finite_differences.ts'
import { someModel, turned } from './pretrain_cases.ts'

const { fround } = Math

const subject = (backend: Backend) => ({ backend, load: LanguageModel.load })

/** Windows of different lengths. */
function windowsOf(model: ModelCase, count: number): Int32Array[] {
  const data = new Data(model.seed)
  return Array.from({ length: count }, () =>
    data.ids('window', data.integer(2, model.positions), model.vocabulary),
  )
}

function zerosFor(model: LanguageModel): Map<string, Float64Array> {
  return new Map(
    [...parameterShapes(model.config)].map(([name, shape]) => [
      name,
      new Float64Array(shape.reduce((product, size) => product * size, 1)),
    ]),
  )
}

overQuickBackends((backend) => {
  describe('the gradient of a batch', () => {
    /** How gradients are added up, and how they are read. */
    interface Gradients {
      readonly accumulate: (trainer: LanguageTrainer, windows: readonly Int32Array[]) => Promise<number>
      readonly read: (trainer: LanguageTrainer) => Map<string, HostTensor>
    }

    /** Loss and gradient are the means over scored tokens of those each window has alone. Steep norms would magnify how a share is rounded. */
    const isOfTheMean = lawForAll(
      'is that of the mean loss over its scored tokens',
      { given: roomyModel.map(withoutKinks), count: fc.integer({ min: 1, max: 4 }) },
      ({ accumulate, read }: Gradients, { given, count }) =>
        withModel(subject(backend), given, async (model) => {
          const windows = windowsOf(given, count)
          const scored = windows.reduce((sum, tokens) => sum + countScored(tokens), 0)
          const expected = zerosFor(model)
          let expectedLoss = 0
          for (const tokens of windows) {
            const share = countScored(tokens) / scored
            const trace = traceForward(model, tokens)
            const alone = backward(model, trace, tokens, { parameters: true })
            expectedLoss += share * alone.loss
            for (const [name, values] of alone.parameters)
              values.forEach((value, i) => ((expected.get(name) as Float64Array)[i] += share * value))
            alone.dispose()
            trace.dispose()
          }
          const trainer = new LanguageTrainer(model, 0)
          try {
            const loss = await accumulate(trainer, windows)
            near('loss', [loss], [expectedLoss], 1e-5 * expectedLoss)
            const largest = Math.max(
              ...[...expected.values()].map((v) => v.reduce((m, x) => Math.max(m, Math.abs(x)), 0)),
            )
            for (const [name, { values }] of read(trainer))
              near(name, values, expected.get(name) as Float64Array, 1e-5 * largest)
          } finally {
            trainer.dispose()
          }
        }),
      { runs: 15 },
    )
    const right: Gradients = {
      accumulate: (trainer, windows) => trainer.accumulate(windows),
      read: (trainer) => trainer.readGradients(),
    }
    stateLaw(isOfTheMean, right)

    killsEach(
      'one that %s is found',
      lawOf(isOfTheMean, (mutant: Partial<Gradients>) => ({ ...right, ...mutant })),
      {
        'weighs windows, not tokens': {
          accumulate: async (trainer, windows) => {
            let loss = 0
            for (const tokens of windows) loss += (await trainer.accumulate([tokens])) / windows.length
            return loss
          },
        },
        'keeps the last window only': {
          accumulate: async (trainer, windows) => {
            const loss = await trainer.accumulate(windows)
            trainer.discard()
            await trainer.accumulate(windows.slice(-1))
            return loss
          },
        },
        'is read as it is held': {
          read: (trainer) =>
            new Map(
              [...trainer.readGradients()].map(([name, tensor]) => [
                name,
                name.endsWith('fc2.weight') ? { ...tensor, values: turned(tensor) } : tensor,
              ]),
            ),
        },
      },
    )

    test('is refused for missing or too short buffers', () =>
      withModel(subject(backend), someModel, (model) => {
        const tokens = Int32Array.of(2, 3)
        const trace = traceForward(model, tokens)
        const { parameters } = model.weights
        const [first] = parameters.keys()
        const without = new Map(parameters)
        without.delete(first)
        const short = new Map(parameters).set(first, backend.view(parameters.get(first) as Buffer, [1]))
        for (const bent of [without, short])
          expect(() => backward(model, trace, tokens, { parameters: bent })).toThrow(
            /^model\.decoder\.embed_tokens\.weight: expected a buffer of \[11, 8\], got (none|\[1\])$/,
          )
        trace.dispose()
      }))

    test('frees all memory when it is stopped', () =>
      withModel(subject(backend), someModel, async (model) => {
        const trainer = new LanguageTrainer(model, 0)
        const stop = new AbortController()
        const stopped = trainer.accumulate(windowsOf(someModel, 3), stop.signal)
        stop.abort()
        await expect(stopped).rejects.toThrow('aborted')
        for (const { values } of trainer.readGradients().values())
          expect(values.every((value) => value === 0)).toBe(true)
        trainer.dispose()
      }))
  })

  describe('clipping', () => {
    type Clip = typeof clipGradients
    const tensors = fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 4 })
    const limits = fc.double({ min: 0.01, max: 20, noNaN: true })

    /** In float64: the norm of all tensors together; each number times limit / norm where that is less than 1. */
    const capsTheNorm = lawForAll(
      'caps the norm of all gradients together and keeps their direction',
      { lengths: tensors, limit: limits, data: anyData },
      (clip: Clip, { lengths, limit, data }) => {
        const scope = new BufferScope(backend)
        try {
          const given = lengths.map((length) => data.floats('gradient', length))
          const norm = Math.sqrt(given.flatMap((values) => [...values]).reduce((sum, x) => sum + x * x, 0))
          const buffers = given.map((values) => scope.upload(values))
          near('norm', [clip(backend, buffers, limit)], [norm], 1e-5 * norm)
          const factor = norm > limit ? limit / norm : 1
          buffers.forEach((buffer, i) => {
            const values = backend.readF32(buffer)
            if (factor === 1) sameBits('untouched', values, given[i])
            else
              near(
                'clipped',
                values,
                Array.from(given[i], (x) => x * factor),
                1e-5 * limit,
              )
          })
        } finally {
          scope.dispose()
        }
      },
    )
    stateLaw(capsTheNorm, clipGradients)

    const scale = (gradient: Buffer, factor: number): void => {
      const values = backend.readF32(gradient).map((value) => value * factor)
      backend.write(gradient, values)
    }
    killsEach('a bug that %s is found', capsTheNorm, {
      'clips each tensor by itself': (_, gradients, limit) =>
        Math.hypot(...gradients.map((one) => clipGradients(backend, [one], limit))),
      'makes short gradients long': (_, gradients, limit) => {
        const norm = clipGradients(backend, gradients, limit)
        if (norm > 0 && norm < limit) for (const gradient of gradients) scale(gradient, limit / norm)
        return norm
      },
      'clips single numbers': (_, gradients, limit) => {
        const norm = clipGradients(backend, gradients, Infinity)
        for (const gradient of gradients)
          backend.write(
            gradient,
            backend.readF32(gradient).map((x) => Math.max(-limit, Math.min(limit, x))),
          )
        return norm
      },
    })

    test('leaves NaN unchanged, and reports it', () => {
      const scope = new BufferScope(backend)
      const gradient = scope.upload(Float32Array.of(1, Infinity))
      expect(clipGradients(backend, [gradient], 1)).toBe(Infinity)
      expect([...backend.readF32(gradient)]).toEqual([1, Infinity])
      scope.dispose()
    })
  })

  describe('weight decay', () => {
    type Step = (model: LanguageModel, rate: number, decay: number) => void

    /** Without a gradient a matrix is multiplied by 1 - rate decay, and nothing else changes a bit. */
    const isForMatrices = lawForAll(
      'applies to matrices only',
      { given: roomyModel, decay: fc.double({ min: 0, max: 0.5, noNaN: true }) },
      (step: Step, { given, decay }) =>
        withModel(subject(backend), given, (model) => {
          const rate = 0.25
          const keep = fround(1 - fround(rate * fround(decay)))
          const before = new Map([...model.weights.parameters].map(([name, w]) => [name, backend.readF32(w)]))
          step(model, rate, decay)
          for (const [name, shape] of parameterShapes(model.config)) {
            const old = before.get(name) as Float32Array
            const now = backend.readF32(model.weights.parameters.get(name) as Buffer)
            sameBits(name, now, shape.length === 2 ? old.map((value) => value * keep) : old)
          }
        }),
      { runs: 20 },
    )
    stateLaw(isForMatrices, (model, rate, decay) => {
      const trainer = new LanguageTrainer(model, decay)
      trainer.step(rate, 1)
      trainer.dispose()
    })

    const stepWith =
      (decays: (name: string, decay: number) => number): Step =>
      (model, rate, decay) => {
        const { parameters } = model.weights
        const each = [...parameters.keys()].map((name) => decays(name, decay))
        const optimiser = new AdamW(backend, [...parameters.values()], { decay: each })
        optimiser.step(rate)
        optimiser.dispose()
      }
    killsEach('%s is found', isForMatrices, {
      'of everything': stepWith((_, decay) => decay),
      'of whatever is called a weight': stepWith((name, decay) => (name.endsWith('weight') ? decay : 0)),
      'of blocks only': stepWith((name, decay) =>
        /layers.*[1cvtkq][12]?(_proj)?\.weight/.test(name) ? decay : 0,
      ),
      'of nothing': stepWith(() => 0),
    })
  })

  describe('one repeated sequence', () => {
    /** The loss before and after. */
    async function learn(learnFrom: LanguageTrainer['accumulate'] | null): Promise<[number, number]> {
      const config = makeConfig({
        layers: 2,
        width: 16,
        heads: 2,
        neurons: 32,
        vocabulary: 50,
        positions: 16,
      })
      const weights = initialWeights(config, { seed: 3, residual: residualScale(config) })
      let losses: [number, number] = [NaN, NaN]
      await withModel(
        subject(backend),
        { ...someModel, layers: 2, heads: 2, headSize: 8, neurons: 32, vocabulary: 50, positions: 16 },
        async (model) => {
          const windows = [new Data(5).ids('window', 16, 50)]
          const trainer = new LanguageTrainer(model, 0.1)
          const before = await trainer.loss(windows)
          for (let step = 0; step < 60; step++) {
            await trainer.accumulate(windows)
            if (learnFrom === null) trainer.discard()
            trainer.step(0.01, 1)
          }
          losses = [before, await trainer.loss(windows)]
          trainer.dispose()
        },
        weights,
      )
      return losses
    }

    test('is learnt by heart, starting from the loss of a guess', async () => {
      const [before, after] = await learn(LanguageTrainer.prototype.accumulate)
      expect(before).toBeCloseTo(Math.log(50), 1)
      expect(after).toBeLessThan(0.1)
    })

    test('is not learnt without its gradient', async () => {
      const [, after] = await learn(null)
      expect(after).toBeGreaterThan(3)
    })
  })
})
