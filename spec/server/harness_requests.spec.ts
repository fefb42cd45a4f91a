/**
 * The recorded requests of lm-evaluation-harness 0.4.13 get right answers: those of float64 arithmetic within 2e-4, and those of
 * the library bit for bit.
 */
import { afterAll, describe, expect, test } from 'vitest'
import { ShadowModel } from '../../src/library/index.ts'
import { NOT_SCORED } from '../../src/ops/cross_entropy.ts'
import { isAtTier } from '../harness/tier.ts'
import { hasSmollm2, smollm2File } from '../harness/smollm2.ts'
import {
  expectedAnswers,
  hasRecorded,
  recordedRequests,
  type ExpectedAnswer,
  type RecordedRequest,
} from './recorded.ts'
import { ask, serverOf, type Completion } from './served.ts'
import type { Server } from '../../src/server/app.ts'

const why = hasRecorded ? '' : ' (skipped: no ../shared/lm-eval)'
const opt = hasRecorded ? await ShadowModel.fromPretrained() : null
afterAll(() => opt?.dispose())

/** The ids of a request for completions; none of any other. */
function promptsOf({ body }: RecordedRequest): number[][] {
  const prompt = body && 'logprobs' in body ? body.prompt : []
  return typeof prompt === 'string' ? [[]] : (prompt as number[][])
}

/** One request in so many is sent in the quick tier, and the others in the tier rest. */
const stride = 8

/** Sends a recorded request. */
async function send(server: Server, { method, path, headers, body }: RecordedRequest): Promise<unknown> {
  const init = { method, headers, ...(body && { body: JSON.stringify(body) }) }
  const { status, json } = await ask<unknown>(server, path, undefined, init)
  expect(status, JSON.stringify(json).slice(0, 300)).toBe(200)
  return json
}

type Logprobs = NonNullable<Completion['choices'][0]['logprobs']>

/** Tells that an answer is right. */
function expectRight(
  { token_logprobs: own, top_logprobs: tops, tokens }: Logprobs,
  { token_logprobs: right, top_logprobs: rightTop, next_id: next }: ExpectedAnswer,
  spell: (id: number) => string,
): void {
  expect(own.length).toBe(right.length + 1)
  expect(own[0]).toBe(null)
  expect(tops[0]).toBe(null)
  for (let t = 1; t < right.length; t++) {
    expect(Math.abs((own[t] as number) - (right[t] as number)), `token ${t}`).toBeLessThan(2e-4)
    const top = Math.max(...Object.values(tops[t] ?? {}))
    expect(Math.abs(top - (rightTop[t] as number)), `the likeliest at ${t}`).toBeLessThan(2e-4)
  }
  expect(tokens.at(-1)).toBe(spell(next))
}

describe.skipIf(!hasRecorded)(`requests of the harness${why}`, () => {
  const model = opt as ShadowModel
  const expected = expectedAnswers('tiny-opt')
  const server = hasRecorded ? serverOf(model) : (null as unknown as Server)
  const spell = (id: number): string => model.tokenizer?.decode([id], { continues: true }) as string
  const completions = (all: readonly unknown[]): Completion['choices'] =>
    all.flatMap((one) => (one as Partial<Completion>).choices ?? [])

  test.each(['ids', 'ids_batch4', 'strings', 'remote'])('%s.jsonl gets the right numbers', async (name) => {
    let next = 0
    for (const [i, request] of recordedRequests(name)
      .filter(({ path }) => path === '/v1/completions')
      .entries()) {
      const right = expected.slice(next, (next += promptsOf(request).length))
      if (!isAtTier(i, stride)) continue
      const choices = completions([await send(server, request)])
      expect(choices.length).toBe(right.length)
      choices.forEach(({ logprobs }, k) => expectRight(logprobs as Logprobs, right[k], spell))
    }
    expect(next).toBe(expected.length)
  })

  test('wrong numbers are found', async () => {
    const [request] = recordedRequests('ids')
    const [{ logprobs }] = completions([await send(server, request)])
    const right = logprobs as Logprobs
    const wrong: Record<string, Logprobs> = {
      'one generated token too few': { ...right, token_logprobs: right.token_logprobs.slice(0, -1) },
      'no null in front': { ...right, token_logprobs: [...right.token_logprobs.slice(1), -1] },
      'in bits': {
        ...right,
        token_logprobs: right.token_logprobs.map((value) => value && value / Math.LN2),
      },
      'the likeliest of the next place': {
        ...right,
        top_logprobs: [null, ...right.top_logprobs.slice(2), {}],
      },
      'another token at the end': { ...right, tokens: [...right.tokens.slice(0, -1), 'x'] },
    }
    expectRight(right, expected[0], spell)
    for (const [name, one] of Object.entries(wrong))
      expect(() => expectRight(one, expected[0], spell), name).toThrow()
  })

  test('the tokenizer is what the harness takes it for: /tokenize gives the ids that it then sends', async () => {
    const requests = recordedRequests('remote')
    const known = new Set<string>()
    for (const request of requests)
      if (request.path === '/tokenize') {
        const { tokens } = (await send(server, request)) as { tokens: number[] }
        known.add(tokens.join(' '))
      }
    const sent = requests.flatMap(promptsOf)
    expect(sent.length).toBeGreaterThan(50)
    // Long contexts lose their first tokens.
    const all = [...known]
    for (const ids of sent) expect(all.some((one) => one.endsWith(ids.join(' ')))).toBe(true)
    const [info] = requests
    expect(await send(server, info)).toMatchObject({ eos_token: '</s>', bos_token: '</s>' })
  })

  test('every number has the bits of the library, and a greedy token has the largest of its row', async () => {
    let greedy = 0
    for (const [i, request] of recordedRequests('ids').entries()) {
      if (!isAtTier(i, stride)) continue
      const [{ logprobs }] = completions([await send(server, request)])
      const ids = Int32Array.from(promptsOf(request)[0])
      const sequence = model.model.begin()
      const nll = sequence.score(ids, Int32Array.of(...ids.subarray(1), NOT_SCORED))
      sequence.dispose()
      const own = logprobs?.token_logprobs as number[]
      expect(own.slice(1, -1)).toEqual([...nll.subarray(0, -1)].map((value) => 0 - value))
      const isTop = own.map(
        (value, t) => value === Math.max(...Object.values(logprobs?.top_logprobs[t] ?? {})),
      )
      greedy += isTop.slice(1, -1).filter(Boolean).length
      expect(isTop.at(-1)).toBe(true)
    }
    expect(greedy).toBeGreaterThan(20)
  })
})

const whyNot = hasRecorded && hasSmollm2 ? '' : ' (skipped: no ../shared/lm-eval or no SmolLM2)'
test.skipIf(whyNot !== '')(
  `smollm2_ids.jsonl gets the right numbers${whyNot}`,
  { timeout: 600_000 },
  async () => {
    const smollm2 = await ShadowModel.fromPretrained(smollm2File, { storage: 'f32', threads: 'auto' })
    const server = serverOf(smollm2, { name: 'smollm2' })
    const expected = expectedAnswers('smollm2')
    const spell = (id: number): string => smollm2.tokenizer?.decode([id]) as string
    const requests = recordedRequests('smollm2_ids')
    for (const [i, request] of requests.entries()) {
      if (i % 12 !== 0 || !isAtTier(i / 12, stride)) continue
      const { choices } = (await send(server, request)) as Completion
      expectRight(choices[0].logprobs as Logprobs, expected[i], spell)
    }
    await smollm2.dispose()
  },
)
