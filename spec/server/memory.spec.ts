/**
 * Memory that runs out amid a request: what is kept of earlier ones is freed, and the request is answered all the same, or refused by
 * what helps.
 *
 * Tests src/server/text_service.ts.
 */
import fc from 'fast-check'
import { afterAll, expect, test, vi } from 'vitest'
import { ShadowModel } from '../../src/library/index.ts'
import { MissingError } from '../../src/tensor/errors.ts'
import { law } from '../harness/seed.ts'
import { casesAtTier } from '../harness/tier.ts'
import { SequenceStore } from '../../src/server/sequence_store.ts'
import { ask, complete, eventsOf, requestOf, serverOf, type Completion, type Refused } from './served.ts'

const opt = await ShadowModel.fromPretrained()
afterAll(() => opt.dispose())
const { backend } = opt.model

const failures = {
  'of a backend': () =>
    new MissingError('BACKEND_MEMORY', 'backend wasm: expected room for 9 more bytes, got none'),
  'of the program': () => new RangeError('Array buffer allocation failed'),
} as const
type Failure = keyof typeof failures

/** Counts allocations, and lets some of them fail. @returns what work gives, and how many allocations there were */
async function whileFailing<Result>(
  fails: (call: number) => boolean,
  failure: Failure,
  work: () => Promise<Result>,
): Promise<[Result, calls: number]> {
  let calls = 0
  const allocate = backend.allocate.bind(backend)
  const spy = vi.spyOn(backend, 'allocate').mockImplementation((...args) => {
    if (fails(calls++)) throw failures[failure]()
    return allocate(...args)
  })
  try {
    return [await work(), calls]
  } finally {
    spy.mockRestore()
  }
}

const first = { prompt: Array.from({ length: 20 }, (_, i) => 3 + i), max_tokens: 4, temperature: 0 }
const texts = (answers: readonly (Completion | null)[]): string =>
  answers.map((answer) => answer?.choices[0]?.text ?? '').join('')

/** What a request gives, and what the server counts of it. */
interface Answered {
  readonly text: string
  readonly calls: number
  readonly counts: readonly string[]
}

/** Answers a request, whole or as a stream, after one that is kept. @param fails of its allocations */
async function answer(
  body: object,
  stream: boolean,
  fails: (call: number) => boolean,
  failure: Failure,
): Promise<Answered> {
  const server = serverOf(opt)
  await complete(server, first)
  try {
    const [text, calls] = await whileFailing(fails, failure, async () => {
      if (!stream) return texts([await complete(server, { ...body })])
      return texts(
        (await eventsOf(
          await server.fetch(requestOf('/v1/completions', { ...body, stream })),
        )) as Completion[],
      )
    })
    const metrics = await (await server.fetch(requestOf('/metrics'))).text()
    const counts = metrics.match(/^\w+_(?:prompt_tokens|generated_tokens|texts)_total .*$/gm) ?? []
    return { text, calls, counts }
  } finally {
    await server.drain()
  }
}

law(
  'an answer is the same, and counted once, if memory runs out once, at any allocation of it',
  {
    at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    planner: fc.constantFrom('dense', 'random', 'griffin'),
    temperature: fc.constantFrom(0, 1),
    stream: fc.boolean(),
    failure: fc.constantFrom<Failure>('of a backend', 'of the program'),
    isLonger: fc.boolean(),
  },
  async ({ at, planner, temperature, stream, failure, isLonger }) => {
    const prompt = isLonger ? [...first.prompt, 40, 41] : [50, 51, 52]
    // Masks that are decided again take memory amid the answer.
    const sparsity = {
      ...(planner !== 'dense' && { sparsity: 0.5 }),
      ...(planner === 'random' && { every: 4 }),
    }
    const body = {
      prompt,
      max_tokens: 40,
      temperature,
      planner,
      seed: 7,
      logit_bias: { 0: -100 },
      ...sparsity,
    }
    const right = await answer(body, stream, () => false, failure)
    const before = backend.liveBuffers
    const failing = Math.floor(at * right.calls)
    const found = await answer(body, stream, (call) => call === failing, failure)
    expect(right.text).not.toBe('')
    expect(right.counts).toHaveLength(3)
    expect({ ...found, calls: 0 }).toEqual({ ...right, calls: 0 })
    expect(backend.liveBuffers).toBe(before)
  },
  { runs: casesAtTier(20, 200) },
)

test('whichever allocation of an echoed, scored and masked text fails, the answer is the same and nothing stays allocated', async () => {
  const scored = { echo: true, logprobs: 2, mask_prompt_tokens: 2 }
  const body = { prompt: [50, 51, 52], max_tokens: 2, ...scored, planner: 'random', sparsity: 0.5, seed: 7 }
  const right = await answer(body, false, () => false, 'of a backend')
  const before = backend.liveBuffers
  for (let failing = 0; failing < right.calls; failing++) {
    const { text } = await answer(body, false, (call) => call === failing, 'of a backend')
    expect([failing, text, backend.liveBuffers]).toEqual([failing, right.text, before])
  }
})

test('a predictor for which there was no memory is read at the next try', async () => {
  await using fresh = await ShadowModel.fromPretrained()
  const server = serverOf(fresh)
  const { backend: own } = fresh.model
  const upload = vi.spyOn(own, 'allocate').mockImplementationOnce(() => {
    throw failures['of a backend']()
  })
  const { status } = await ask(server, '/v1/completions', { prompt: [50], max_tokens: 1, sparsity: 0.5 })
  expect([status, upload.mock.calls.length > 1]).toEqual([200, true])
  upload.mockRestore()
  await server.drain()
})

test.each([
  ['is freed', false],
  ['is not freed, which is found', true],
])(
  'a request has the room of kept sequences if there is no other, for what is kept %s',
  async (_, isMutant) => {
    const server = serverOf(opt)
    for (let id = 60; id < 68; id++) await complete(server, { ...first, prompt: [id, 3, 4] })
    const kept = backend.liveBuffers
    if (isMutant) vi.spyOn(SequenceStore.prototype, 'clear').mockReturnValue(undefined)
    try {
      const [{ status }] = await whileFailing(
        () => backend.liveBuffers >= kept,
        'of a backend',
        () => ask(server, '/v1/completions', { prompt: [50], max_tokens: 1 }),
      )
      expect(status).toBe(isMutant ? 503 : 200)
    } finally {
      vi.restoreAllMocks()
      await server.drain()
    }
  },
)

test.each(Object.keys(failures) as Failure[])(
  'memory %s that runs out twice is refused with 503 by the flags that help, and what was kept is free',
  async (failure) => {
    const server = serverOf(opt)
    const before = backend.liveBuffers
    await complete(server, first)
    expect(backend.liveBuffers).toBeGreaterThan(before)
    const body = { prompt: [50, 51, 52], max_tokens: 1 }
    const [{ status, headers, json }] = await whileFailing(
      () => true,
      failure,
      () => ask<Refused>(server, '/v1/completions', body),
    )
    expect([status, json.error.code, headers.get('retry-after')]).toEqual([503, 'BACKEND_MEMORY', '1'])
    expect(json.error.message).toMatch(/a smaller --kept or --parallel$/)
    expect(backend.liveBuffers).toBe(before)
    await server.drain()
  },
)

test('another error of a range is a bug, and is not tried again', async () => {
  const reports: unknown[] = []
  const server = serverOf(opt, { report: (error) => void reports.push(error) })
  const bug = new RangeError('address: expected a live piece')
  const spy = vi.spyOn(backend, 'allocate').mockImplementation(() => {
    throw bug
  })
  try {
    const { status, json } = await ask<Refused>(server, '/v1/completions', { prompt: [50], max_tokens: 1 })
    expect([status, json.error.code, spy.mock.calls.length]).toEqual([500, 'BUG', 1])
  } finally {
    spy.mockRestore()
  }
  expect(reports).toEqual([bug])
})
