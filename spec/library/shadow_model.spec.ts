/**
 * The library's door: what it promises to those who hold it right, and what it says to those who do not.
 *
 * Tests src/library/collect_text.ts and src/tensor/ndarrays.ts.
 */
import fc from 'fast-check'
import ndarray from 'ndarray'
import { readFileSync } from 'node:fs'
import { afterAll, describe, expect, test } from 'vitest'
import {
  collectText,
  denseMask,
  InputError,
  HubError,
  MissingError,
  ShadowModel,
  UsageError,
  type GenerateOptions,
  type GenerateStep,
  type Ids,
  type MaskPlanner,
} from '../../src/library/index.ts'
import { withSequence } from '../../src/engine/language_model.ts'
import { shiftLabels } from '../../src/engine/loss.ts'
import { argmax } from '../../src/engine/sampling.ts'
import { fixtures } from '../golden/golden.ts'
import { law } from '../harness/seed.ts'
import { strictNames } from '../harness/strict.ts'

interface KnownText {
  text: string
  input_ids: number[]
  mean_nll: number
  greedy_ids: number[]
  greedy_text: string
}

const known = JSON.parse(readFileSync(`${fixtures}tiny-opt/expected.json`, 'utf8')) as KnownText[]
const opt = await ShadowModel.fromPretrained()
const tiny = await ShadowModel.fromPretrained(`${fixtures}golden/preln`)
afterAll(async () => {
  await opt.dispose()
  await tiny.dispose()
})

async function collect(
  from: ShadowModel,
  prompt: string | Ids,
  options?: GenerateOptions,
): Promise<{ text: string; tokens: number[]; steps: GenerateStep[] }> {
  const steps: GenerateStep[] = []
  for await (const step of from.generate(prompt, options)) steps.push(step)
  return { text: steps.map((step) => step.text).join(''), tokens: steps.map((step) => step.token), steps }
}

/** The code of the error a piece of work ends with. */
async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'no error',
    (error: unknown) => (error instanceof Error && 'code' in error ? String(error.code) : String(error)),
  )
}

describe('the embedded model', () => {
  test.each(known)('writes on from "$text" as it did when it was made', async (expected) => {
    const { tokens, text } = await collect(opt, expected.text, { maxTokens: 32 })
    expect(tokens).toEqual(expected.greedy_ids)
    expect(text).toBe(expected.greedy_text)
  })

  test.each(known)('finds "$text" as likely as it did then', async ({ text, mean_nll: nll }) => {
    const found = await opt.perplexity(text)
    expect(Math.log(found.tokenPerplexity)).toBeCloseTo(nll, 4)
    expect(found.words).toBe(text.split(' ').length)
    expect(Math.log(found.wordPerplexity) * found.words).toBeCloseTo(found.nll, 6)
  })

  test('finds a window as likely in pieces as at once, to the last bit', async () => {
    const text = known
      .map(({ text }) => text)
      .join(' ')
      .repeat(4)
    const ids = Int32Array.from(opt.encode(text, { prefix: true }))
    expect(ids.length).toBeGreaterThan(100)
    const whole = withSequence(opt.model, {}, (sequence) => sequence.score(ids, shiftLabels(ids)))
    expect((await opt.perplexity(text)).nll).toBe(whole.reduce((total, value) => total + value, 0))
  })

  test('has a predictor whose masks raise the loss less than random ones', async () => {
    const nll = async (planner: 'shadow' | 'random'): Promise<number> => {
      let total = 0
      for (const { input_ids: ids } of known) {
        const { logits } = await opt.forward(ids, { planner, sparsity: 0.6, seed: 1 })
        for (let t = 0; t + 1 < ids.length; t++) {
          const row = logits.data.subarray(t * logits.shape[1], (t + 1) * logits.shape[1]) // [V]
          total += Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0)) - row[ids[t + 1]]
        }
      }
      return total
    }
    expect(await nll('shadow')).toBeLessThan(await nll('random'))
  })

  test('gives the same bits on every strict backend', async () => {
    const shapes = await Promise.all(
      strictNames.map(async (backend) => {
        const one = await ShadowModel.fromPretrained(`${fixtures}golden/preln`, { backend })
        const { logits } = await one.forward([5, 6, 7, 8])
        await one.dispose()
        expect(logits.shape).toEqual([4, 99])
        return [...logits.data]
      }),
    )
    for (const other of shapes) expect(other).toEqual(shapes[0])
  })

  test('scores a text longer than its context in pieces', async () => {
    const long = known
      .map(({ text }) => text)
      .join(' ')
      .repeat(12)
    const found = await opt.perplexity(long)
    expect(found.tokens).toBeGreaterThan(opt.config.positions)
    expect(found.tokens).toBe(opt.encode(long).length)
    expect(found.tokenPerplexity).toBeLessThan(1000)
  })
})

describe('generate', () => {
  test('a repetition penalty counts the prompt and every token so far', async () => {
    const text = async (repetitionPenalty?: number): Promise<number[]> =>
      (await collect(opt, 'The', { maxTokens: 40, repetitionPenalty })).tokens
    const plain = await text()
    expect(await text(1)).toEqual(plain)
    expect(new Set(plain).size).toBeLessThan(plain.length)
    const penalised = await text(1e9)
    expect(new Set(penalised).size).toBe(penalised.length)
    const [the] = opt.encode('The')
    expect(penalised).not.toContain(the)
  })

  test('collectText is its whole text, its tokens and its end', async () => {
    const options = { maxTokens: 12 }
    const { text, tokens } = await collect(opt, 'The captain', options)
    expect(await collectText(opt.generate('The captain', options))).toEqual({ text, tokens, end: 'length' })
    expect(await codeOf(collectText(opt.generate('')))).toBe('PROMPT')
  })

  test('counts its steps, and states why it ended', async () => {
    const text = opt.generate('The captain', { maxTokens: 3 })
    for (let index = 0; index < 3; index++)
      expect((await text.next()).value).toMatchObject({ index, token: expect.any(Number) })
    expect(await text.next()).toEqual({ done: true, value: 'length' })
  })

  test('ends at the context length by default', async () => {
    const prompt = new Int32Array(opt.config.positions - 5).fill(300)
    expect((await collect(opt, prompt)).tokens).toHaveLength(5)
  })

  law(
    'a seed generates the same text again, and its pieces are the text of its tokens',
    {
      seed: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
      temperature: fc.double({ min: 0.1, max: 3, noNaN: true }),
    },
    async ({ seed, temperature }) => {
      const options = { seed, temperature, topK: 500, topP: 0.98, maxTokens: 6 }
      const [first, second] = [await collect(opt, 'The sea', options), await collect(opt, 'The sea', options)]
      expect(second.tokens).toEqual(first.tokens)
      expect(first.text).toBe(opt.tokenizer?.decode(first.tokens, { skipSpecial: true }))
    },
    { runs: 12 },
  )

  test('several generations at once equal each alone', async () => {
    const prompts = known.map(({ text }) => text)
    const options = { maxTokens: 10, planner: 'random', seed: 3, sparsity: 0.4 } as const
    const alone: number[][] = []
    for (const prompt of prompts) alone.push((await collect(opt, prompt, options)).tokens)
    const texts = prompts.map((prompt) => opt.generate(prompt, options))
    const together: number[][] = prompts.map(() => [])
    for (let n = 0; n < 10; n++)
      for (const [i, text] of texts.entries()) {
        const { value } = await text.next()
        if (typeof value === 'object') together[i].push(value.token)
      }
    expect(together).toEqual(alone)
    for (const text of texts) await text.return('length')
  })

  test('skipping equals simulating, at any sparsity', async () => {
    for (const planner of ['random', 'shadow'] as const)
      for (const sparsity of [0, 0.5, 0.9, 1]) {
        const options = { planner, sparsity, maxTokens: 4 }
        const skipped = await collect(opt, 'Once upon', options)
        expect(skipped.tokens).toEqual(
          (await collect(opt, 'Once upon', { ...options, mode: 'simulate' })).tokens,
        )
      }
  })

  test('over an int8 cache equals the model over one', async () => {
    const { tokens } = await collect(opt, known[0].text, { cache: 'int8', maxTokens: 8 })
    const ids = Int32Array.of(...known[0].input_ids, ...tokens)
    const sequence = opt.model.begin({ cache: 'int8' })
    const logits = sequence.feed(ids, 'all')
    sequence.dispose()
    const V = opt.config.vocabulary
    tokens.forEach((token, i) => {
      const row = known[0].input_ids.length - 1 + i
      expect(argmax(logits.subarray(row * V, (row + 1) * V))).toBe(token)
    })
  })

  test('calls a custom planner once, with the prompt', async () => {
    const asked: number[] = []
    const planner: MaskPlanner = {
      name: 'mine',
      by: 'attention',
      choose({ context, tokens }) {
        asked.push(tokens, context.length)
        return denseMask(opt.model.shape)
      },
    }
    const { tokens } = await collect(opt, known[0].text, { planner, maxTokens: 8 })
    expect(tokens).toEqual(known[0].greedy_ids.slice(0, 8))
    expect(asked).toEqual([known[0].input_ids.length, known[0].input_ids.length * opt.config.width])
  })

  test('leaving the loop early frees the sequence', async () => {
    const before = opt.model.backend.liveBuffers
    for await (const step of opt.generate('The captain')) if (step.index === 2) break
    expect(opt.model.backend.liveBuffers).toBe(before)
  })
})

test('a mask in place of a planner is refused, and givenMask is named', async () => {
  const mask = await opt.mask('a', { planner: 'random' })
  const refused = collect(opt, 'a', { planner: mask as unknown as 'random' })
  await expect(refused).rejects.toThrow(expect.objectContaining({ code: 'OPTION_TYPE' }))
  await expect(refused).rejects.toThrow('a mask is given back by givenMask')
})

test('a stop text ends the text before it, wherever tokens begin; the end is stop', async () => {
  const prompt = 'Once upon a time'
  const whole = await collectText(opt.generate(prompt, { maxTokens: 12 }))
  const { text } = whole
  for (let start = 0; start < text.length; start++)
    for (const length of [1, 3, 7]) {
      const stop = text.slice(start, start + length)
      const cut = await collectText(opt.generate(prompt, { maxTokens: 12, stop: ['\u0001', stop] }))
      expect(cut.text).toBe(text.slice(0, text.indexOf(stop)))
      expect(cut.end).toBe('stop')
      expect(whole.tokens.slice(0, cut.tokens.length)).toEqual(cut.tokens)
    }
  // What may begin a stop text is held back, and shown at the end.
  const held = await collectText(opt.generate(prompt, { maxTokens: 12, stop: `${text.slice(-4)}\u0001` }))
  expect(held).toEqual(whole)
})

describe('forward', () => {
  test('padding changes nothing', async () => {
    const ids = [5, 6, 7]
    const { logits: alone } = await tiny.forward(ids)
    const { logits } = await tiny.forward({
      input_ids: ndarray(Int32Array.of(1, 5, 6, 7, 9, 8, 7, 6), [2, 4]),
      attention_mask: [
        [0, 1, 1, 1],
        [1, 1, 1, 1],
      ],
    })
    expect(logits.shape).toEqual([2, 4, 99])
    expect(logits.data.slice(99, 4 * 99)).toEqual(alone.data)
    expect(logits.pick(0, 0).get(7)).toBe(0)
    expect(logits.get(0, 2, 50)).toBe(alone.get(1, 50))
  })
})

describe('every argument is checked', () => {
  const generate = (prompt: string | Ids, options?: GenerateOptions) => () => collect(opt, prompt, options)
  test.each<[string, string, () => Promise<unknown>]>([
    ['an empty prompt', 'PROMPT', generate('')],
    ['no ids', 'PROMPT', generate([])],
    ['messages as a prompt', 'PROMPT', generate([{ role: 'user', content: 'a' }] as never)],
    ['a session without a name', 'PATH', () => opt.openSession('')],
    ['a negative id', 'TOKENS', generate([-1])],
    ['an id outside the vocabulary', 'TOKENS', generate([4096])],
    ['half an id', 'TOKENS', generate([1.5])],
    ['an id that is text', 'TOKENS', generate(['2'] as unknown as number[])],
    ['a prompt as long as the context', 'CONTEXT_LENGTH', generate(new Int32Array(256).fill(5))],
    ['a long text', 'CONTEXT_LENGTH', generate('word '.repeat(1000))],
    ['more tokens than there is room for', 'CONTEXT_LENGTH', generate([2, 3], { maxTokens: 255 })],
    ['a negative length', 'MAX_TOKENS', generate('a', { maxTokens: -1 })],
    ['a sparsity above 1', 'SPARSITY', generate('a', { planner: 'random', sparsity: 1.2 })],
    ['a sparsity above 1 that nobody uses', 'SPARSITY', generate('a', { sparsity: 1.2 })],
    ['NaN as sparsity', 'SPARSITY', generate('a', { planner: 'shadow', sparsity: NaN })],
    ['an unknown planner', 'PLANNER', generate('a', { planner: 'oracle' as 'random' })],
    ['an unknown mode', 'MODE', generate('a', { mode: 'guess' as 'skip' })],
    ['an unknown cache', 'CACHE', generate('a', { cache: 'int4' as 'int8' })],
    ['an empty stop text', 'STOP', generate('a', { stop: ['b', ''] })],
    ['half a surrogate pair as a stop text', 'STOP', generate('a', { stop: '\ud800' })],
    ['a misspelt stop', 'OPTION_NAME', generate('a', { stopSequences: ['b'] } as object)],
    ['a negative temperature', 'TEMPERATURE', generate('a', { temperature: -1 })],
    ['a top-k of 0', 'TOP_K', generate('a', { temperature: 1, topK: 0 })],
    ['a top-p below 0', 'TOP_P', generate('a', { temperature: 1, topP: -0.1 })],
    ['a repetition penalty of 0', 'REPETITION_PENALTY', generate('a', { repetitionPenalty: 0 })],
    ['a temperature beside a sampler', 'SAMPLER', generate('a', { sampler: argmax, temperature: 1 })],
    ['a sampler that returns no id', 'SAMPLER', generate('a', { sampler: () => 4096 })],
    ['a sampler that returns nothing', 'SAMPLER', generate('a', { sampler: (() => {}) as () => number })],
    ['rows of two lengths', 'BATCH_SHAPE', () => opt.forward({ input_ids: [[1, 2], [3]] })],
    ['an empty batch', 'BATCH_SHAPE', () => opt.forward({ input_ids: [] })],
    ['a flat batch', 'BATCH_SHAPE', () => opt.forward({ input_ids: ndarray(Int32Array.of(1, 2)) })],
    [
      'a mask of another size',
      'BATCH_SHAPE',
      () => opt.forward({ input_ids: [[1, 2]], attention_mask: [[1]] }),
    ],
    [
      'a mask with a hole',
      'MASK_NOT_CONTIGUOUS',
      () => opt.forward({ input_ids: [[1, 2, 3]], attention_mask: [[1, 0, 1]] }),
    ],
    ['no tokens', 'TOKENS', () => opt.forward([])],
    ['an empty text', 'PROMPT', () => opt.perplexity('')],
    ['half a surrogate pair', 'TEXT_SURROGATE', () => opt.perplexity('a\ud800')],
    ['text without a tokenizer', 'TOKENIZER_MISSING', () => collect(tiny, 'a')],
    ['a planner without its predictor', 'PREDICTOR_MISSING', () => collect(tiny, [5], { planner: 'shadow' })],
    ['no predictor file', 'FILE_MISSING', () => opt.loadPredictor(`${fixtures}none.safetensors`)],
    [
      'weights as a predictor',
      'PREDICTOR_CARD',
      () => opt.loadPredictor(`${fixtures}tiny-opt/model.safetensors`),
    ],
    [
      'another file as a predictor',
      'PREDICTOR_CARD',
      () => opt.loadPredictor(`${fixtures}tiny-opt/config.json`),
    ],
    [
      'the predictor of another model',
      'PREDICTOR_MODEL',
      () => tiny.loadPredictor(`${fixtures}tiny-opt/predictor.safetensors`),
    ],
    ['no such folder', 'MODEL_MISSING', () => ShadowModel.fromPretrained(`${fixtures}none`)],
    ['a folder that is no model', 'MODEL_CONFIG', () => ShadowModel.fromPretrained(fixtures)],
    [
      'a name on the hub',
      'HUB_OFFLINE',
      () => ShadowModel.fromPretrained('nobody/nothing', { offline: true }),
    ],
    [
      'a revision of a folder',
      'HUB_REVISION',
      () => ShadowModel.fromPretrained('embedded', { revision: 'main' }),
    ],
    [
      'an unknown backend',
      'BACKEND_NAME',
      () => ShadowModel.fromPretrained('embedded', { backend: 'cpu' as 'wasm' }),
    ],
  ])('%s is %s', async (_, code, work) => {
    const before = opt.model.backend.liveBuffers
    expect(await codeOf(work())).toBe(code)
    expect(opt.model.backend.liveBuffers, 'buffers left behind').toBe(before)
  })

  test('refusals have the error class of their exit code', async () => {
    await expect(collect(opt, '')).rejects.toThrow(UsageError)
    await expect(ShadowModel.fromPretrained(fixtures)).rejects.toThrow(InputError)
    await expect(collect(tiny, [5], { planner: 'shadow' })).rejects.toThrow(MissingError)
    const absent = ShadowModel.fromPretrained('nobody/nothing', { offline: true })
    await expect(absent).rejects.toThrow(HubError)
  })
})

describe('an abort signal is obeyed', () => {
  test('before and while loading', async () => {
    await expect(
      ShadowModel.fromPretrained('embedded', { signal: AbortSignal.abort() }),
    ).rejects.toMatchObject({ name: 'AbortError' })
    const stop = new AbortController()
    const loaded: string[] = []
    const load = ShadowModel.fromPretrained('embedded', {
      signal: stop.signal,
      onProgress: (progress) => {
        loaded.push(progress.name)
        if (loaded.length === 3) stop.abort()
      },
    })
    await expect(load).rejects.toMatchObject({ name: 'AbortError' })
    expect(new Set(loaded).size).toBe(3)
    expect(loaded).toHaveLength(3)
  })

  test('before the prompt, between tokens, from a timer, and in the other calls', async () => {
    const before = opt.model.backend.liveBuffers
    const aborted = AbortSignal.abort(new Error('enough'))
    await expect(collect(opt, 'a', { signal: aborted })).rejects.toThrow('enough')
    await expect(opt.forward([2], { signal: aborted })).rejects.toThrow('enough')
    await expect(opt.perplexity('a', { signal: aborted })).rejects.toThrow('enough')
    const stop = new AbortController()
    const steps: GenerateStep[] = []
    const text = async (): Promise<void> => {
      for await (const step of opt.generate('a', { signal: stop.signal })) {
        steps.push(step)
        if (step.index === 1) stop.abort()
      }
    }
    await expect(text()).rejects.toMatchObject({ name: 'AbortError' })
    expect(steps).toHaveLength(2)
    const timed = async (): Promise<void> => {
      // The reader takes longer than a turn of the loop may, so timers run between tokens, however fast those are.
      for await (const { index } of opt.generate('a', { maxTokens: 200, signal: AbortSignal.timeout(1) }))
        if (index === 0) for (const start = performance.now(); performance.now() - start < 50;);
    }
    await expect(timed()).rejects.toMatchObject({ name: 'TimeoutError' })
    expect(opt.model.backend.liveBuffers).toBe(before)
  })
})

describe('after dispose', () => {
  test('every call throws DISPOSED, and a second disposal has no effect', async () => {
    const one = await ShadowModel.fromPretrained(`${fixtures}golden/preln`)
    await one.dispose()
    await one.dispose()
    for (const work of [
      () => collect(one, [5]),
      () => one.forward([5]),
      () => one.perplexity('a'),
      () => one.loadPredictor('none'),
    ])
      expect(await codeOf(work())).toBe('DISPOSED')
  })

  test('a running generation ends with DISPOSED, and all memory is freed', async () => {
    const one = await ShadowModel.fromPretrained(`${fixtures}golden/preln`)
    const { backend } = one.model
    const running = one.generate([5, 6], { maxTokens: 10 })
    await running.next()
    const waiting = one.generate([7], { maxTokens: 10 })
    await one.dispose()
    expect(backend.liveBuffers).toBe(0)
    expect(await codeOf(running.next())).toBe('DISPOSED')
    expect(await codeOf(waiting.next())).toBe('DISPOSED')
  })

  test('`await using` disposes', async () => {
    const one = await ShadowModel.fromPretrained(`${fixtures}golden/preln`)
    await one[Symbol.asyncDispose]()
    expect(await codeOf(one.forward([5]))).toBe('DISPOSED')
  })
})
