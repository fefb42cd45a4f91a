/**
 * Generation, batches and sequences as their users meet them: what ends a text, what is refused, what is freed.
 *
 * Tests src/engine/batch.ts and src/engine/next_tokens.ts.
 */
import { afterAll, describe, expect, test, vi } from 'vitest'
import type { Backend } from '../../src/backends/backend.ts'
import { createBackend } from '../../src/backends/select.ts'
import { denseMask, makeMask } from '../../src/masks/mask.ts'
import type { MaskPlanner, PlannerBy } from '../../src/masks/planner.ts'
import { unpad } from '../../src/engine/batch.ts'
import { generateTokens, type GenerateOptions, type TextRun } from '../../src/engine/generate.ts'
import { cacheStorages } from '../../src/engine/layer_cache.ts'
import type { LanguageModel } from '../../src/engine/language_model.ts'
import { argmax, makeSampler } from '../../src/engine/sampling.ts'
import { backward } from '../../src/engine/backward.ts'
import { traceForward } from '../../src/engine/trace.ts'
import { LanguageModel as Model } from '../../src/engine/language_model.ts'
import { overBackends } from '../harness/backends.ts'
import { sameBits } from '../../src/verify/compare.ts'
import { feedOnce, smallCase, withModel, type ModelCase } from './cases.ts'

const model: ModelCase = {
  ...smallCase,
  heads: 3,
  headSize: 4,
  neurons: 20,
  vocabulary: 40,
  positions: 24,
  tied: false,
  seed: 5,
}
const prompt = Int32Array.of(2, 7, 11)

const whole = denseMask({ layers: model.layers, heads: model.heads, neurons: model.neurons })
/** A planner that keeps every unit. */
const keepsAll = (more: Partial<PlannerBy<'attention'>>): MaskPlanner => ({
  name: 'whole',
  by: 'attention',
  choose: () => whole,
  ...more,
})
/** The same after a dense prompt. */
const late = (more: Partial<PlannerBy<'attention'>>): MaskPlanner => keepsAll({ prefill: 'dense', ...more })

const withLoaded = (backend: Backend, work: (loaded: LanguageModel) => void | Promise<void>): Promise<void> =>
  withModel({ backend, load: Model.load }, model, work)

/** Runs a generation to its end. */
async function collect(
  loaded: LanguageModel,
  options: GenerateOptions,
): Promise<{ tokens: number[]; end: string }> {
  const steps = generateTokens(loaded, prompt, options)
  const tokens: number[] = []
  for (;;) {
    const { done, value } = await steps.next()
    if (done) return { tokens, end: value }
    expect(value.index).toBe(tokens.length)
    tokens.push(value.token)
  }
}

overBackends((backend) => {
  describe('a text', () => {
    test.each(cacheStorages)('over a cache of %s is what feeding it all again would choose', (cache) =>
      withLoaded(backend, async (loaded) => {
        const text = [...prompt]
        const steps = generateTokens(loaded, prompt, { maxTokens: 9, stopIds: [], cache })
        for await (const { token, logits } of steps) {
          const V = model.vocabulary
          const again = feedOnce(loaded, Int32Array.from(text), { cache }).subarray((text.length - 1) * V)
          sameBits('logits', logits, again)
          expect(token).toBe(argmax(again))
          text.push(token)
        }
        expect(text.length).toBe(prompt.length + 9)
      }),
    )

    test('ends at a stop id, which is not handed out, or at its length', () =>
      withLoaded(backend, async (loaded) => {
        const whole = await collect(loaded, { maxTokens: 12, stopIds: [] })
        expect(whole.end).toBe('length')
        const stop = whole.tokens[4]
        const cut = await collect(loaded, { maxTokens: 12, stopIds: [stop] })
        expect(cut).toEqual({ tokens: whole.tokens.slice(0, whole.tokens.indexOf(stop)), end: 'stop' })
        expect(await collect(loaded, { maxTokens: 0 })).toEqual({ tokens: [], end: 'length' })
      }))

    test('fills the positions exactly and not one more', () =>
      withLoaded(backend, async (loaded) => {
        const room = model.positions - prompt.length
        const { tokens } = await collect(loaded, { maxTokens: room, stopIds: [] })
        expect(tokens.length).toBe(room)
        await expect(collect(loaded, { maxTokens: room + 1 })).rejects.toThrow(
          expect.objectContaining({ code: 'CONTEXT_LENGTH', exitCode: 2 }),
        )
        await expect(collect(loaded, { maxTokens: -1 })).rejects.toThrow(
          expect.objectContaining({ code: 'MAX_TOKENS' }),
        )
      }))

    test('leaves nothing behind when its reader leaves, or aborts it', () =>
      withLoaded(backend, async (loaded) => {
        const before = backend.liveBuffers
        for await (const { index } of generateTokens(loaded, prompt, { maxTokens: 9, stopIds: [] }))
          if (index === 2) break
        expect(backend.liveBuffers).toBe(before)
        const abort = new AbortController()
        const reading = (async () => {
          let last = -1
          for await (const { index } of generateTokens(loaded, prompt, {
            maxTokens: 9,
            stopIds: [],
            signal: abort.signal,
          })) {
            last = index
            if (index === 2) abort.abort()
          }
          return last
        })()
        await expect(reading).rejects.toThrow(/abort/i)
        expect(backend.liveBuffers).toBe(before)
        await expect(collect(loaded, { maxTokens: 9, signal: abort.signal })).rejects.toThrow(/abort/i)
      }))

    test('is left while the prompt is read, and leaves nothing behind', () =>
      withModel({ backend, load: Model.load }, { ...model, positions: 64 }, async (loaded) => {
        const before = backend.liveBuffers
        const abort = new AbortController()
        const onPrompt = vi.fn<() => void>()
        let time = 0
        const clock = vi.spyOn(performance, 'now').mockImplementation(() => (time += 1000))
        const long = Int32Array.from({ length: 40 }, (_, i) => prompt[i % prompt.length])
        const reading = generateTokens(loaded, long, { maxTokens: 1, signal: abort.signal, onPrompt }).next()
        setTimeout(() => abort.abort())
        await expect(reading).rejects.toThrow(/abort/i)
        clock.mockRestore()
        expect(onPrompt).not.toHaveBeenCalled()
        expect(backend.liveBuffers).toBe(before)
      }))

    test('is replayed by a seed, under a mask too', () =>
      withLoaded(backend, async (loaded) => {
        const mask = denseMask(loaded.shape)
        mask.heads[1] = 0
        const run = (seed: number): Promise<{ tokens: number[] }> =>
          collect(loaded, {
            maxTokens: 20,
            stopIds: [],
            mask,
            sampler: makeSampler({ temperature: 2, seed }),
          })
        expect(await run(1)).toEqual(await run(1))
        expect(await run(1)).not.toEqual(await run(2))
      }))
  })

  describe('a sequence refuses', () => {
    const code = (expected: string): Error =>
      expect.objectContaining({ code: expected, exitCode: 2 }) as Error

    test('no tokens, strange tokens, too many tokens, and goes on unharmed', () =>
      withLoaded(backend, (loaded) => {
        const sequence = loaded.begin()
        expect(() => sequence.feed(new Int32Array(0))).toThrow(code('TOKENS'))
        expect(() => sequence.feed(Int32Array.of(1, 40))).toThrow('expected ids from 0 to 39, got 40')
        expect(() => sequence.feed(Int32Array.of(-1))).toThrow(code('TOKENS'))
        expect(() => sequence.feed(new Int32Array(25))).toThrow(code('CONTEXT_LENGTH'))
        expect(() => sequence.score(prompt, prompt.slice(1))).toThrow(code('LABELS'))
        expect(sequence.length).toBe(0)
        sameBits('logits', sequence.feed(prompt, 'all'), feedOnce(loaded, prompt))
        sequence.dispose()
        sequence.dispose()
        expect(() => sequence.feed(prompt)).toThrow(code('DISPOSED'))
        expect(() => traceForward(loaded, new Int32Array(25))).toThrow(code('CONTEXT_LENGTH'))
      }))

    test('masks of another model, masks it cannot skip by, a mask beside a planner', () =>
      withLoaded(backend, (loaded) => {
        const { shape } = loaded
        const other = denseMask({ ...shape, heads: 4 })
        expect(() => loaded.begin({ mask: other })).toThrow(code('MASK_SHAPE'))
        expect(() => traceForward(loaded, prompt, { mask: other })).toThrow(code('MASK_SHAPE'))
        const half = makeMask(shape, denseMask(shape).heads, new Float32Array(40).fill(0.5))
        expect(() => loaded.begin({ mask: half })).toThrow(code('MASK_VALUE'))
        loaded.begin({ mask: half, mode: 'simulate' }).dispose()
        const planner = keepsAll({})
        expect(() => loaded.begin({ mask: denseMask(shape), planner })).toThrow(code('PLANNER'))
      }))

    test('labels that do not fit a trace', () =>
      withLoaded(backend, (loaded) => {
        const trace = traceForward(loaded, prompt)
        expect(() => backward(loaded, trace, prompt.slice(1))).toThrow(code('LABELS'))
        expect(() => backward(loaded, trace, new Int32Array(3).fill(-100))).toThrow(code('LABELS'))
        expect(() => backward(loaded, trace, Int32Array.of(1, 2, 40))).toThrow(code('INDEX_RANGE'))
        expect(() => trace.headOut(2)).toThrow(code('LAYER'))
        trace.dispose()
        trace.dispose()
      }))
  })
})

describe('a generation', async () => {
  const backend = await createBackend('reference')
  afterAll(() => backend.dispose())

  /** The options of the sequence of a generation, and the number of tokens of each feed. */
  const watched = async (options: GenerateOptions): Promise<{ begun: unknown[]; fed: number[] }> => {
    const begun: unknown[] = []
    const fed: number[] = []
    await withLoaded(backend, async (loaded) => {
      const begin = loaded.begin.bind(loaded)
      loaded.begin = (given) => {
        begun.push(given)
        const sequence = begin(given)
        const feed = sequence.feed.bind(sequence)
        const feedInSteps = sequence.feedInSteps.bind(sequence)
        sequence.feedInSteps = (tokens, ...rest) => {
          fed.push(tokens.length)
          return feedInSteps(tokens, ...rest)
        }
        sequence.feed = (tokens, ...rest) => {
          fed.push(tokens.length)
          return feed(tokens, ...rest)
        }
        return sequence
      }
      await collect(loaded, { stopIds: [], ...options })
    })
    return { begun, fed }
  }

  test('feeds the prompt and every token but the last', async () => {
    expect((await watched({ maxTokens: 5 })).fed).toEqual([prompt.length, 1, 1, 1, 1])
    expect((await watched({ maxTokens: 1 })).fed).toEqual([prompt.length])
  })

  test('passes mask, planner, mode and cache to its sequence, with a capacity of exactly its tokens', async () => {
    const mask = denseMask({ layers: model.layers, heads: model.heads, neurons: model.neurons })
    const planner: MaskPlanner = { name: 'none', by: 'layer', choose: () => null }
    const room = { capacity: prompt.length + 4, expectedTokens: 3 }
    for (const options of [
      { mask, mode: 'skip', cache: 'f32' },
      { planner, mode: 'simulate', cache: 'int8' },
    ] as const) {
      const { begun } = await watched({ maxTokens: 4, ...options })
      expect(begun).toHaveLength(1)
      expect(begun[0]).toMatchObject({ ...options, ...room })
    }
  })

  test('by default ends at the </s> of its model, and draws with its sampler', () =>
    withLoaded(backend, async (loaded) => {
      const [eosId] = loaded.config.eosIds
      const ids = [5, 6, eosId, 7]
      const sampler = (): (() => number) => {
        let at = 0
        return () => ids[at++]
      }
      const until = (stopIds?: number[]): Promise<unknown> =>
        collect(loaded, { maxTokens: 4, sampler: sampler(), stopIds })
      expect(await until()).toEqual({ tokens: [5, 6], end: 'stop' })
      expect(await until([7])).toEqual({ tokens: [5, 6, eosId], end: 'stop' })
      expect(await until([])).toEqual({ tokens: ids, end: 'length' })
    }))

  test.each<[string, string, GenerateOptions]>([
    ['of no tokens', 'CHECK', { maxTokens: 4, check: 0 }],
    ['of half a token', 'CHECK', { maxTokens: 4, check: 0.5 }],
    ['under a given mask', 'PREFILL', { maxTokens: 4, check: 2, mask: whole }],
    ['after a masked prompt', 'PREFILL', { maxTokens: 4, check: 2, planner: keepsAll({}) }],
    ['of a planner asked now and then', 'EVERY', { maxTokens: 4, check: 2, planner: late({ every: 2 }) }],
    [
      'of a planner that waits for a shift',
      'EVERY',
      { maxTokens: 4, check: 2, planner: late({ every: 1, shift: 0.1 }) },
    ],
  ])('a dense check %s is refused', (_, code, options) =>
    withLoaded(backend, (loaded) =>
      expect(collect(loaded, options)).rejects.toThrow(expect.objectContaining({ code, exitCode: 2 })),
    ),
  )

  test('tells at its end how many masks were decided and what checks did, also where its reader leaves', () =>
    withLoaded(backend, async (loaded) => {
      const runs: TextRun[] = []
      const onEnd = (run: TextRun): void => void runs.push(run)
      const common = { maxTokens: 7, stopIds: [], onEnd }
      await collect(loaded, common)
      await collect(loaded, { ...common, planner: keepsAll({}) })
      await collect(loaded, { ...common, planner: keepsAll({ every: 2 }) })
      await collect(loaded, { ...common, check: 3 })
      await collect(loaded, { ...common, planner: late({}), check: 3 })
      const planner = late({})
      for await (const { index } of generateTokens(loaded, prompt, { ...common, planner, check: 3 }))
        if (index === 1) break
      const kept = { replaced: 0, dropped: 0 }
      expect(runs).toEqual([
        { decisions: 0, checked: null },
        { decisions: 1, checked: null },
        // At the last token of the prompt, then at the second, fourth and sixth after it; the seventh is not fed.
        { decisions: 4, checked: null },
        { decisions: 0, checked: null },
        { decisions: 1, checked: { checks: 2, rewound: 4, ...kept } },
        { decisions: 1, checked: { checks: 1, rewound: 2, ...kept } },
      ])
    }))

  test('drafts nothing after a token that ends the text', () =>
    withLoaded(backend, async (loaded) => {
      const { tokens } = await collect(loaded, { maxTokens: 9, stopIds: [] })
      const stop = tokens[3]
      const before = tokens.indexOf(stop)
      let run: TextRun | null = null
      const options = { maxTokens: 9, stopIds: [stop], planner: late({}), check: 9 }
      const text = await collect(loaded, { ...options, onEnd: (ended) => (run = ended) })
      expect(text).toEqual({ tokens: tokens.slice(0, before), end: 'stop' })
      // What would follow the stop token is not run.
      const checks = { checks: Math.min(1, before), rewound: before, replaced: 0, dropped: 0 }
      expect(run).toMatchObject({ checked: checks })
    }))

  test.each([-1, 0.5, NaN])('of %d tokens is refused', (maxTokens) =>
    withLoaded(backend, (loaded) =>
      expect(collect(loaded, { maxTokens })).rejects.toThrow(
        expect.objectContaining({ code: 'MAX_TOKENS', exitCode: 2 }),
      ),
    ),
  )
})

describe('padding', () => {
  const ids = Int32Array.of(1, 5, 6, 1, 7, 8, 9, 1)

  test('is removed on either side', () => {
    expect(unpad(ids, [0, 1, 1, 0, 1, 1, 1, 0], 2, 4)).toEqual([
      { row: 0, start: 1, tokens: Int32Array.of(5, 6) },
      { row: 1, start: 0, tokens: Int32Array.of(7, 8, 9) },
    ])
    expect(unpad(ids, null, 1, 8)[0].tokens).toEqual(ids)
  })

  test.each([
    ['a hole', [1, 0, 1, 1, 1, 1, 1, 1], 'row 0: expected one run of ones, got a second run at column 2'],
    ['nothing at all', [1, 1, 1, 1, 0, 0, 0, 0], 'row 1: expected one run of ones, got none'],
    ['another number', [1, 1, 1, 1, 1, 2, 1, 1], 'row 1: expected one run of ones, got 2 at column 1'],
  ])('is refused around %s', (_what, mask, message) => {
    expect(() => unpad(ids, mask, 2, 4)).toThrow(
      expect.objectContaining({
        code: 'MASK_NOT_CONTIGUOUS',
        exitCode: 3,
        message: `attention mask ${message}`,
      }),
    )
  })

  test('needs the sizes to fit', () => {
    expect(() => unpad(ids, null, 3, 4)).toThrow('inputIds: expected [3, 4], got 8 numbers')
    expect(() => unpad(ids, [1], 2, 4)).toThrow('attentionMask: expected [2, 4], got 1 numbers')
  })
})
