/**
 * Requests at their limits: a prompt that all but fills the context, options left out, and text beyond the first plane.
 *
 * Tests src/server/text_service.ts, src/server/requests.ts and src/server/token_texts.ts.
 */
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { ShadowModel } from '../../src/library/index.ts'
import { amounts } from '../../src/server/amounts.ts'
import { bodies } from '../../src/server/requests.ts'
import { CompletionTokens, type CompletionLogprobs } from '../../src/server/token_texts.ts'
import { unscored } from '../../src/server/token_scores.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { ask, serverOf, type Completion, type Refused } from './served.ts'

const opt = await ShadowModel.fromPretrained()
afterAll(() => opt.dispose())
const server = serverOf(opt)
const { positions } = opt.config
if (!opt.tokenizer) throw new Error('the embedded model: expected a tokenizer')
const { tokenizer } = opt

const idsOf = (length: number): number[] => Array.from({ length }, (_, i) => 5 + (i % 100))
const post = (body: Record<string, unknown>): ReturnType<typeof ask<Completion & Refused>> =>
  ask<Completion & Refused>(server, '/v1/completions', { seed: 3, ...body })

// ---- The context ------------------------------------------------------------------------------------------

/** The tokens that a request may ask for if it does not say how many. */
const DEFAULT_TOKENS = 16

describe.each([-DEFAULT_TOKENS - 1, -DEFAULT_TOKENS, -2, -1, 0, 1])(
  'a prompt of the context and %i tokens',
  (more) => {
    const ids = idsOf(positions + more)
    test.each([undefined, null, 0, 1, 2])(
      'with max_tokens %s is written to its end, or refused',
      async (most) => {
        const { status, json } = await post({ prompt: ids, max_tokens: most })
        const limit = most ?? Math.min(DEFAULT_TOKENS, -more)
        // Without a place for one token there is nothing that could be written by default.
        const fits = ids.length + limit <= positions && (typeof most === 'number' || limit > 0)
        if (!fits) {
          expect([status, json.error.code]).toEqual([400, 'CONTEXT_LENGTH'])
          return
        }
        expect(status).toBe(200)
        const { usage, choices } = json
        expect(usage.prompt_tokens).toBe(ids.length)
        if (choices[0].finish_reason === 'length') expect(usage.completion_tokens).toBe(limit)
        else expect(usage.completion_tokens).toBeLessThanOrEqual(limit)
      },
    )
  },
)

// ---- Limits of fields -------------------------------------------------------------------------------------

test.each([
  ['n', amounts.texts.most, 'FIELD'],
  ['logprobs', amounts.likeliest.most, 'FIELD'],
  ['seed', 2 ** 32 - 1, 'SEED'],
])('%s is taken up to %i, and not past it', async (field, most, code) => {
  const few = { prompt: [5], max_tokens: 0, ...(field === 'n' ? {} : { n: 1 }) }
  expect((await post({ ...few, [field]: most })).status).toBe(200)
  const past = await post({ ...few, [field]: most + 1 })
  expect([past.status, past.json.error.code]).toEqual([400, code])
})

test('the seed -1 is any: the next one of the server, as where none is named; other negative ones are refused', async () => {
  const seedsOf = async (...seeds: (number | undefined)[]): Promise<number[]> => {
    const own = serverOf(opt)
    const found: number[] = []
    for (const seed of seeds) {
      const { json } = await ask<Completion>(own, '/v1/completions', { prompt: [5], max_tokens: 1, seed })
      found.push(json.choices[0].seed)
    }
    return found
  }
  const named = await seedsOf(undefined, undefined, undefined)
  expect(new Set(named).size).toBe(3)
  expect(await seedsOf(-1, undefined, -1)).toEqual(named)
  const refused = await post({ prompt: [5], max_tokens: 1, seed: -2 })
  expect([refused.status, refused.json.error.code]).toEqual([400, 'SEED'])
  expect(refused.json.error.message).toContain('to 4294967295, or -1 for any, got the number -2')
})

// ---- Left out ---------------------------------------------------------------------------------------------

/** What each optional field is when it is left out. */
const defaults: Readonly<Record<string, unknown>> = {
  model: 'tiny-opt',
  max_tokens: DEFAULT_TOKENS,
  temperature: 1,
  top_p: 1,
  top_k: opt.config.vocabulary,
  n: 1,
  stop: [],
  stream: false,
  planner: 'dense',
  min_p: 0,
  repetition_penalty: 1,
  presence_penalty: 0,
  frequency_penalty: 0,
  logit_bias: {},
  user: '',
  safety_identifier: '',
  prompt_cache_key: '',
  prompt_cache_retention: '',
  service_tier: 'auto',
  metadata: {},
  store: false,
  prediction: {},
  parallel_tool_calls: true,
  echo: false,
  add_special_tokens: true,
  mask_prompt_tokens: 8,
  best_of: 1,
}
/** Those that have no value for what they do when they are left out, and those that every request here has. */
const without = new Set([
  'prompt',
  'seed',
  'stream_options',
  'sparsity',
  'every',
  'check',
  'logprobs',
  'suffix',
])

test('every field of a completion is said to have a default, or none', () =>
  expect(Object.keys(bodies.completion.entries).toSorted()).toEqual(
    [...Object.keys(defaults), ...without].toSorted(),
  ))

const answerTo = async (body: Record<string, unknown>): Promise<unknown> => {
  const { status, json } = await post({ prompt: 'The captain', ...body })
  // What is kept of the answers before changes with each.
  const { prompt_tokens_details: _, ...usage } = json.usage
  return { status, choices: json.choices, usage }
}

test.each(Object.entries(defaults))('%s left out, null and %j give equal answers', async (field, value) => {
  const plain = await answerTo({})
  expect(plain).toMatchObject({ status: 200 })
  expect(await answerTo({ [field]: null })).toEqual(plain)
  expect(await answerTo({ [field]: value })).toEqual(plain)
})

// ---- Text beyond the first plane --------------------------------------------------------------------------

/** Where tokens begin in a text. */
type Offsets = (ids: readonly number[]) => readonly number[]

const offsets: Offsets = (ids) => {
  const tokens = new CompletionTokens(tokenizer, true)
  // One call for each token, as in a stream.
  return ids.flatMap((id) => (tokens.tell([unscored(id)]) satisfies CompletionLogprobs).text_offset)
}

const offsetsCountCharacters = lawForAll(
  'a token begins after the characters whose bytes are complete before it, each counted once',
  {
    text: fc.string({
      unit: fc.constantFrom('a', ' b', 'é', '\u2028', '😀', '𝒳', '👩‍🚀'),
      minLength: 1,
      maxLength: 12,
    }),
  },
  (of: Offsets, { text }) => {
    const ids = tokenizer.encode(text, { prefix: false })
    const ends: number[] = []
    let bytes = 0
    for (const character of text) ends.push((bytes += new TextEncoder().encode(character).length))
    let before = 0
    const expected = ids.map((id) => {
      const complete = ends.filter((end) => end <= before).length
      before += tokenizer.bytesOf(id).length
      return complete
    })
    expect(of(ids)).toEqual(expected)
  },
)
stateLaw(offsetsCountCharacters, offsets)

test.each<[string, Offsets]>([
  [
    'counts UTF-16 units',
    (ids) => {
      const stream = tokenizer.stream({ continues: true })
      let at = 0
      return ids.map((id) => {
        const begin = at
        at += stream.push(id).length
        return begin
      })
    },
  ],
  ['begins after its token', (ids) => [...offsets(ids).slice(1), offsets(ids).at(-1) ?? 0]],
])('one that %s is found', (_, mutant) => kills(offsetsCountCharacters, mutant))
