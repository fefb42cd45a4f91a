/**
 * Completions are what the library writes and scores, whole and as streams, dense and under masks; and no mask sees what is scored
 * under it.
 *
 * Tests src/server/answers.ts.
 */
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { ShadowModel, type CheckCounts, type GenerateOptions } from '../../src/library/index.ts'
import { scoreWindow } from '../../src/evaluation/score_window.ts'
import { writeText, type WritingTask } from '../../src/server/writer.ts'
import { unscored, scoreTokens, type TokenScore } from '../../src/server/token_scores.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { casesAtTier } from '../harness/tier.ts'
import { complete, eventsOf, requestOf, serverOf, type Body, type Completion } from './served.ts'

const opt = await ShadowModel.fromPretrained()
afterAll(() => opt.dispose())
const server = serverOf(opt)
const { vocabulary: V } = opt.config

const someId = fc.integer({ min: 3, max: V - 1 })
/** A planner that reads the loss of a prompt needs two tokens. */
const someIds = fc.array(someId, { minLength: 2, maxLength: 40 })
const somePlanner = fc.constantFrom('dense', 'random', 'shadow', 'prompt-plainact')

// ---- Texts -----------------------------------------------------------------------------------------------------------

/** Asks for completions. */
type Ask = (body: Record<string, unknown>) => Promise<Completion>

/** The answer of a stream, put together. */
async function streamed(body: Record<string, unknown>): Promise<Completion> {
  const asked: Body = { ...body, stream: true, stream_options: { include_usage: true } }
  const response = await server.fetch(requestOf('/v1/completions', asked))
  const events = (await eventsOf(response)) as (Completion | null)[]
  expect(events.at(-1)).toBe(null)
  const usage = events.at(-2)?.usage as Completion['usage']
  const choices: Completion['choices'][number][] = []
  for (const event of events.slice(0, -2))
    for (const part of event?.choices ?? []) {
      const before = choices[part.index]
      const joined = {
        tokens: [...(before?.logprobs?.tokens ?? []), ...(part.logprobs?.tokens ?? [])],
        token_logprobs: [
          ...(before?.logprobs?.token_logprobs ?? []),
          ...(part.logprobs?.token_logprobs ?? []),
        ],
        top_logprobs: [...(before?.logprobs?.top_logprobs ?? []), ...(part.logprobs?.top_logprobs ?? [])],
        text_offset: [...(before?.logprobs?.text_offset ?? []), ...(part.logprobs?.text_offset ?? [])],
      }
      const logprobs = joined.tokens.length > 0 ? joined : null
      choices[part.index] = { ...before, ...part, text: (before?.text ?? '') + part.text, logprobs }
    }
  return { choices, usage }
}

const whole: Ask = (body) => complete(server, body)

async function byLibrary(
  prompt: readonly number[],
  options: GenerateOptions,
): Promise<{ text: string; tokens: number; end: string }> {
  const steps = opt.generate(prompt, options)
  let text = ''
  for (let tokens = 0; ; tokens++) {
    const { done, value } = await steps.next()
    if (done) return { text, tokens: value === 'stop' ? tokens + 1 : tokens, end: value }
    text += value.text
  }
}

interface Asked {
  readonly prompts: readonly (readonly number[])[]
  readonly n: number
  readonly seed: number
  readonly temperature: number
  readonly topP: number
  readonly planner: 'dense' | 'random' | 'shadow' | 'prompt-plainact'
  readonly sparsity: number
  readonly maxTokens: number
}
const someAsked: fc.Arbitrary<Asked> = fc.record({
  prompts: fc.array(fc.array(someId, { minLength: 2, maxLength: 6 }), { minLength: 1, maxLength: 2 }),
  n: fc.integer({ min: 1, max: 2 }),
  seed: fc.constantFrom(0, 7, 2 ** 32 - 1),
  temperature: fc.constantFrom(0, 1, 1.5),
  topP: fc.constantFrom(0.9, 1),
  planner: somePlanner as fc.Arbitrary<Asked['planner']>,
  sparsity: fc.constantFrom(0.3, 0.6),
  maxTokens: fc.integer({ min: 0, max: 5 }),
})

const asTheLibrary = (sentence: string): ReturnType<typeof lawForAll<Ask, [Asked]>> =>
  lawForAll(
    sentence,
    { asked: someAsked },
    async (asks: Ask, { asked: { prompts, n, seed, temperature, topP, planner, sparsity, maxTokens } }) => {
      const body = {
        prompt: prompts,
        n,
        seed,
        temperature,
        planner,
        ...(planner !== 'dense' && { sparsity }),
      }
      const { choices, usage } = await asks({ ...body, top_p: topP, max_tokens: maxTokens })
      expect(choices.map(({ index }) => index)).toEqual(
        Array.from({ length: prompts.length * n }, (_, i) => i),
      )
      let tokens = 0
      for (const [i, { text, finish_reason: end, seed: own }] of choices.entries()) {
        const expectedSeed = (seed + (i % n)) >>> 0
        const options = { temperature, topP, planner, sparsity, maxTokens, seed: expectedSeed }
        const right = await byLibrary(prompts[Math.floor(i / n)], options)
        expect([text, end, own]).toEqual([right.text, right.end, expectedSeed])
        tokens += right.tokens
      }
      const read = prompts.reduce((sum, { length }) => sum + length, 0)
      expect(usage).toEqual({
        prompt_tokens: read,
        completion_tokens: tokens,
        total_tokens: read + tokens,
        prompt_tokens_details: { cached_tokens: expect.any(Number) },
      })
    },
    { runs: casesAtTier(12, 40) },
  )

const wholeIsTheLibrary = asTheLibrary('a completion is the text that the library writes with the same seed')
const streamIsTheLibrary = asTheLibrary('a stream has the text, the ends and the usage of the library')
stateLaw(wholeIsTheLibrary, whole)
stateLaw(streamIsTheLibrary, streamed)

describe('a bug planted in completions is found', () => {
  const changed =
    (change: (answer: Completion) => Completion, asks = whole): Ask =>
    async (body) =>
      change(await asks(body))
  test.each<[string, Ask]>([
    [
      'every choice has the same seed',
      (body) =>
        whole({
          ...body,
          n: 1,
          prompt: [...(body.prompt as number[][])].flatMap((one) =>
            Array.from({ length: body.n as number }, () => one),
          ),
        }),
    ],
    ['one token more', (body) => whole({ ...body, max_tokens: (body.max_tokens as number) + 1 })],
    ['the planner is forgotten', (body) => whole({ ...body, planner: 'dense', sparsity: undefined })],
    ['top_p is forgotten', (body) => whole({ ...body, top_p: 1 })],
    [
      'the usage counts the prompt for every choice',
      changed(({ choices, usage }) => ({
        choices,
        usage: { ...usage, prompt_tokens: usage.prompt_tokens * choices.length },
      })),
    ],
    [
      'texts are trimmed',
      changed((answer) => ({
        ...answer,
        choices: answer.choices.map((one) => ({ ...one, text: one.text.trim() })),
      })),
    ],
  ])('%s', (_, mutant) => kills(wholeIsTheLibrary, mutant))

  test('a stream that loses its last piece', () =>
    kills(
      streamIsTheLibrary,
      changed(
        (answer) => ({
          ...answer,
          choices: answer.choices.map((one) => ({ ...one, text: one.text.slice(0, -1) })),
        }),
        streamed,
      ),
    ))
})

// ---- Log-probabilities under masks -----------------------------------------------------------------------------------

/** Scores an echoed prompt: one score a token. */
type Score = (ids: Int32Array, planning: Planning) => Promise<readonly TokenScore[]>

interface Planning {
  readonly planner: 'dense' | 'random' | 'shadow' | 'prompt-plainact'
  readonly sparsity: number
  readonly every?: number
  readonly maskTokens: number
}
const somePlanning: fc.Arbitrary<Planning> = fc.record(
  {
    planner: somePlanner as fc.Arbitrary<Planning['planner']>,
    sparsity: fc.constantFrom(0.5, 0.8),
    every: fc.constantFrom(1, 3),
    maskTokens: fc.integer({ min: 2, max: 12 }),
  },
  { requiredKeys: ['planner', 'sparsity', 'maskTokens'] },
)

/** The planner of a request; one that needs a backward pass is not asked at each token. */
async function plannerOf({ planner, sparsity, every }: Planning): Promise<WritingTask['planner']> {
  return opt.planner({ planner, sparsity, every: planner === 'prompt-plainact' ? undefined : every, seed: 3 })
}

const taskOf = (ids: Int32Array, planner: WritingTask['planner'], maskTokens: number): WritingTask => ({
  ids,
  maxTokens: 0,
  sampling: {},
  planner,
  stopIds: new Set(),
  stops: [],
  likeliest: 1,
  echo: '',
  maskTokens,
  continues: true,
})

function scoresOf(task: WritingTask): readonly TokenScore[] {
  const scores: TokenScore[] = []
  const steps = writeText(opt.model, opt.tokenizer as NonNullable<typeof opt.tokenizer>, task)
  for (let step = steps.next(); !step.done; step = steps.next())
    if (step.value) scores.push(...step.value.scores)
  return scores
}

const byServer: Score = async (ids, planning) =>
  scoresOf(taskOf(ids, await plannerOf(planning), planning.maskTokens))

/** What is known of the token at a place before it is read: the likeliest in its place. */
const expectedThere = ({ top }: TokenScore): unknown => top?.[0] ?? null

const nothingLeaks = lawForAll(
  'no expectation of an echoed prompt depends on its own token, on a later one, or on the length',
  {
    prefix: someIds,
    one: fc.array(someId, { maxLength: 20 }),
    other: fc.array(someId, { maxLength: 20 }),
    planning: somePlanning,
  },
  async (score: Score, { prefix, one, other, planning }) => {
    const [a, b] = await Promise.all(
      [one, other].map((rest) => score(Int32Array.of(...prefix, ...rest), planning)),
    )
    for (let i = 0; i < prefix.length; i++) expect(b[i]).toEqual(a[i])
    const [next, another] = [a.at(prefix.length), b.at(prefix.length)]
    if (next && another) expect(expectedThere(another)).toEqual(expectedThere(next))
  },
  { runs: casesAtTier(25, 60) },
)
stateLaw(nothingLeaks, byServer)

/** Scores tokens under a mask that saw the first `seen` of them. */
async function allUnderTheMask(
  ids: Int32Array,
  planning: Planning,
  seen: number,
): Promise<readonly TokenScore[]> {
  const sequence = opt.model.begin({ planner: await plannerOf(planning) })
  try {
    const first = sequence.feed(ids.slice(0, seen), 'all')
    const rest = seen < ids.length ? sequence.feed(ids.slice(seen), 'all') : new Float32Array(0)
    const logits = Float32Array.of(...first, ...rest).subarray(0, (ids.length - 1) * V)
    return [unscored(ids[0]), ...(ids.length > 1 ? scoreTokens(opt.model, logits, ids.slice(1), 1) : [])]
  } finally {
    sequence.dispose()
  }
}

describe('a mask that sees what it scores is found', () => {
  test.each<[string, Score]>([
    ['decided from the whole prompt', (ids, planning) => allUnderTheMask(ids, planning, ids.length)],
    [
      'decided from the first tokens, which are scored under it too',
      (ids, planning) => allUnderTheMask(ids, planning, Math.min(planning.maskTokens, ids.length)),
    ],
    [
      'decided from half of the prompt, so that the length decides',
      (ids, planning) => byServer(ids, { ...planning, maskTokens: Math.max(2, ids.length >> 1) }),
    ],
    [
      'decided from all but the last token',
      (ids, planning) => byServer(ids, { ...planning, maskTokens: Math.max(2, ids.length - 1) }),
    ],
  ])('%s', (_, mutant) => kills(nothingLeaks, mutant))
})

/** The cost of an answer after its context, in nats. */
type Cost = (context: number[], answer: number[], planning: Planning) => Promise<number>

const costByServer: Cost = async (context, answer, planning) => {
  const ids = Int32Array.of(...context, ...answer)
  const scores = await byServer(ids, { ...planning, maskTokens: context.length })
  return scores.slice(context.length).reduce((sum, { logprob }) => sum - (logprob as number), 0)
}

const asEvaluated = lawForAll(
  'an answer after mask_prompt_tokens of context costs what evaluation says, bit for bit',
  {
    context: fc.array(someId, { minLength: 2, maxLength: 40 }),
    answer: fc.array(someId, { minLength: 1, maxLength: 12 }),
    planning: somePlanning,
  },
  async (cost: Cost, { context, answer, planning }) => {
    const tokens = Int32Array.of(...context, ...answer)
    const window = { tokens, promptLength: context.length, words: 0 }
    const { nll } = scoreWindow(opt.model, window, { planner: await plannerOf(planning) })
    expect(await cost(context, answer, planning)).toBe(nll)
  },
  { runs: casesAtTier(20, 60) },
)
stateLaw(asEvaluated, costByServer)

describe('a bug planted in the cost of an answer is found', () => {
  test.each<[string, Cost]>([
    [
      'one token too few is shown to the planner',
      async (context, answer, planning) => {
        const ids = Int32Array.of(...context, ...answer)
        const scores = await byServer(ids, { ...planning, maskTokens: Math.max(2, context.length - 1) })
        return scores.slice(context.length).reduce((sum, { logprob }) => sum - (logprob as number), 0)
      },
    ],
    [
      'dense in place of the mask',
      (context, answer, planning) => costByServer(context, answer, { ...planning, planner: 'dense' }),
    ],
    ['rounded to five decimals', async (...args) => Number((await costByServer(...args)).toFixed(5))],
  ])('%s', (_, mutant) => kills(asEvaluated, mutant))
})

// ---- Single cases ----------------------------------------------------------------------------------------------------

describe('forms of a prompt', () => {
  const same = { max_tokens: 3, temperature: 0 }
  test('text, texts, ids and lists of ids give the same texts', async () => {
    const ids = opt.encode('The captain', { prefix: true })
    const [one, listed, asIds, asLists] = await Promise.all(
      ['The captain', ['The captain'], ids, [ids]].map((prompt) => complete(server, { prompt, ...same })),
    )
    for (const other of [listed, asIds, asLists])
      expect(other.choices).toEqual(
        one.choices.map((choice, i) => ({ ...choice, seed: other.choices[i].seed })),
      )
    expect(one.usage.prompt_tokens).toBe(ids.length)
  })

  test('max_tokens 0 with echo gives the prompt and its log-probabilities alone', async () => {
    const { choices, usage } = await complete(server, {
      prompt: 'The captain looked',
      max_tokens: 0,
      echo: true,
      logprobs: 2,
    })
    expect(choices[0].text).toBe('The captain looked')
    expect(choices[0].logprobs?.tokens.join('')).toBe('The captain looked')
    expect(choices[0].logprobs?.token_logprobs[0]).toBe(null)
    expect(choices[0].logprobs?.text_offset).toEqual([0, 3, 8, 11])
    expect(usage.completion_tokens).toBe(0)
  })

  test('a long prompt is read in many steps, dense and under a planner', async () => {
    const ids = new Int32Array(100).fill(5)
    for (const planner of [null, await plannerOf({ planner: 'random', sparsity: 0.5, maskTokens: 1 })]) {
      const steps = writeText(opt.model, opt.tokenizer as NonNullable<typeof opt.tokenizer>, {
        ...taskOf(ids, planner, 1),
        echo: null,
      })
      let before = 0
      while (steps.next().value === null) before++
      expect(before).toBeGreaterThanOrEqual(planner ? 10 * opt.config.layers : 4)
      steps.return(undefined as never)
    }
  })

  test('an end token is counted and told, and no part of the text', () => {
    const ids = Int32Array.from(opt.encode('The captain', { prefix: true }))
    const written = (
      stopIds: ReadonlySet<number>,
    ): { text: string; tokens: number[]; counted: number; end: string } => {
      const task = { ...taskOf(ids, null, 1), echo: null, maxTokens: 6, stopIds }
      const steps = writeText(opt.model, opt.tokenizer as NonNullable<typeof opt.tokenizer>, task)
      const [texts, tokens]: [string[], number[]] = [[], []]
      for (;;) {
        const { done, value } = steps.next()
        if (done) return { text: texts.join(''), tokens, counted: value.tokens, end: value.end }
        texts.push(value?.text ?? '')
        tokens.push(...(value?.scores ?? []).map(({ token }) => token))
      }
    }
    const plain = written(new Set())
    expect([plain.tokens.length, plain.end]).toEqual([6, 'length'])
    const stop = plain.tokens[3]
    const before = plain.tokens.indexOf(stop)
    const ended = written(new Set([stop]))
    expect(ended).toEqual({
      text: opt.tokenizer?.decode(plain.tokens.slice(0, before), { continues: true }),
      tokens: plain.tokens.slice(0, before + 1),
      counted: before + 1,
      end: 'stop',
    })
  })

  test('tokens that are parts of a character are told by their bytes, and the text has whole characters only', async () => {
    const ids = opt.encode('€')
    expect(ids.length).toBeGreaterThan(1)
    const { choices } = await complete(server, { prompt: ids, max_tokens: 0, echo: true, logprobs: 1 })
    expect(choices[0].text).toBe('€')
    expect(choices[0].logprobs?.tokens[0]).toMatch(/^bytes:(\\x[0-9a-f]{2})+$/)
    expect(choices[0].logprobs?.text_offset).toEqual(ids.map(() => 0))
  })

  test('what a text ends at is no part of it, and log-probabilities are of every generated token', async () => {
    const plain = await complete(server, {
      prompt: 'The captain',
      max_tokens: 12,
      temperature: 0,
      logprobs: 0,
    })
    const [{ text }] = plain.choices
    const stop = text.slice(5, 8)
    for (const stream of [false, true]) {
      const body = { prompt: 'The captain', max_tokens: 12, temperature: 0, stop, logprobs: 0 }
      const [{ text: cut, finish_reason: end, logprobs }] = (await (stream ? streamed(body) : whole(body)))
        .choices
      expect([cut, end]).toEqual([text.slice(0, text.indexOf(stop)), 'stop'])
      expect(plain.choices[0].logprobs?.tokens.slice(0, logprobs?.tokens.length)).toEqual(logprobs?.tokens)
    }
  })

  test('a text that is checked dense is the dense one, whole and as a stream, and its prompt is scored dense', async () => {
    const body = { prompt: 'The captain', max_tokens: 12, temperature: 1, seed: 3, logprobs: 0, echo: true }
    const plain = await complete(server, body)
    const checked = { ...body, planner: 'shadow', sparsity: 0.7, check: 4 }
    for (const ask of [whole, streamed]) {
      const [{ text, logprobs }] = (await ask(checked)).choices
      expect(text).toBe(plain.choices[0].text)
      expect(logprobs).toEqual(plain.choices[0].logprobs)
    }
    const stops = { ...checked, stop: plain.choices[0].text.slice(-4, -2) }
    expect((await streamed(stops)).choices[0].text).toBe(
      (await complete(server, { ...body, stop: stops.stop })).choices[0].text,
    )
  })

  test('decisions and checks are told, and what cannot be checked is refused', async () => {
    const body = { prompt: 'The captain', max_tokens: 12, temperature: 0, planner: 'random', sparsity: 0.5 }
    const one = await complete(server, body)
    expect(one.choices[0]).toMatchObject({ decisions: 1 })
    expect(one.choices[0]).not.toHaveProperty('checked')
    // Of twelve tokens eleven are fed.
    expect((await complete(server, { ...body, every: 5 })).choices[0]).toMatchObject({ decisions: 3 })
    const { decisions } = (await complete(server, { ...body, every: 'auto' })).choices[0]
    expect([1, 2, 3]).toContain(decisions)
    const drafted = (await complete(server, { ...body, check: 4 })).choices[0]
    const checked = drafted.checked as CheckCounts
    // The shares are those of the mask, whose drafts are checked.
    expect(drafted.skipped).toEqual(one.choices[0].skipped)
    expect(checked.checks).toBeGreaterThanOrEqual(3)
    expect(checked.replaced + checked.dropped).toBeLessThanOrEqual(checked.rewound)
    for (const wrong of [
      { check: 0 },
      { check: 4, every: 3 },
      { check: 4, every: 'auto' },
      { every: 'often' },
    ]) {
      const response = await server.fetch(requestOf('/v1/completions', { ...body, ...wrong }))
      expect(response.status, JSON.stringify(wrong)).toBe(400)
    }
  })

  test('what is skipped is told', async () => {
    const { choices } = await complete(server, { prompt: 'The captain', max_tokens: 2, sparsity: 0.5 })
    expect(choices[0].skipped.neurons).toBeGreaterThan(0.3)
    const dense = await complete(server, { prompt: 'The captain', max_tokens: 2 })
    expect(dense.choices[0].skipped).toEqual({ heads: 0, neurons: 0, weights: 0 })
  })
})
