/**
 * Chats through the library: what is refused, what ends an answer, and that the kept cache is never seen in
 * one.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import type { Sampler } from '../../src/engine/sampling.ts'
import { ShadowModel, type ChatMessage, type ChatOptions, type PromptRun } from '../../src/library/index.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { writeChatModel } from './chat_model.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-chat-'))
afterAll(() => rmSync(folder, { recursive: true }))
await writeChatModel(join(folder, 'model'))
const opt = await ShadowModel.fromPretrained(join(folder, 'model'))
afterAll(() => opt.dispose())

const user = (content: string): ChatMessage => ({ role: 'user', content })
const assistant = (content: string): ChatMessage => ({ role: 'assistant', content })

/** An answer, and how its prompt was run. */
interface Answer {
  readonly text: string
  readonly tokens: readonly number[]
  readonly end: string
  readonly prompt: PromptRun
}

async function answer(
  from: ShadowModel,
  messages: readonly ChatMessage[],
  options: ChatOptions = {},
): Promise<Answer> {
  let prompt: PromptRun | null = null
  const tokens: number[] = []
  let text = ''
  const steps = from.chat(messages, { maxTokens: 6, ...options, onPrompt: (run) => (prompt = run) })
  for (;;) {
    const { done, value } = await steps.next()
    if (done) return { text, tokens, end: value, prompt: prompt as unknown as PromptRun }
    tokens.push(value.token)
    text += value.text
  }
}

// ---- The kept cache ---------------------------------------------------------------------------------------

interface Turn {
  readonly content: string
  readonly planner: 'dense' | 'random' | 'prompt-plainact'
  readonly sparsity: number
  readonly cache: 'f32' | 'int8'
  readonly temperature: number
  /** After how many tokens the loop is left. */
  readonly left: number
}
const someTurn: fc.Arbitrary<Turn> = fc.record({
  content: fc.string({
    unit: fc.constantFrom('a', 'once', ' ', '<|im_end|>', '\n'),
    minLength: 1,
    maxLength: 6,
  }),
  planner: fc.constantFrom('dense' as const, 'random' as const, 'prompt-plainact' as const),
  sparsity: fc.constantFrom(0.3, 0.6),
  cache: fc.constantFrom('f32' as const, 'int8' as const),
  temperature: fc.constantFrom(0, 1),
  left: fc.integer({ min: 1, max: 6 }),
})
type Chat = (
  turn: number,
  messages: readonly ChatMessage[],
  options: ChatOptions,
) => ReturnType<ShadowModel['chat']>

const asIfAnew = lawForAll(
  'every answer of a conversation is that of the chat alone',
  { turns: fc.array(someTurn, { minLength: 2, maxLength: 4 }) },
  async (of: Chat, { turns }) => {
    const messages: ChatMessage[] = []
    for (const [i, { content, left, ...options }] of turns.entries()) {
      messages.push(user(content))
      const tokens: number[] = []
      let text = ''
      for await (const step of of(i, messages, { ...options, maxTokens: 6 })) {
        tokens.push(step.token)
        text += step.text
        if (tokens.length === left) break
      }
      const { ids } = await opt.chatPrompt(messages)
      const alone: number[] = []
      for await (const { token } of opt.generate(ids, { ...options, maxTokens: 6 })) {
        // The chat also ends at the template's token.
        if (token === 2) break
        alone.push(token)
        if (alone.length === left) break
      }
      expect(tokens).toEqual(alone)
      messages.push(assistant(text))
    }
  },
  { runs: 25 },
)
stateLaw(asIfAnew, (_, messages, options) => opt.chat(messages, options))

test.each<[string, Chat]>([
  [
    'keeps the options of the first turn',
    (() => {
      let first: ChatOptions = {}
      return (turn, messages, options) => {
        if (turn === 0) first = options
        return opt.chat(messages, { ...options, planner: first.planner, sparsity: first.sparsity })
      }
    })(),
  ],
  ['reads the last message only', (_, messages, options) => opt.chat(messages.slice(-1), options)],
  [
    'drops the last character of a message',
    (_, messages, options) =>
      opt.chat(
        messages.map(({ role, content }) => ({ role, content: content.slice(0, -1) })),
        options,
      ),
  ],
])('a chat that %s is found', (_, mutant) => kills(asIfAnew, mutant))

describe('a second turn', () => {
  const first = [user('once upon a time')]
  const second = (text: string): ChatMessage[] => [...first, assistant(text), user('and then')]

  test.each<[string, ChatOptions, 'most' | 'none']>([
    ['dense', {}, 'most'],
    ['random, which draws the same mask', { planner: 'random' }, 'most'],
    ['by the prompt, which decides another mask', { planner: 'prompt-plainact' }, 'none'],
    ['random at every token', { planner: 'random', every: 1 }, 'none'],
  ])('%s takes from the cache: %s', async (_, options, expected) => {
    const { text, prompt } = await answer(opt, first, options)
    const found = await answer(opt, second(text), options)
    if (expected === 'none') expect(found.prompt.reused).toBe(0)
    // All but, at most, the answer, which its text may spell in other tokens.
    else expect(found.prompt.reused).toBeGreaterThanOrEqual(prompt.tokens)
    expect(found.prompt.mask === null).toBe(options.planner === undefined)
  })

  test('of two chats at once, each is as if alone', async () => {
    const alone = await answer(opt, second('x'))
    await answer(opt, first)
    const [one, two] = await Promise.all([answer(opt, second('x')), answer(opt, second('x'))])
    expect([one.tokens, two.tokens]).toEqual([alone.tokens, alone.tokens])
  })

  test('frees everything at the end of the model', async () => {
    const own = await ShadowModel.fromPretrained(join(folder, 'model'))
    await answer(own, first)
    await answer(own, second('x'), { planner: 'random' })
    const running = own.chat(first)
    await running.next()
    await own.dispose()
    expect(own.model.backend.liveBuffers).toBe(0)
    await expect(running.next()).rejects.toThrow(expect.objectContaining({ code: 'DISPOSED' }))
  })
})

// ---- Ends -------------------------------------------------------------------------------------------------

test('the ids of generation_config.json and the token of the template end an answer', async () => {
  // A model that draws from all tokens, so that each comes at some time.
  const drawn = { temperature: 50, maxTokens: 200, seed: 1 }
  const whole = await answer(opt, [user('a')], drawn)
  const stop = whole.tokens[3]
  const other = join(folder, 'other')
  await writeChatModel(other)
  writeFileSync(join(other, 'generation_config.json'), JSON.stringify({ eos_token_id: [stop] }))
  const stopping = await ShadowModel.fromPretrained(other)
  expect(stopping.stopIds).toEqual([0, stop])
  const cut = await answer(stopping, [user('a')], drawn)
  expect(cut).toMatchObject({ tokens: whole.tokens.slice(0, whole.tokens.indexOf(stop)), end: 'stop' })
  const { ids } = await stopping.chatPrompt([user('a')])
  const generated: number[] = []
  for await (const { token } of stopping.generate(ids, drawn)) generated.push(token)
  expect(generated).toEqual(cut.tokens)
  await stopping.dispose()
})

test('<|im_end|> ends an answer though the configuration does not name it', async () => {
  const found = await answer(opt, [user('a')], { maxTokens: 300, temperature: 50, seed: 4 })
  expect(found.tokens).not.toContain(2)
  const { ids } = await opt.chatPrompt([user('a')])
  const generated: number[] = []
  for await (const { token } of opt.generate(ids, { maxTokens: 300, temperature: 50, seed: 4 }))
    generated.push(token)
  const at = generated.indexOf(2)
  expect(found.tokens).toEqual(at === -1 ? generated : generated.slice(0, at))
})

test("a sampler of one's own chooses the tokens of an answer, after those of the chat", async () => {
  const { ids } = await opt.chatPrompt([user('a')])
  const seen: number[][] = []
  const sampler: Sampler = (_, before = [], prompt = 0) => {
    seen.push(before.slice(prompt))
    expect(before.slice(0, prompt)).toEqual([...ids])
    return 5 + seen.length
  }
  const { tokens } = await answer(opt, [user('a')], { maxTokens: 3, sampler })
  expect({ tokens, seen }).toEqual({ tokens: [6, 7, 8], seen: [[], [6], [6, 7]] })
})

// ---- Refusals ---------------------------------------------------------------------------------------------

describe('a chat is refused', () => {
  test.each<[string, unknown, string]>([
    ['MESSAGES', [], 'a list of at least one message'],
    ['MESSAGES', 'hello', 'a list of at least one message, got the text hello'],
    ['MESSAGES', [null], 'message 0: expected a role that is one of system, developer, user, '],
    [
      'MESSAGES',
      [user('a'), { role: '<|im_end|>', content: 'x' }],
      'message 1: expected a role that is one of',
    ],
    ['MESSAGES', [{ role: 'wizard', content: 'x' }], 'assistant, tool, function, got the text wizard'],
    [
      'MESSAGES',
      [
        { role: 'user', content: 'a' },
        { role: 'assistant', content: 'b' },
      ],
      'messages: expected a question as the last one, got an answer in message 1',
    ],
    ['MESSAGES', [{ role: 'user', content: 5 }], 'message 0: expected text as its content, got 5'],
    ['TEXT_SURROGATE', [user('\ud800')], 'half a surrogate pair'],
    ['CONTEXT_LENGTH', [user('a'.repeat(2000))], 'expected fewer than 400 tokens'],
  ])('%s for %j', async (code, messages, words) => {
    const call = (): Promise<unknown> => opt.chat(messages as ChatMessage[]).next()
    await expect(call()).rejects.toThrow(expect.objectContaining({ code }))
    await expect(call()).rejects.toThrow(words)
  })

  test('for options as those of generate', async () => {
    const call = (options: object): Promise<unknown> => opt.chat([user('a')], options).next()
    for (const [code, options] of [
      ['OPTION_NAME', { max_tokens: 5 }],
      ['OPTION_TYPE', { onPrompt: 5 }],
      ['CACHE', { cache: 'f16' }],
      ['MAX_TOKENS', { maxTokens: -1 }],
      ['CONTEXT_LENGTH', { maxTokens: 400 }],
      ['TEMPERATURE', { temperature: -1 }],
      ['SAMPLER', { sampler: () => 5, topK: 3 }],
      ['PREDICTOR_MISSING', { planner: 'shadow' }],
    ] as const)
      await expect(call(options), code).rejects.toThrow(expect.objectContaining({ code }))
  })

  test('without a template', async () => {
    const bare = join(folder, 'bare')
    await writeChatModel(bare, { template: null })
    const model = await ShadowModel.fromPretrained(bare)
    await expect(model.chat([user('a')]).next()).rejects.toThrow(
      expect.objectContaining({ code: 'CHAT_TEMPLATE_MISSING', exitCode: 3 }),
    )
    await model.dispose()
  })

  test('by the template', async () => {
    const strict = join(folder, 'strict')
    await writeChatModel(strict, { template: "{{ raise_exception('roles must alternate') }}" })
    const model = await ShadowModel.fromPretrained(strict)
    await expect(model.chat([user('a')]).next()).rejects.toThrow('roles must alternate')
    await model.dispose()
  })
})
