import fc from 'fast-check'
import { expect, test } from 'vitest'
import { anyModel, configOf, tensorsOf, maskOf, tokensOf } from '../../src/verify/model/cases.ts'
import { plainModel } from '../../src/verify/model/plain_model.ts'
import { Data } from '../../src/eval/parity/seeded_data.ts'
import { OptModel } from '../../src/model/opt/opt_model.ts'
import { traceForward } from '../../src/model/opt/trace.ts'
import { backward as engineBackward } from '../../src/model/opt/backward.ts'
import { memorySource } from '../../src/tensor/memory_source.ts'
import { createBackend } from '../../src/backends/select.ts'
import { forward, backward } from '../../src/spec/opt.ts'
import { plainact } from '../../src/spec/plainact.ts'
import { plainact as enginePlainact } from '../../src/criteria/plainact.ts'
import { selectMask } from '../../src/spec/select.ts'
import { selectMask as engineSelect } from '../../src/masks/selection.ts'
import { makeBudget } from '../../src/masks/budget.ts'
import { trainNetwork } from '../../src/spec/training.ts'
import { trainNetwork as engineTrain } from '../../src/train/predictor_training.ts'

const rows = (table: Float32Array, layers: number) =>
  Array.from({ length: layers }, (_, l) => table.slice((l * table.length) / layers, ((l + 1) * table.length) / layers))

test('forward, backward, plainact', async () => {
  const backend = await createBackend('wasm')
  await fc.assert(
    fc.asyncProperty(anyModel, fc.constantFrom('f32', 'bf16', 'f16', 'int8'), fc.constantFrom('f32', 'int8'), async (c, storage, cache) => {
      const config = configOf(c)
      const tensors = tensorsOf(c)
      const data = new Data(c.seed)
      const tokens = tokensOf(c, data)
      const mask = maskOf(c, data)
      const spec = plainModel(config, tensors, storage, cache)
      const units = { heads: rows(mask.heads, c.layers), neurons: rows(mask.neurons, c.layers) }
      const engine = await OptModel.load(config, memorySource(tensors), backend, { storage })
      try {
        const sequence = engine.begin({ mask, cache })
        expect(sequence.feed(tokens, 'all')).toEqual(forward(spec, tokens, units).logits.data)
        sequence.dispose()
        if (storage === 'int8' || cache === 'int8' || tokens.length < 2) return
        const trace = traceForward(engine, tokens, { mask })
        const gradients = engineBackward(engine, trace, tokens)
        const pass = forward(spec, tokens, units)
        const labels = Int32Array.from(tokens, (_, t) => (t + 1 < tokens.length ? tokens[t + 1] : -100))
        const found = backward(spec, pass, labels, units)
        for (let l = 0; l < c.layers; l++) {
          expect(gradients.maskedHeadOut(l)).toEqual(found[l].context.data)
          expect(gradients.maskedFc1Act(l)).toEqual(found[l].activation.data)
          expect(gradients.fc1Pre(l)).toEqual(found[l].preActivation.data)
        }
        const scores = enginePlainact.score({ model: engine, trace, gradients } as never)
        const own = plainact(pass.layers, found, c.heads)
        expect(rows(scores.heads, c.layers)).toEqual(own.heads)
        expect(rows(scores.neurons, c.layers)).toEqual(own.neurons)
        gradients.dispose()
        trace.dispose()
      } finally {
        engine.dispose()
      }
    }),
    { numRuns: 150 },
  )
  backend.dispose()
})

test('select', () => {
  const score = fc.oneof(fc.constantFrom(0, 1, NaN, -Infinity, Infinity, -0), fc.float())
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 4 }).chain((L) =>
        fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 40 })).chain(([H, F]) =>
          fc.record({
            heads: fc.array(fc.array(score, { minLength: H, maxLength: H }).map((x) => Float32Array.from(x)), { minLength: L, maxLength: L }),
            neurons: fc.array(fc.array(score, { minLength: F, maxLength: F }).map((x) => Float32Array.from(x)), { minLength: L, maxLength: L }),
          }),
        ),
      ),
      fc.oneof(fc.integer({ min: 0, max: 20 }).map((n) => n / 20), fc.double({ min: 0, max: 1, noNaN: true })),
      fc.constantFrom('global', 'per-layer', 'hybrid'),
      fc.constantFrom('exact', 'released'),
      (scores, sparsity, scope, policy) => {
        const L = scores.heads.length
        const shape = { layers: L, heads: scores.heads[0].length, neurons: scores.neurons[0].length }
        const flat = (t: Float32Array[]) => Float32Array.from(t.flatMap((x) => [...x]))
        const engine = engineSelect({ shape, heads: flat(scores.heads), neurons: flat(scores.neurons) }, makeBudget(sparsity, { scope, policy }))
        const own = selectMask(scores, { sparsity, scope, policy })
        expect(rows(engine.heads, L)).toEqual(own.heads)
        expect(rows(engine.neurons, L)).toEqual(own.neurons)
      },
    ),
    { numRuns: 2000 },
  )
})

test('training', async () => {
  const backend = await createBackend('wasm')
  const data = new Data(5)
  const R = 13
  const rows = Array.from({ length: R }, () => Float32Array.from({ length: 6 }, () => data.normal()))
  const targets = Array.from({ length: R }, () => Float32Array.from({ length: 9 }, () => data.normal() * 3))
  const options = { epochs: 12, batch: 4, rate: 0.03, decay: 0.01, heldOut: 0.3, patience: 4, seed: 9, hidden: 5 }
  const engine = await engineTrain(backend, { inputs: 6, hidden: 5, outputs: 9 }, { rows, targets }, 9, options)
  const own = trainNetwork(rows, targets, options)
  for (const name of ['inputWeight', 'inputBias', 'outputWeight', 'outputBias'] as const)
    expect(engine.values[name]).toEqual(own[name].data)
  backend.dispose()
})
