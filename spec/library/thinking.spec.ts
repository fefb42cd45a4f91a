/**
 * A model that thinks, through the library, the command line and the server: thinking is told apart and not sent back.
 *
 * Tests src/cli/step_printer.ts.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { plainScreen } from '../../src/cli/screen.ts'
import { collectText, ShadowModel, type GenerateStep } from '../../src/library/index.ts'
import { runInside } from '../cli/run_inside.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'
import { shownText } from '../../src/tensor/quote.ts'
import { requestOf, serverOf } from '../server/served.ts'
import { writeChatModel } from './chat_model.ts'

const folder = temporaryFolder()
const template = readFileSync(new URL('../../fixtures/templates/thinking.jinja', import.meta.url), 'utf8')
const form = { template, tokenizer: 'qwen2', added: ['<think>', '</think>'] } as const
const [plain, model] = [join(folder, 'plain'), join(folder, 'model')]
const messages = [{ role: 'user', content: 'Once upon' }]
/** The template opens the thinking. */
const thinks = { chatTemplateKwargs: { begins_thinking: true }, maxTokens: 8 }

// The fourth token of the answer changes its place in the model with the mark that ends the thinking.
await writeChatModel(plain, form)
const before = await ShadowModel.fromPretrained(plain)
const { ids } = await before.chatPrompt(messages, thinks.chatTemplateKwargs)
const { tokens: known } = await collectText(before.chat(messages, thinks))
await before.dispose()
const at = known.findIndex((id, i) => i > 2 && !ids.includes(id) && known.indexOf(id) === i)
await writeChatModel(model, { ...form, swap: [known[at], 701] })
const opt = await ShadowModel.fromPretrained(model)
afterAll(() => opt.dispose())
const [thought, answer] = [opt.tokenizer, opt.tokenizer].map((tokenizer, i) =>
  (tokenizer as NonNullable<typeof tokenizer>)
    .decode(i === 0 ? known.slice(0, at) : known.slice(at + 1), { skipSpecial: true, continues: i === 1 })
    .replace(/^\n+/, ''),
)

test('the model closes its thinking and answers', () => {
  expect(at).toBeGreaterThan(2)
  expect(at).toBeLessThan(7)
  expect(thought).not.toBe('')
  expect(answer).not.toBe('')
})

describe('the library', () => {
  test('marks what is thought; the answer is the rest', async () => {
    const steps: GenerateStep[] = []
    for await (const step of opt.chat(messages, thinks)) steps.push(step)
    expect(steps.map(({ thinking = false }) => thinking)).toEqual(known.map((_, i) => i <= at - 1))
    const { text, thinking, end } = await collectText(opt.chat(messages, thinks))
    expect({ text, thinking, end }).toEqual({ text: answer, thinking: thought, end: 'length' })
  })

  test('a session keeps the answer only', async () => {
    const session = await opt.openSession(join(folder, 'session'))
    await collectText(opt.chat(messages, { ...thinks, session }))
    expect(session.messages).toEqual([...messages, { role: 'assistant', content: answer }])
  })

  test('a stop text ends the answer, not the thinking', async () => {
    const stop = [...thought].find((letter) => !answer.includes(letter)) as string
    const ended = await collectText(opt.chat(messages, { ...thinks, stop }))
    expect([ended.thinking, ended.text]).toEqual([thought, answer])
    const cut = await collectText(opt.chat(messages, { ...thinks, stop: answer.slice(1) }))
    expect([cut.thinking, cut.text, cut.end]).toEqual([thought, answer.slice(0, 1), 'stop'])
  })

  test('generate knows no thinking', async () => {
    const { text, thinking } = await collectText(opt.generate(ids, { maxTokens: 8 }))
    expect(thinking).toBeUndefined()
    expect(text).toContain(thought.trim())
  })

  test('variables are refused in one line', () =>
    expect(opt.chat(messages, { chatTemplateKwargs: { messages: 'x' } }).next()).rejects.toMatchObject({
      code: 'TEMPLATE_VARIABLES',
    }))
})

describe('the command line', () => {
  const flags = [
    '-m',
    model,
    '--max-tokens',
    '8',
    '--temperature',
    '0',
    '--chat-template-kwargs',
    '{"begins_thinking":true}',
  ]

  test('chat prints the answer through a pipe, and JSON has both', async () => {
    const piped = await runInside(['chat', ...flags], { input: ['Once upon'] })
    expect(piped).toMatchObject({ code: 0, stdout: `${answer}\n` })
    const { stdout } = await runInside(['chat', ...flags, '--json'], { input: ['Once upon', 'more'] })
    const turns = stdout
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(turns[0]).toMatchObject({ answer, thinking: thought })
    const next = await opt.chatPrompt(
      [...messages, { role: 'assistant', content: answer }, { role: 'user', content: 'more' }],
      thinks.chatTemplateKwargs,
    )
    expect(turns[1]).toMatchObject({ prompt: { tokens: next.ids.length } })
  })

  test('generate --chat shows the thinking dimmed at a terminal, and the answer below it', async () => {
    const json = await runInside(['generate', 'Once upon', '--chat', ...flags, '--json'])
    expect(JSON.parse(json.stdout)).toMatchObject({ text: answer, thinking: thought })
    const screen = { ...plainScreen, columns: 80 }
    const { stdout } = await runInside(['generate', 'Once upon', '--chat', ...flags, '-q'], { screen })
    expect(stdout).toContain(shownText(`${thought}\n\n${answer}\n`))
    const { stdout: piped } = await runInside(['generate', 'Once upon', '--chat', ...flags, '-q'])
    expect(piped).toBe(`${answer}\n`)
  })
})

describe('the server', () => {
  const ask = async (body: object, variables = {}): Promise<Response> => {
    const server = serverOf(opt, { name: 'thinker', variables })
    try {
      const response = await server.fetch(
        requestOf('/v1/chat/completions', { messages, max_tokens: 8, temperature: 0, ...body }),
      )
      return new Response(await response.text(), response)
    } finally {
      await server.drain()
    }
  }
  const variables = { chat_template_kwargs: { begins_thinking: true } }

  test('answers with reasoning_content, whole and as a stream', async () => {
    const whole = (await (await ask(variables)).json()) as { choices: { message: object }[] }
    expect(whole.choices[0].message).toEqual({
      role: 'assistant',
      content: answer,
      reasoning_content: thought,
      refusal: null,
    })
    const events = (await (await ask({ ...variables, stream: true })).text())
      .split('\n\n')
      .filter((line) => line.startsWith('data: {'))
      .map((line) => JSON.parse(line.slice(6)) as { choices: { delta: Record<string, string> }[] })
    const joined = (field: string): string =>
      events.map(({ choices }) => choices[0].delta[field] ?? '').join('')
    expect([joined('reasoning_content'), joined('content')]).toEqual([thought, answer])
    expect(events[0].choices[0].delta.role).toBe('assistant')
  })

  test('variables of the server are those of requests that have none of their own', async () => {
    const thoughtOf = async (body: object, usual: object): Promise<string | undefined> =>
      ((await (await ask(body, usual)).json()) as { choices: { message: { reasoning_content?: string } }[] })
        .choices[0].message.reasoning_content
    const [yes, no] = [true, false].map((begins_thinking) => ({ begins_thinking }))
    expect(await thoughtOf({}, yes)).toBe(thought)
    expect(await thoughtOf({ chat_template_kwargs: no }, yes)).toBeUndefined()
    expect(await thoughtOf({ chat_template_kwargs: yes }, no)).toBe(thought)
    expect(await thoughtOf({}, {})).toBeUndefined()
  })

  test('a stop text ends the answer, not the thinking', async () => {
    const stop = [...thought].find((letter) => !answer.includes(letter)) as string
    const { choices } = (await (await ask({ ...variables, stop })).json()) as {
      choices: { message: object }[]
    }
    expect(choices[0].message).toMatchObject({ content: answer, reasoning_content: thought })
  })

  test('what was thought is not sent back, and wrong variables are refused', async () => {
    const tokens = async (reasoning: object): Promise<unknown> => {
      const said = [...messages, { role: 'assistant', content: 'a', ...reasoning }, messages[0]]
      return ((await (await ask({ messages: said })).json()) as { usage: { prompt_tokens: number } }).usage
        .prompt_tokens
    }
    expect(await tokens({ reasoning_content: 'long thoughts' })).toBe(await tokens({}))
    const refused = await ask({ chat_template_kwargs: { messages: 1 } })
    expect(refused.status).toBe(400)
    expect(await refused.text()).toContain('TEMPLATE_VARIABLES')
  })
})
