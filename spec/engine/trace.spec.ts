/**
 * Traces that begin after a prompt (src/engine/trace.ts): they have the bits of a sequence whose prompt ran dense, and their
 * gradients are those of what follows, the prompt being constant.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ReferenceBackend } from '../../src/backends/reference.ts'
import { backward } from '../../src/engine/backward.ts'
import { contextWidth } from '../../src/engine/config.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { traceForward, type Trace } from '../../src/engine/trace.ts'
import { makeMask, type UnitMask } from '../../src/masks/mask.ts'
import { MAX_GRADIENT_CONTEXT } from '../../src/ops/attention.ts'
import type { MaskPlanner } from '../../src/masks/planner.ts'
import { sameBits } from '../../src/verify/compare.ts'
import { Data } from '../../src/testing/seeded_data.ts'
import { anyData, kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { smallCase, withModel, type ModelCase } from './cases.ts'

const subject = { backend: new ReferenceBackend(), load: LanguageModel.load }
const llama: ModelCase['llama'] = {
  groups: 1,
  pairs: 2,
  biases: false,
  rotary: { base: 10_000, scaling: null },
  epsilon: 1e-5,
}

function maskOf({ shape }: LanguageModel, data: Data): UnitMask {
  const table = (name: string, units: number): Float32Array =>
    data.numbers(name, [shape.layers, units], (stream) => stream.uniform(), 1)
  return makeMask(shape, table('mask of heads', shape.heads), table('mask of neurons', shape.neurons))
}

/** The trace of what follows the first tokens of another trace. */
type After = (trace: Trace, length: number, mask: UnitMask | null) => Trace

const after: After = (trace, length, mask) =>
  traceForward(trace.model, trace.tokens.slice(length), { mask, after: { trace, length } })

const bits = lawForAll(
  'a trace after a prompt has the logits of a sequence whose prompt ran dense',
  {
    weights: fc.integer(),
    isLlama: fc.boolean(),
    isMasked: fc.boolean(),
    length: fc.integer({ min: 1, max: 7 }),
    data: anyData,
  },
  (make: After, { weights, isLlama, isMasked, length, data }) =>
    withModel(subject, { ...smallCase, seed: weights, positions: 9, ...(isLlama && { llama }) }, (model) => {
      const tokens = data.ids('tokens', 8, model.config.vocabulary)
      const mask = isMasked ? maskOf(model, data) : null
      const whole = traceForward(model, tokens)
      const rest = make(whole, length, mask)
      const planner: MaskPlanner = {
        name: 'given',
        prefill: 'dense',
        by: 'attention',
        choose: () => mask as UnitMask,
      }
      const sequence = model.begin({ mode: 'simulate', ...(mask && { planner }) })
      try {
        sequence.feed(tokens.slice(0, length), 'none')
        sameBits('logits', rest.logits(), sequence.feed(tokens.slice(length), 'all'))
        expect([rest.past, rest.length]).toEqual([length, 8 - length])
      } finally {
        for (const one of [sequence, rest, whole]) one.dispose()
      }
    }),
)
stateLaw(bits, after)

test('a trace that finds no room says so, wherever it is missing, and leaves nothing', async () => {
  const backend = new ReferenceBackend()
  await withModel({ backend, load: LanguageModel.load }, smallCase, (model) => {
    const before = backend.liveBuffers
    const tokens = Int32Array.of(1, 2, 0)
    const noRoom = new Error('no room')
    let left = 0
    for (const name of ['upload', 'allocate'] as const) {
      const right = backend[name].bind(backend) as (...all: never[]) => never
      Object.defineProperty(backend, name, {
        configurable: true,
        value: (...all: never[]): never => {
          if (left-- === 0) throw noRoom
          return right(...all)
        },
      })
    }
    for (let calls = 0; ; calls++) {
      left = calls
      try {
        traceForward(model, tokens).dispose()
        expect(calls).toBeGreaterThan(10)
        return
      } catch (error) {
        expect(error).toBe(noRoom)
      }
      expect(backend.liveBuffers).toBe(before)
    }
  })
})

test('gradients are of so many tokens as the kernel takes, the prompt included', async () => {
  await withModel(subject, smallCase, (model) => {
    const trace = traceForward(model, Int32Array.of(0))
    const long = Object.assign(Object.create(trace) as typeof trace, { past: MAX_GRADIENT_CONTEXT })
    expect(() => backward(model, long, Int32Array.of(0))).toThrow(
      `trace: expected at most ${MAX_GRADIENT_CONTEXT} tokens to take gradients of, got ${MAX_GRADIENT_CONTEXT + 1}`,
    )
    trace.dispose()
  })
})

test('a prompt under the mask, one token less of it and no prompt are found', async () => {
  await kills(bits, (trace, length, mask) => {
    const prompt = traceForward(trace.model, trace.tokens, { mask })
    const made = traceForward(trace.model, trace.tokens.slice(length), {
      mask,
      after: { trace: prompt, length },
    })
    prompt.dispose()
    return made
  })
  await kills(bits, (trace, length, mask) =>
    traceForward(trace.model, trace.tokens.slice(length), {
      mask,
      after: { trace, length: Math.max(1, length - 1) },
    }),
  )
  await kills(bits, (trace, length, mask) => traceForward(trace.model, trace.tokens.slice(length), { mask }))
})

test('where nothing comes back to the prompt, gradients are those of the whole text', () =>
  withModel(subject, { ...smallCase, layers: 1, positions: 9, llama }, (model) => {
    // In the last layer the prompt is read as keys and values only, which lead nowhere but to layers below.
    const tokens = new Data(3).ids('tokens', 8, model.config.vocabulary)
    const labels = tokens.map((id, t) => (t < 4 ? -100 : id))
    const whole = traceForward(model, tokens)
    const rest = after(whole, 3, null)
    const [one, other] = [backward(model, whole, labels), backward(model, rest, labels.slice(3))]
    const [C, F] = [contextWidth(model.config), model.config.neurons]
    sameBits('heads', other.headOut(0), one.headOut(0).slice(3 * C))
    sameBits('neurons', other.fc1Act(0), one.fc1Act(0).slice(3 * F))
    for (const made of [one, other, whole, rest]) made.dispose()
  }))

test('a prompt of another model, of too many tokens or after another prompt is refused, and so are gradients of parameters', () =>
  withModel(subject, { ...smallCase, positions: 9 }, (model) =>
    withModel(subject, { ...smallCase, positions: 9, seed: 2 }, (stranger) => {
      const tokens = new Data(4).ids('tokens', 6, model.config.vocabulary)
      const whole = traceForward(model, tokens)
      const rest = after(whole, 4, null)
      const refused = { code: 'TRACE' }
      const begin = (by: LanguageModel, trace: Trace, length: number) => (): Trace =>
        traceForward(by, tokens.slice(4), { after: { trace, length } })
      for (const [by, trace, length] of [
        [stranger, whole, 4],
        [model, whole, 7],
        [model, whole, 0],
        [model, rest, 1],
      ] as const)
        expect(begin(by, trace, length)).toThrow(expect.objectContaining(refused))
      expect(() => backward(model, rest, rest.tokens, { parameters: true })).toThrow(
        expect.objectContaining(refused),
      )
      rest.dispose()
      whole.dispose()
    }),
  ))
