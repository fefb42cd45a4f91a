/**
 * Bodies that nobody has checked: any of them is answered, or refused with a status from 400 to 499 and a code.
 *
 * Tests src/server/refusals.ts and src/server/request_error.ts.
 */
import fc from 'fast-check'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { storageNamed, storages } from '../../src/engine/storages/index.ts'
import { generationPlanners, ShadowModel } from '../../src/library/index.ts'
import { needs } from '../../src/planners/index.ts'
import { amounts } from '../../src/server/amounts.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { casesAtTier } from '../harness/tier.ts'
import type { labels } from '../../src/server/requests.ts'
import { ask, complete, requestOf, serverOf, type Body, type Completion, type Refused } from './served.ts'

const opt = await ShadowModel.fromPretrained()
afterAll(() => opt.dispose())
const server = serverOf(opt)
const { vocabulary: V, positions } = opt.config

const paths = ['/v1/completions', '/v1/chat/completions', '/tokenize', '/detokenize'] as const

// ---- Any body --------------------------------------------------------------------------------------------------------

type Send = (path: string, body: Body) => Promise<Response>
const send: Send = async (path, body) => server.fetch(requestOf(path, body))

/** Values that fields have, right and wrong ones. */
const someValue: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    false,
    0,
    1,
    2,
    -1,
    0.5,
    1e308,
    2 ** 32,
    'shadow',
    'random',
    '',
    'a',
    [],
    {},
    [[]],
    [''],
    [0],
    [[3], [4]],
  ),
  fc.jsonValue({ maxDepth: 2 }),
)
const someField = fc.constantFrom(
  ...(
    'prompt max_tokens temperature top_p n seed stop logprobs echo stream planner every check sparsity stream_options ' +
    'mask_prompt_tokens messages tokens model best_of logit_bias min_p repetition_penalty presence_penalty frequency_penalty tools add_special_tokens top_k suffix top_logprobs ' +
    'response_format user metadata __proto__ constructor'
  ).split(' '),
)
/** A body that is right, with some fields replaced. */
const someBody: fc.Arbitrary<Body> = fc.oneof(
  fc
    .tuple(
      fc.constantFrom({ prompt: 'The captain', max_tokens: 2 }, { tokens: [2] }, { prompt: 'a' }, {}),
      fc.dictionary(someField, someValue, { maxKeys: 3 }),
    )
    .map(([right, wrong]) => JSON.stringify({ ...right, ...wrong })),
  fc.jsonValue().map((value) => JSON.stringify(value)),
  fc.string(),
  fc.uint8Array({ maxLength: 40 }),
  // Right JSON with one character less.
  fc
    .nat(40)
    .map((at) =>
      '{"prompt":"The captain","max_tokens":2,"n":1}'.replace(/./g, (one, i) => (i === at ? '' : one)),
    ),
)

const isAnswered = lawForAll(
  'every body is answered, or refused in the form of the OpenAI API by a status from 400 to 499',
  { path: fc.constantFrom(...paths), body: someBody },
  async (sends: Send, { path, body }) => {
    const response = await sends(path, body)
    const text = await response.text()
    if (response.status === 200) return
    expect(response.status).toBeGreaterThanOrEqual(400)
    expect(response.status).toBeLessThan(500)
    const { error } = JSON.parse(text) as Refused
    expect(error).toEqual({
      message: expect.stringMatching(/^[^\n]+: expected [^\n]+$|: expected /),
      type: expect.stringMatching(/^\w+_error$/),
      param: error.param === null ? null : expect.stringMatching(/^[^\n]{0,40}$/),
      code: expect.stringMatching(/^[A-Z0-9_]+$/),
    })
  },
  { runs: casesAtTier(200, 3000) },
)
stateLaw(isAnswered, send)

describe('a refusal of another form is found', () => {
  const refusedAs =
    (make: (status: number, body: Refused) => Response): Send =>
    async (path, body) => {
      const response = await send(path, body)
      return response.status === 200 ? response : make(response.status, (await response.json()) as Refused)
    }
  test.each<[string, Send]>([
    ['a status of 500', refusedAs((_, body) => Response.json(body, { status: 500 }))],
    [
      'no code',
      refusedAs((status, { error }) => Response.json({ error: { ...error, code: null } }, { status })),
    ],
    ['text', refusedAs((status) => new Response('no', { status }))],
    ['not an object of errors', refusedAs((status, { error }) => Response.json(error, { status }))],
  ])('%s', (_, mutant) => kills(isAnswered, mutant))
})

// ---- Each refusal ----------------------------------------------------------------------------------------------------

const right = { prompt: 'The captain', max_tokens: 1 }
const refusals: readonly (readonly [
  name: string,
  body: Body,
  status: number,
  code: string,
  path?: string,
])[] = [
  ['a body that is not JSON', 'prompt=a', 400, 'JSON_SYNTAX'],
  ['a body that is not UTF-8', Uint8Array.of(0x22, 0xff, 0x22), 400, 'JSON_ENCODING'],
  ['a byte order mark', Uint8Array.of(0xef, 0xbb, 0xbf, 0x7b, 0x7d), 400, 'JSON_BOM'],
  ['no body', '', 400, 'JSON_SYNTAX'],
  ['a body that is too large', `{"prompt":"${'a'.repeat(amounts.bytes.most)}"}`, 413, 'BODY_SIZE'],
  ['deep nesting', '['.repeat(100_000), 400, 'JSON_DEPTH'],
  [
    'more lists than a body may have',
    `{"prompt":"a","metadata":{"a":[${'[],'.repeat(amounts.containers.most)}[]]}}`,
    400,
    'JSON_LIMIT',
  ],
  [
    'a name of a field of four million letters',
    `{"${'a'.repeat(amounts.bytes.most - 20)}":1}`,
    400,
    'OPTION_NAME',
  ],
  [
    '1,500 empty messages, which are no bug',
    { messages: Array.from({ length: 1500 }, () => ({ role: 'user', content: '' })) },
    400,
    'CHAT_TEMPLATE_MISSING',
    '/v1/chat/completions',
  ],
  ['a key twice', '{"prompt":"a","prompt":"b"}', 400, 'JSON_DUPLICATE'],
  ['half a surrogate pair', '{"prompt":"\\ud800"}', 400, 'JSON_SURROGATE'],
  ['a list as the body', '[]', 400, 'FIELD'],
  ['an unknown field', { ...right, temprature: 1 }, 400, 'OPTION_NAME'],
  ['no prompt', {}, 400, 'FIELD'],
  ['an empty list of prompts', { ...right, prompt: [] }, 400, 'PROMPT'],
  ['an empty list of ids', { ...right, prompt: [[]] }, 400, 'PROMPT'],
  [
    'an empty text without special tokens',
    { ...right, prompt: '', add_special_tokens: false },
    400,
    'PROMPT',
  ],
  ['an empty text that is echoed', { ...right, prompt: '', echo: true }, 400, 'PROMPT'],
  ['texts and ids in one list', { ...right, prompt: ['a', 1] }, 400, 'FIELD'],
  ['an id that is negative', { ...right, prompt: [-1] }, 400, 'FIELD'],
  ['an id that is a fraction', { ...right, prompt: [1.5] }, 400, 'FIELD'],
  ['an id past the vocabulary', { ...right, prompt: [V] }, 400, 'TOKENS'],
  ['an id past the vocabulary in the second prompt', { ...right, prompt: [[3], [V]] }, 400, 'TOKENS'],
  [
    'a prompt that is too long',
    { ...right, prompt: Array.from({ length: positions }, () => 3) },
    400,
    'CONTEXT_LENGTH',
  ],
  [
    'a prompt and an answer that are too long',
    { prompt: [3, 4], max_tokens: positions - 1 },
    400,
    'CONTEXT_LENGTH',
  ],
  ['max_tokens below zero', { ...right, max_tokens: -1 }, 400, 'MAX_TOKENS'],
  ['too many texts', { ...right, prompt: ['a', 'b'], n: amounts.texts.most }, 400, 'CHOICES'],
  ['n of 0', { ...right, n: 0 }, 400, 'FIELD'],
  ['a temperature below zero', { ...right, temperature: -1 }, 400, 'TEMPERATURE'],
  ['top_p below 0', { ...right, top_p: -0.1 }, 400, 'TOP_P'],
  ['a seed that is too large', { ...right, seed: 2 ** 32 }, 400, 'SEED'],
  ['an empty stop text', { ...right, stop: '' }, 400, 'FIELD'],
  ['too many stop texts', { ...right, stop: Array.from({ length: 17 }, (_, i) => `${i}`) }, 400, 'FIELD'],
  ['too many of the likeliest', { ...right, logprobs: 21 }, 400, 'FIELD'],
  ['an unknown planner', { ...right, planner: 'best' }, 400, 'PLANNER'],
  ['the oracle, which needs the answer', { ...right, planner: 'oracle' }, 400, 'PLANNER'],
  ['a planner without its predictor', { ...right, planner: 'dejavu' }, 400, 'PREDICTOR_MISSING'],
  ['a planner without its calibration', { ...right, planner: 'static' }, 400, 'CALIBRATION_MISSING'],
  ['a sparsity above 1', { ...right, sparsity: 1.5 }, 400, 'SPARSITY'],
  ['a share of what dense skips', { ...right, planner: 'dense', sparsity: 0.5 }, 400, 'SPARSITY'],
  ['mask_prompt_tokens of 0', { ...right, mask_prompt_tokens: 0 }, 400, 'FIELD'],
  ['a presence penalty beyond 2', { ...right, presence_penalty: 2.5 }, 400, 'PRESENCE_PENALTY'],
  ['a frequency penalty below -2', { ...right, frequency_penalty: -3 }, 400, 'FREQUENCY_PENALTY'],
  ['a min_p above 1', { ...right, min_p: 1.5 }, 400, 'MIN_P'],
  ['a repetition penalty of 0', { ...right, repetition_penalty: 0 }, 400, 'REPETITION_PENALTY'],
  ['a bias above 100', { ...right, logit_bias: { 5: 101 } }, 400, 'LOGIT_BIAS'],
  ['a bias of a name', { ...right, logit_bias: { a: 1 } }, 400, 'LOGIT_BIAS'],
  ['a bias of an id past the vocabulary', { ...right, logit_bias: { [V]: 1 } }, 400, 'LOGIT_BIAS'],
  ['options of a stream without one', { ...right, stream_options: { include_usage: true } }, 400, 'FIELD'],
  ['an unknown field of an object', { ...right, stream: true, stream_options: { '': 0 } }, 400, 'FIELD'],
  ['a suffix', { ...right, suffix: 'a' }, 400, 'FIELD'],
  ['best_of beside another n', { ...right, best_of: 3 }, 400, 'FIELD'],
  ['another model', { ...right, model: 'gpt-4' }, 404, 'MODEL'],
  [
    'a chat with a model that has no template',
    { messages: [{ role: 'user', content: 'a' }] },
    400,
    'CHAT_TEMPLATE_MISSING',
    '/v1/chat/completions',
  ],
  ['tools', { messages: [], tools: [{}] }, 400, 'FIELD', '/v1/chat/completions'],
  [
    'a role that is none',
    { messages: [{ role: 'robot', content: 'a' }] },
    400,
    'MESSAGES',
    '/v1/chat/completions',
  ],
  ['an effort', { messages: [], reasoning_effort: 'low' }, 400, 'FIELD', '/v1/chat/completions'],
  ['neither prompt nor messages', {}, 400, 'FIELD', '/tokenize'],
  ['ids past the vocabulary', { tokens: [V] }, 400, 'TOKENS', '/detokenize'],
]

describe('each wrong value has its code', () => {
  test.each(refusals.map((one) => [one[0], one] as const))('%s', async (_, [, body, status, code, path]) => {
    const answer = await ask<Refused>(server, path ?? '/v1/completions', body)
    expect([answer.status, answer.json.error.code]).toEqual([status, code])
    // Nothing of this machine is told.
    expect(answer.json.error.message).not.toMatch(/[\\/](tmp|home|work|usr|fixtures)[\\/]/)
    expect(answer.json.error.message.length).toBeLessThan(600)
  })

  test.each<[string, Body]>([
    [
      'planner: expected one of [^\n]*, got the text "grifin" \\(did you mean griffin\\?\\)',
      { ...right, planner: 'grifin' },
    ],
    ['planner: expected one of [^\n]*, got the text "best"', { ...right, planner: 'best' }],
    [
      'unknown field temprature \\(did you mean temperature\\?\\): expected a known one',
      { ...right, temprature: 1 },
    ],
    [
      'unknown field repeat_penalty \\(did you mean repetition_penalty\\?\\): expected a known one',
      { ...right, repeat_penalty: 1.1 },
    ],
    ['unknown field foo: expected one of model, max_tokens, [^\n]*', { ...right, foo: 1 }],
  ])('%s', async (words, body) => {
    const { error } = (await ask<Refused>(server, '/v1/completions', body)).json
    expect(error.message).toMatch(new RegExp(`^${words}$`))
  })

  test.each<[string, Body, string?]>([
    ['max_tokens', { ...right, max_tokens: -1 }],
    ['logit_bias', { ...right, logit_bias: { [V]: 1 } }],
    ['logit_bias', { ...right, logit_bias: 5 }],
    ['planner', { ...right, planner: 'static' }],
    ['prompt', { prompt: [], max_tokens: 1 }],
    ['messages', { messages: [{ role: 5, content: 'a' }] }, '/v1/chat/completions'],
    ['messages', { messages: [{ role: 'robot', content: 'a' }] }, '/v1/chat/completions'],
    ['prompt', { prompt: Array.from({ length: positions }, () => 3) }],
    ['model', { ...right, model: 'other' }],
    ['temprature', { ...right, temprature: 1 }],
    ['best_of', { ...right, best_of: 3 }],
    ['n', { ...right, n: 128, prompt: ['a', 'b'] }],
    ['stop', { ...right, stop: Array.from({ length: 17 }, () => 'a') }],
    ['max_tokens', { ...right, max_tokens: 10_000 }],
    ['prompt', { prompt: [V], max_tokens: 1 }],
    ['prompt', { prompt: 'a'.repeat(60_000), max_tokens: 1 }],
    ['sparsity', { ...right, planner: 'dense', sparsity: 0.5 }],
    ['every', { ...right, planner: 'griffin', every: 4 }],
    ['check', { ...right, planner: 'random', sparsity: 0.5, every: 4, check: 4 }],
    ['response_format', { messages: [], response_format: { type: 'json_object' } }, '/v1/chat/completions'],
    ['tokens', { tokens: [V] }, '/detokenize'],
  ])('the field at fault is told: %s', async (param, body, path = '/v1/completions') => {
    const { json } = await ask<Refused>(server, path, body)
    expect(json.error.param).toBe(param)
  })

  test.each<[string, Body]>([
    ['no JSON', '{'],
    ['another type than an object', '[]'],
  ])('no field is told of %s', async (_, body) => {
    expect((await ask<Refused>(server, '/v1/completions', body)).json.error.param).toBeNull()
  })

  test('null is no value, and neutral values of what is not supported are taken', async () => {
    const body = {
      ...right,
      n: null,
      stop: null,
      logprobs: null,
      presence_penalty: 0,
      logit_bias: {},
      suffix: null,
      prediction: null,
      best_of: 1,
      user: 'u',
    }
    expect((await ask(server, '/v1/completions', body)).status).toBe(200)
  })

  test.each(storages)('the planners that a refusal names can run with weights in %s', async (storage) => {
    await using stored = await ShadowModel.fromPretrained('embedded', { storage })
    const asked = serverOf(stored)
    const one = { ...right, max_tokens: 1 }
    const { json } = await ask<Refused>(asked, '/v1/completions', { ...one, planner: 'static' })
    const [, names = ''] = /^planner: expected one of (.*), got static: /.exec(json.error.message) ?? []
    const offered = names.split(', ')
    for (const planner of offered) await complete(asked, { ...one, planner })
    const takesGradients = generationPlanners.filter((name) => needs(name, 'prompt-loss'))
    const hasGradients = !storageNamed(storage).roundsActivations
    expect(offered.includes('prompt-plainact')).toBe(hasGradients)
    if (hasGradients) return
    const forward = vi.spyOn(stored.model, 'begin')
    for (const planner of takesGradients) {
      const { status, json: refused } = await ask<Refused>(asked, '/v1/completions', { ...one, planner })
      expect([status, refused.error.code, refused.error.param]).toEqual([400, 'STORAGE', 'planner'])
      expect(refused.error.message).toBe(
        `planner: expected one of ${names}, got ${planner}: it needs gradients, and weights in ${storage} have none; --storage f32 of the server widens them`,
      )
    }
    expect(forward).not.toHaveBeenCalled()
  })

  /** A value of each field that changes no token. */
  const labelled: Readonly<Record<keyof typeof labels, unknown>> = {
    user: 'u',
    safety_identifier: 'u',
    prompt_cache_key: 'k',
    prompt_cache_retention: '24h',
    service_tier: 'flex',
    metadata: { a: 'b' },
    store: true,
    prediction: { type: 'content', content: 'a' },
    parallel_tool_calls: false,
  }
  const chat = { messages: [{ role: 'user', content: 'a' }] }
  test.each(Object.entries(labelled))('%s, which changes no token, is taken', async (field, value) => {
    const { json, status } = await ask<Completion>(server, '/v1/completions', { ...right, [field]: value })
    const { choices } = await complete(server, { ...right, seed: json.choices[0].seed })
    expect([status, json.choices]).toEqual([200, choices])
    // The body is read before the template, which this model has not.
    const refused = await ask<Refused>(server, '/v1/chat/completions', { ...chat, [field]: value })
    expect(refused.json.error.code).toBe('CHAT_TEMPLATE_MISSING')
  })

  test.each<[string, unknown, string]>([
    ['tools', [{ type: 'function' }], 'nothing, as tools are not supported'],
    ['tool_choice', 'required', 'none, as tools are not supported'],
    ['functions', [{ name: 'f' }], 'nothing, as tools are not supported'],
    ['function_call', { name: 'f' }, 'none, as tools are not supported'],
    ['response_format', { type: 'json_schema' }, 'the format text, as others are not supported'],
    ['response_format', { type: 'json_object' }, 'the format text, as others are not supported'],
    ['modalities', ['text', 'audio'], 'text alone'],
    ['audio', { voice: 'alloy', format: 'wav' }, 'nothing, as audio is not supported'],
    ['web_search_options', {}, 'nothing, as searching the web is not supported'],
    ['verbosity', 'low', 'medium, as it is not supported'],
    ['reasoning_effort', 'low', 'nothing, as it is not supported'],
  ])('%s, which would change the answer, is refused in a line: %j', async (field, value, words) => {
    const body = { ...chat, [field]: value }
    const { status, json } = await ask<Refused>(server, '/v1/chat/completions', body)
    expect([status, json.error.code, json.error.param]).toEqual([400, 'FIELD', field])
    expect(json.error.message).toMatch(new RegExp(`^${field}[^\n]*: expected ${words}[^\n]*, got [^\n]+$`))
  })

  test('the most stop texts, and the longest, are taken', async () => {
    const most = Array.from({ length: 16 }, (_, i) => `${i}`.padEnd(1024, 'x'))
    expect((await ask(server, '/v1/completions', { ...right, stop: most })).status).toBe(200)
  })

  test('the right values are taken by the same tables', async () => {
    expect((await ask(server, '/v1/completions', right)).status).toBe(200)
    expect((await ask(server, '/v1/completions', { ...right, prompt: [V - 1] })).status).toBe(200)
    const fits = { prompt: Array.from({ length: positions - 1 }, () => 3), max_tokens: 1 }
    expect((await ask(server, '/v1/completions', fits)).status).toBe(200)
  })
})
