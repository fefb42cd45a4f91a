/**
 * How many log-probabilities one request may ask for: an answer is one text, whose length is bounded before anything is computed.
 *
 * Tests src/server/amounts.ts and src/server/text_service.ts.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ShadowModel } from '../../src/library/index.ts'
import { amounts, expectFewScores } from '../../src/server/amounts.ts'
import { writeModel } from '../cli/options/small_files.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { ask, serverOf, type Refused } from './served.ts'

/** Whether a rule takes so many tokens. */
const takes = (rule: typeof expectFewScores, tokens: number, likeliest: number | null): boolean => {
  try {
    rule(tokens, likeliest)
    return true
  } catch (error) {
    expect((error as { code?: unknown }).code).toBe('SCORES')
    return false
  }
}

const isExact = lawForAll(
  'as many tokens are taken as have the most log-probabilities together, each its own and the likeliest; any number without',
  { likeliest: fc.nat(amounts.likeliest.most), past: fc.nat(3) },
  (rule: typeof expectFewScores, { likeliest, past }) => {
    const most = Math.floor(amounts.scores.most / (likeliest + 1))
    expect(takes(rule, most - past, likeliest)).toBe(true)
    expect(takes(rule, most + 1 + past, likeliest)).toBe(false)
    expect(takes(rule, amounts.scores.most + 1 + past, null)).toBe(true)
  },
)
stateLaw(isExact, expectFewScores)
test.each<[string, typeof expectFewScores]>([
  [
    'counts the likeliest without the token itself',
    (tokens, count) => expectFewScores(tokens, count && count - 1),
  ],
  ['refuses the limit itself', (tokens, count) => expectFewScores(tokens + 1, count)],
  ['has no limit', () => {}],
])('a rule that %s is found', (_, mutant) => kills(isExact, mutant))

describe('a request', () => {
  const folder = mkdtempSync(join(tmpdir(), 'shadowllm-scores-'))
  const likeliest = 1
  /** Of each of the most texts, at the limit. */
  const each = amounts.scores.most / (likeliest + 1) / amounts.texts.most
  let model: ShadowModel
  beforeAll(async () => {
    await writeModel(folder, 3, { positions: 2 * each })
    model = await ShadowModel.fromPretrained(folder)
  })
  afterAll(async () => {
    await model.dispose()
    rmSync(folder, { recursive: true })
  })

  /** The refusal of a request: without seats and a queue, QUEUE_FULL is that of one that would be computed. */
  const refusalOf = async (body: object, path = '/v1/completions'): Promise<unknown> => {
    const { status, json } = await ask<Refused>(serverOf(model, { seats: 0, queue: 0 }), path, { ...body })
    return [status, json.error.code]
  }
  const ids = (length: number): number[] => Array.from({ length }, () => 5)
  const full = [429, 'QUEUE_FULL']
  const refused = [400, 'SCORES']

  test('of echoed prompts and tokens after them is taken up to the limit, and refused one token past it', async () => {
    const echoed = { max_tokens: 1, echo: true, logprobs: likeliest }
    const prompt = Array.from({ length: amounts.texts.most }, () => ids(each - 1))
    expect(await refusalOf({ ...echoed, prompt })).toEqual(full)
    const past = [ids(each), ...prompt.slice(1)]
    expect(await refusalOf({ ...echoed, prompt: past })).toEqual(refused)
    // Without log-probabilities, or without the echo, it has few.
    expect(await refusalOf({ ...echoed, prompt: past, logprobs: null })).toEqual(full)
    expect(await refusalOf({ ...echoed, prompt: past, echo: false })).toEqual(full)
  })

  test('of several texts of one prompt is counted with each of them', async () => {
    const written = { prompt: ids(1), logprobs: likeliest, max_tokens: each }
    expect(await refusalOf({ ...written, n: amounts.texts.most })).toEqual(full)
    expect(await refusalOf({ ...written, n: amounts.texts.most, max_tokens: each + 1 })).toEqual(refused)
    expect(await refusalOf({ ...written, n: amounts.texts.most, echo: true })).toEqual(refused)
  })

  test('of a chat has the same limit', async () => {
    const chat = {
      messages: [{ role: 'user', content: 'a' }],
      n: amounts.texts.most,
      logprobs: true,
      top_logprobs: 1,
    }
    expect(await refusalOf({ ...chat, max_tokens: each }, '/v1/chat/completions')).toEqual(full)
    expect(await refusalOf({ ...chat, max_tokens: each + 1 }, '/v1/chat/completions')).toEqual(refused)
  })
})
