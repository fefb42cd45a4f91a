/**
 * Sequences that are kept for later texts: a text that goes on from one has the bits of a text that is read anew, and what is kept
 * has bounds.
 */
import fc from 'fast-check'
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest'
import { compensationBy } from '../../src/compensation/compensate.ts'
import type { BegunSequence, TextPlace } from '../../src/engine/conversation.ts'
import { cacheBytes } from '../../src/engine/kv_cache.ts'
import type { SequenceOptions } from '../../src/engine/sequence.ts'
import { ShadowModel, type PlanOptions } from '../../src/library/index.ts'
import type { Compensation } from '../../src/masks/compensation.ts'
import type { MaskPlanner } from '../../src/masks/planner.ts'
import { SequenceStore, type StoreLimits } from '../../src/server/sequence_store.ts'
import { writeText, type Written } from '../../src/server/writer.ts'
import { randomMoments } from '../compensation/random_moments.ts'
import { killsEach, lawForAll, stateLaw } from '../harness/seed.ts'
import { sameData } from '../harness/recorded.ts'
import { casesAtTier } from '../harness/tier.ts'
import { complete, eventsOf, requestOf, serverOf, type Completion } from './served.ts'

const opt = await ShadowModel.fromPretrained()
afterAll(() => opt.dispose())
const { vocabulary: V } = opt.config
const moments = randomMoments(opt.model, 1, 8)
const someId = fc.integer({ min: 3, max: V - 1 })

// ---- Texts -----------------------------------------------------------------------------------------------------------

const planners = ['dense', 'random', 'shadow', 'griffin', 'prompt-plainact'] as const

interface Text {
  /** Which of the texts before it goes on from, counted back; 0 for none. */
  readonly after: number
  /** The share of that which stays, and what is added. */
  readonly keeps: number
  readonly adds: readonly number[]
  readonly planner: (typeof planners)[number]
  /** The share of the prompt in what makes up for skipped units; null: zeros stand for these. */
  readonly promptShare: number | null
  readonly every: boolean
  readonly check: boolean
  readonly maxTokens: number
}

const someText: fc.Arbitrary<Text> = fc.record({
  after: fc.constantFrom(1, 1, 2, 3, 0),
  keeps: fc.constantFrom(1, 1, 0.9, 0.6),
  adds: fc.array(someId, { minLength: 2, maxLength: 40 }),
  planner: fc.constantFrom(...planners),
  promptShare: fc.constantFrom(null, null, 0, 0.5),
  every: fc.boolean(),
  check: fc.boolean(),
  maxTokens: fc.integer({ min: 1, max: 4 }),
})
/** Texts that are mostly alike, as those of a client are. */
const someTexts = fc
  .tuple(fc.array(someText, { minLength: 2, maxLength: 4 }), fc.boolean())
  .map(([texts, alike]) =>
    alike
      ? texts.map((text) => {
          const { planner, promptShare, check } = texts[0]
          return { ...text, planner, promptShare, check, every: false }
        })
      : texts,
  )

/** Keeps sequences. */
type Kept = Pick<SequenceStore, 'place' | 'dispose' | 'size'>
type Maker = new (limits: StoreLimits) => Kept

/** A text that is being written. */
interface Writing {
  readonly steps: ReturnType<typeof writeText>
  readonly ids: readonly number[]
  /** Its tokens, and the log-probabilities of the likeliest in their places. */
  readonly tokens: number[]
  readonly scores: number[]
  written: Written | null
}

/** The planner of some options; the texts of which the moments are taken are drawn. */
async function plannerOf(
  { promptShare, ...asked }: PlanOptions,
  make: ShadowModel['planner'] = (options) => opt.planner(options),
): Promise<MaskPlanner | null> {
  const planner = await make(asked)
  if (planner === null || promptShare === undefined) return planner
  const compensation = compensationBy(moments, { by: 'least-squares', promptShare })
  return { ...planner, compensation, ...(promptShare > 0 && { prefill: 'dense' }) }
}

async function begin(text: Text, ids: readonly number[], kept: Kept | null): Promise<Writing> {
  const { planner: name, promptShare, every, check, maxTokens } = text
  const checks = check && name === 'griffin'
  const asked = {
    planner: name,
    seed: 3,
    ...(name !== 'dense' && { sparsity: 0.5 }),
    ...(every && (name === 'random' || name === 'shadow') && { every: 2 }),
    ...(checks && { check: 2 }),
    ...(promptShare !== null && name !== 'dense' && { promptShare }),
  }
  const task = {
    ids: Int32Array.from(ids),
    maxTokens,
    sampling: {},
    planner: await plannerOf(asked),
    check: checks ? 2 : undefined,
    stopIds: new Set<number>(),
    stops: [],
    likeliest: 3,
    echo: null,
    maskTokens: 1,
    continues: true,
  }
  const tokenizer = opt.tokenizer as NonNullable<typeof opt.tokenizer>
  const steps = writeText(opt.model, tokenizer, task, kept?.place(JSON.stringify(asked)))
  return { steps, ids, tokens: [], scores: [], written: null }
}

/** One step. @returns whether it was the last */
function step(writing: Writing): boolean {
  const { done, value } = writing.steps.next()
  if (done) writing.written = value
  else
    for (const { token, top } of value?.scores ?? []) {
      writing.tokens.push(token)
      writing.scores.push(...(top ?? []).flatMap((likely) => [likely.token, likely.logprob]))
    }
  return done === true
}

/** Writes texts, as many at a time as said. @returns each with what it shows */
async function write(texts: readonly Text[], atOnce: number, kept: Kept | null): Promise<Writing[]> {
  const done: Writing[] = []
  for (let from = 0; from < texts.length; from += atOnce) {
    const begun: Writing[] = []
    for (const text of texts.slice(from, from + atOnce)) {
      const before = text.after === 0 ? undefined : done.at(-text.after)
      const all = before ? [...before.ids, ...before.tokens] : []
      const ids = [...all.slice(0, Math.min(120, Math.floor(all.length * text.keeps))), ...text.adds]
      begun.push(await begin(text, ids, kept))
    }
    const running = new Set(begun)
    while (running.size > 0) for (const writing of running) if (step(writing)) running.delete(writing)
    done.push(...begun)
  }
  return done
}

const limits: StoreLimits = { texts: 3, bytes: 2 ** 24 }

const keptIsUnseen = lawForAll(
  'a text that goes on from a kept sequence has the tokens and log-probabilities of one that is read anew',
  { texts: someTexts, atOnce: fc.constantFrom(1, 1, 2) },
  async (of: Maker, { texts, atOnce }) => {
    const { backend } = opt.model
    // What a planner needs stays from its first use on.
    const fresh = await write(texts, atOnce, null)
    const before = backend.liveBuffers
    const kept = new of(limits)
    const found = await write(texts, atOnce, kept)
    kept.dispose()
    for (const [i, { tokens, scores, written }] of fresh.entries()) {
      sameData(`tokens of text ${i}`, found[i].tokens, tokens)
      sameData(`log-probabilities of text ${i}`, found[i].scores, scores)
      sameData(`mask of text ${i}`, found[i].written?.mask ?? null, written?.mask ?? null)
    }
    expect(backend.liveBuffers).toBe(before)
  },
  { runs: casesAtTier(16, 200) },
)
stateLaw(keptIsUnseen, SequenceStore)

/** Changes the places of texts. */
const withPlaces = (change: (place: TextPlace) => TextPlace): Maker =>
  class extends SequenceStore {
    override place(key: string): TextPlace {
      return change(super.place(key))
    }
  }

/** Runs every text with some options of the first. */
const withFirst = (pick: (first: SequenceOptions) => SequenceOptions): Maker => {
  const first = new WeakMap<SequenceStore, SequenceOptions>()
  return class extends SequenceStore {
    override place(key: string): TextPlace {
      const place = super.place(key)
      const { keep } = place
      return {
        tokens: [],
        keep,
        begin: (model, prompt, options, how) => {
          const known = first.get(this) ?? options
          first.set(this, known)
          return place.begin(model, prompt, { ...options, ...pick(known) }, how)
        },
      }
    }
  }
}

killsEach('a store that %s is found', keptIsUnseen, {
  'takes one token too many for shared': (() => {
    let last: readonly number[] = []
    return withPlaces(({ tokens, begin: from, keep }) => ({
      tokens,
      begin: (model, prompt, options, how) => {
        const shared = last.findIndex((token, i) => token !== prompt[i])
        const claimed = prompt.slice()
        if (shared > 0 && shared < prompt.length - 1) claimed[shared] = last[shared]
        return from(model, claimed, options, how)
      },
      keep: (sequence, text, end) => {
        last = [...text]
        keep(sequence, text, end)
      },
    }))
  })(),
  'goes on under the planner of another text': withFirst(({ planner }) => ({ planner })),
  'gives one sequence to two texts at a time': (() => {
    let running: BegunSequence | null = null
    return withPlaces(({ tokens, begin: from, keep }) => ({
      tokens,
      *begin(model, prompt, options, how) {
        running ??= yield* from(model, prompt, options, how)
        return running
      },
      keep: (sequence, text, end) => {
        running = null
        keep(sequence, text, end)
      },
    }))
  })(),
  'makes up for skipped units by the prompt of an earlier text': (() => {
    const first = new Map<string, Float32Array>()
    return withPlaces(({ tokens, begin: from, keep }) => ({
      tokens,
      keep,
      begin: (model, prompt, options, how) => {
        const { planner } = options
        if (!planner?.compensation?.seesPrompt) return from(model, prompt, options, how)
        const fold: Compensation['fold'] = (matrix) => {
          const place = `${matrix.kind} ${matrix.layer}`
          if (matrix.prompt && !first.has(place)) first.set(place, matrix.prompt)
          return (planner.compensation as Compensation).fold({ ...matrix, prompt: first.get(place) ?? null })
        }
        const compensation = { seesPrompt: true, fold }
        return from(model, prompt, { ...options, planner: { ...planner, compensation } }, how)
      },
    }))
  })(),
  'does not free what it kept': class extends SequenceStore {
    override dispose(): void {}
  },
})

// ---- Bounds ----------------------------------------------------------------------------------------------------------

const keptIsBounded = lawForAll(
  'no more sequences and bytes are kept than the limits say, and those used last stay',
  {
    prompts: fc.array(fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 2, max: 60 })), {
      minLength: 2,
      maxLength: 8,
    }),
    texts: fc.integer({ min: 0, max: 3 }),
    bytes: fc.constantFrom(0, 2 ** 19, 2 ** 20, 2 ** 24),
  },
  async (of: Maker, { prompts, texts, bytes }) => {
    const kept = new of({ texts, bytes })
    const text = {
      after: 0,
      keeps: 1,
      adds: [],
      planner: 'dense',
      promptShare: null,
      every: false,
      check: false,
    } as const
    try {
      for (const [which, length] of prompts) {
        const ids = Array.from({ length }, (_, i) => 3 + (((7 * i + 1) * (which + 1)) % (V - 3)))
        const written = async (): Promise<number> => {
          const writing = await begin({ ...text, maxTokens: 1 }, ids, kept)
          while (!step(writing));
          return writing.written?.reused ?? 0
        }
        await written()
        expect(kept.size.texts).toBeLessThanOrEqual(texts)
        expect(kept.size.bytes).toBeLessThanOrEqual(bytes)
        if (texts > 0 && bytes === 2 ** 24) expect(await written()).toBe(length - 1)
        if (texts === 0 || bytes === 0) expect(await written()).toBe(0)
      }
    } finally {
      kept.dispose()
      expect(kept.size).toEqual({ texts: 0, bytes: 0 })
    }
  },
  { runs: casesAtTier(16, 200) },
)
stateLaw(keptIsBounded, SequenceStore)

killsEach('a store that %s is found', keptIsBounded, {
  'has no bound of bytes': class extends SequenceStore {
    constructor({ texts }: StoreLimits) {
      super({ texts, bytes: Infinity })
    }
  },
  'has no bound of sequences': class extends SequenceStore {
    constructor({ bytes }: StoreLimits) {
      super({ texts: Infinity, bytes })
    }
  },
  'keeps nothing': class extends SequenceStore {
    constructor() {
      super({ texts: 0, bytes: 0 })
    }
  },
})

test('what was used longest ago goes first', async () => {
  const server = serverOf(opt, { seats: 2 })
  const ask = async (id: number): Promise<number> => {
    const { usage } = await complete(server, { prompt: [id, 4, 5, 6, 7, 8], max_tokens: 1 })
    return usage.prompt_tokens_details.cached_tokens
  }
  const found: number[] = []
  for (const id of [10, 20, 10, 30, 10, 20]) found.push(await ask(id))
  expect(found).toEqual([0, 0, 5, 0, 5, 0])
  await server.drain()
})

test.each([
  ['dense', 'its keys and values', { planner: 'dense' }, 'pack', 'equal'],
  ['random', 'the weights that are packed for its mask too', { planner: 'random' }, 'pack', 'more'],
  ['random, whose rows are picked,', 'its keys and values', { planner: 'random' }, 'skip', 'equal'],
  ['random, made up for,', 'its folded weights too', { planner: 'random', promptShare: 0 }, 'skip', 'more'],
] as const)('the bytes of a sequence under %s are those of %s', async (_name, _of, asked, mode, than) => {
  const kept = new SequenceStore(limits)
  const task = {
    ids: Int32Array.from([3, 4, 5, 6, 7]),
    maxTokens: 3,
    mode,
    sampling: {},
    planner: await plannerOf(asked),
    stopIds: new Set<number>(),
    stops: [],
    likeliest: null,
    echo: null,
    maskTokens: 1,
    continues: true,
  }
  const steps = writeText(opt.model, opt.tokenizer as NonNullable<typeof opt.tokenizer>, task, kept.place(''))
  while (!steps.next().done);
  const cache = cacheBytes(opt.config, 'f32', 8)
  if (than === 'equal') expect(kept.size).toEqual({ texts: 1, bytes: cache })
  else expect(kept.size.bytes).toBeGreaterThan(cache)
  kept.dispose()
})

// ---- Requests --------------------------------------------------------------------------------------------------------

describe('requests say how many tokens of their prompt were kept', () => {
  const first = { prompt: Array.from({ length: 40 }, (_, i) => 3 + i), max_tokens: 6, temperature: 0 }
  const longer = { ...first, prompt: [...first.prompt, 90, 91, 92] }
  const cached = ({ usage }: Completion): number => usage.prompt_tokens_details.cached_tokens
  afterEach(() => vi.restoreAllMocks())
  test.each<[string, object, number, number?]>([
    ['dense', {}, 40],
    ['under one mask', { planner: 'random', sparsity: 0.5, seed: 4 }, 40],
    ['behind a dense prompt', { planner: 'griffin', sparsity: 0.5 }, 40],
    ['behind a checked one', { planner: 'griffin', sparsity: 0.5, check: 2 }, 40],
    ['under a planner that decides again: none', { planner: 'random', every: 2, seed: 4 }, 0],
    ['scored: none', { echo: true, logprobs: 1 }, 0],
    ['under one mask, made up for', { planner: 'random', sparsity: 0.5, seed: 4 }, 40, 0],
    ['behind a dense prompt, made up for', { planner: 'griffin', sparsity: 0.5 }, 40, 0],
    ['made up for with the prompt: none', { planner: 'griffin', sparsity: 0.5 }, 0, 0.2],
  ])('%s', async (_, asked, expected, promptShare) => {
    const { planner } = opt
    vi.spyOn(opt, 'planner').mockImplementation((options) =>
      plannerOf({ ...options, promptShare }, (choice) => planner.call(opt, choice)),
    )
    const server = serverOf(opt)
    const anew = serverOf(opt, { keptBytes: 0 })
    expect(cached(await complete(server, { ...first, ...asked }))).toBe(0)
    const answer = await complete(server, { ...longer, ...asked })
    expect(cached(answer)).toBe(expected)
    const right = await complete(anew, { ...longer, ...asked })
    const seedless = (choices: Completion['choices']): object[] => choices.map((one) => ({ ...one, seed: 0 }))
    expect(seedless(answer.choices)).toEqual(seedless(right.choices))
    expect(cached(right)).toBe(0)
    await Promise.all([server.drain(), anew.drain()])
  })

  test('also at the end of a stream, once for the texts of one prompt', async () => {
    const server = serverOf(opt)
    await complete(server, first)
    const body = { ...longer, n: 2, temperature: 1, stream: true, stream_options: { include_usage: true } }
    const events = (await eventsOf(await server.fetch(requestOf('/v1/completions', body)))) as Completion[]
    expect(events.at(-2)?.usage.prompt_tokens_details).toEqual({ cached_tokens: 40 })
    await server.drain()
  })

  test('a text of another planner, or of another beginning, leaves them to whom they belong', async () => {
    const server = serverOf(opt)
    await complete(server, first)
    await complete(server, { ...first, planner: 'griffin', sparsity: 0.5 })
    await complete(server, { ...first, prompt: [...first.prompt.slice(0, 5), 99, 98, 97] })
    expect(cached(await complete(server, longer))).toBe(40)
    await server.drain()
  })
})
