/**
 * cats against its definition: the cut-offs of written gates, and the neurons of every token on any small model. What a
 * planner by gates is shown, and that its masks are carried out, is a law of the engine (laws.spec.ts).
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ReferenceBackend } from '../../src/backends/reference.ts'
import { makeBudget, type Budget } from '../../src/masks/budget.ts'
import type { PlannerBy } from '../../src/masks/planner.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { traceForward } from '../../src/engine/trace.ts'
import { gates, relu } from '../../src/ops/activations.ts'
import { catsPlanner, gateCutoff } from '../../src/planners/cats.ts'
import { lawForAll } from '../../src/verify/law.ts'
import {
  anyModel,
  feedOnce,
  forAll,
  tokensOf,
  withModel,
  type ModelLaw,
} from '../../src/verify/model/cases.ts'
import { findsEach, smallCase, stateLaws } from '../engine/cases.ts'
import { sameBits } from '../../src/verify/compare.ts'
import { anyData, killsEach, stateLaw } from '../harness/seed.ts'

// ---- Cut-offs -------------------------------------------------------------------------------------------------------------

type Cutoff = typeof gateCutoff

const isQuantile = lawForAll(
  'the cut-off of gates is the size that has their share of all sizes before it in order; past the last it is Infinity',
  {
    gates: fc.array(fc.oneof(fc.integer({ min: -3, max: 3 }), fc.float({ min: -4, max: 4, noNaN: true })), {
      minLength: 1,
      maxLength: 60,
    }),
    twentieths: fc.integer({ min: 0, max: 20 }),
  },
  (cutoff: Cutoff, { gates, twentieths }): void => {
    const sizes = Float32Array.from(gates, Math.abs).toSorted()
    const below = Math.floor((twentieths * gates.length) / 20)
    const given = Float32Array.from(gates)
    expect(cutoff(given, twentieths / 20)).toBe(below === gates.length ? Infinity : sizes[below])
    expect(given).toEqual(Float32Array.from(gates))
  },
  { runs: 300 },
)
stateLaw(isQuantile, gateCutoff)

killsEach('a cut-off that %s: killed', isQuantile, {
  'has one gate more below it': (gate, sparsity) => gateCutoff(gate, sparsity + 1 / gate.length),
  'goes by signed numbers': (gate, sparsity) =>
    gateCutoff(
      gate.map((value) => value + 8),
      sparsity,
    ) - 8,
  'is the share of the largest': (gate, sparsity) => sparsity * Math.max(...gate.map(Math.abs)),
})

test('cut-offs of four gates, by hand', () => {
  const gate = Float32Array.of(-0.25, 3, 0, -1)
  expect([0, 0.25, 0.5, 0.75, 0.9, 1].map((share) => gateCutoff(gate, share))).toEqual([
    0,
    0.25,
    1,
    3,
    3,
    Infinity,
  ])
})

// ---- The planner ------------------------------------------------------------------------------------------------------------

type Make = (budget: Budget) => PlannerBy<'gate'>

const choosesByGate = (make: Make = catsPlanner): ModelLaw =>
  forAll(
    'cats leaves the prompt dense, then computes at every token all heads and the neurons whose gate reaches the cut-off of the prompt',
    { model: anyModel, data: anyData },
    (subject, { model, data }) =>
      withModel(subject, model, (loaded) => {
        const tokens = tokensOf(model, data)
        const prompt = data.whole('prompt', 1, tokens.length)
        const denseLayers = data.whole('denseLayers', 0, 2)
        const budget = makeBudget(data.numbers('sparsity', 1, (stream) => stream.uniform(), 0)[0], {
          denseLayers,
        })
        const F = model.neurons
        const trace = traceForward(loaded, tokens.slice(0, prompt))
        const cutoffs = loaded.weights.layers.map((_, layer) => {
          const gate = trace.fc1Pre(layer)
          const { gated, activation } = loaded.config
          const ones = gate.map(() => 1)
          if (gated) gates[activation].forward(gate, gate, ones, gate.length)
          else relu(gate, gate, gate.length)
          return (
            gate.map(Math.abs).toSorted()[Math.floor(budget.neuronSparsity * gate.length + 1e-9)] ?? Infinity
          )
        })
        trace.dispose()
        const shown: Float32Array[] = []
        const planner = make(budget)
        const spy: PlannerBy<'gate'> = {
          ...planner,
          choose(layer, gate, summary) {
            shown[layer] = gate.slice()
            return planner.choose(layer, gate, summary)
          },
        }
        const before = subject.backend.liveBuffers
        const sequence = loaded.begin({ planner: spy })
        try {
          const logits = sequence.feed(tokens.slice(0, prompt), 'all')
          sameBits('prompt', logits, feedOnce(loaded, tokens.slice(0, prompt)))
          for (let t = prompt; t <= tokens.length; t++) {
            const { heads, neurons } = sequence.mask ?? expect.unreachable()
            expect(heads.every((kept) => kept === 1)).toBe(true)
            for (const [layer, cutoff] of cutoffs.entries()) {
              const kept = neurons.subarray(layer * F, (layer + 1) * F)
              const open = shown[layer].map((gate) => (Math.abs(gate) >= cutoff ? 1 : 0))
              expect(kept).toEqual(layer < denseLayers ? open.fill(1) : open)
            }
            if (t < tokens.length) sequence.feed(tokens.slice(t, t + 1), 'none')
          }
        } finally {
          sequence.dispose()
        }
        expect(subject.backend.liveBuffers).toBe(before)
      }),
  )

stateLaws('cats', { choosesByGate: choosesByGate() })

findsEach('cats that %s: killed', choosesByGate, {
  'computes what is shut': (budget) => {
    const right = catsPlanner(budget)
    return { ...right, choose: (...shown) => right.choose(...shown).map((kept) => 1 - kept) }
  },
  'hears open gates of one sign only': (budget) => ({
    ...catsPlanner(budget),
    choose: (_, gate, [cutoff]) => gate.map((value) => (value >= cutoff ? 1 : 0)),
  }),
  'takes the cut-off from the first token': (budget) => {
    const right = catsPlanner(budget)
    return {
      ...right,
      summarize: (layer, gate, tokens) => right.summarize(layer, gate.subarray(0, gate.length / tokens), 1),
    }
  },
  'skips in dense layers': (budget) => catsPlanner({ ...budget, denseLayers: 0 }),
  'skips half of what is asked': (budget) =>
    catsPlanner({ ...budget, neuronSparsity: budget.neuronSparsity / 2 }),
})

test('a token reads the kept rows of fc2 and of a gated block alone', async () => {
  const backend = new ReferenceBackend()
  const read: (number | undefined)[] = []
  const { linear, linear_input_major } = backend.ops
  const watched = new Proxy(backend, {
    get: (target, key) => {
      const ops = {
        ...target.ops,
        linear: (...call: Parameters<typeof linear>) => {
          if (call[0].shape[1] === 24) read.push(call[4]?.length)
          linear(...call)
        },
        linear_input_major: (...call: Parameters<typeof linear_input_major>) => {
          if (call[1].shape[1] === 24) read.push(call[4]?.length)
          linear_input_major(...call)
        },
      }
      const member: unknown = key === 'ops' ? ops : Reflect.get(target, key, target)
      return typeof member === 'function' ? member.bind(target) : member
    },
  })
  const llama = { groups: 0, pairs: 2, biases: false, rotary: { base: 10_000, scaling: null }, epsilon: 1e-5 }
  const model = { ...smallCase, neurons: 24, positions: 8, llama }
  await withModel({ backend: watched, load: LanguageModel.load }, model, (loaded) => {
    const sequence = loaded.begin({ planner: catsPlanner(makeBudget(0.5)), mode: 'skip' })
    sequence.feed(Int32Array.of(3, 4, 5, 6), 'none')
    // Gate, up and down of both layers.
    expect(read.splice(0)).toEqual(Array.from({ length: 6 }, () => undefined))
    expect(sequence.strategies).toEqual({ dense: 4, gather: 0, packed: 0 })
    sequence.feed(Int32Array.of(7), 'none')
    const kept = sequence.mask?.neurons.subarray(24).reduce((sum, value) => sum + value, 0)
    expect(read).toEqual([undefined, undefined, undefined, undefined, kept, kept])
    expect(kept).toBeLessThan(24)
    expect(sequence.strategies).toEqual({ dense: 3, gather: 1, packed: 0 })
    sequence.dispose()
  })
})
