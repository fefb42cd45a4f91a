/**
 * `shadowllm chat`: conversations through a pipe and, with the terminal played by the test, typed ones.
 *
 * Tests src/cli/commands/chat.ts, src/cli/chat_loop.ts and src/cli/writing_flags.ts.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { runChat } from '../../../src/cli/chat_loop.ts'
import { plainScreen, render, type Text } from '../../../src/cli/screen.ts'
import type { Session } from '../../../src/cli/session.ts'
import { shownText } from '../../../src/tensor/quote.ts'
import { ShadowModel, type ChatMessage, type TextSession } from '../../../src/library/index.ts'
import type { Interrupted, LineInput } from '../../../src/platform/platform.ts'
import { writeChatModel } from '../../library/chat_model.ts'
import type { CliResult } from '../run_cli.ts'
import { quietSession, runInside } from '../run_inside.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-chat-'))
afterAll(() => rmSync(folder, { recursive: true }))
const model = join(folder, 'model')
await writeChatModel(model)

const chat = (input: readonly string[], ...flags: string[]): Promise<CliResult> =>
  runInside(['chat', '-m', model, '--max-tokens', '5', ...flags], { input })

interface Turn {
  readonly message: string
  readonly answer: string
  readonly tokens: number[]
  readonly end: string
  readonly prompt: { readonly tokens: number; readonly reused: number }
  readonly planner: string
  readonly sparsity: number
  readonly skipped: number
  readonly decisions: number
  readonly checked?: { readonly checks: number }
  readonly temperature: number
  readonly seed: number
}
const turnsOf = ({ stdout }: CliResult): Turn[] =>
  stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Turn)

describe('through a pipe', () => {
  test('a line is a message and an answer follows; the conversation is the prompt of the next', async () => {
    const { code, stdout, stderr } = await chat(['once', '', 'and then'])
    expect([code, stderr]).toEqual([0, ''])
    const turns = turnsOf(await chat(['once', 'and then'], '--json'))
    expect(turns.map(({ message }) => message)).toEqual(['once', 'and then'])
    expect(stdout).toBe(turns.map(({ answer }) => `${answer}\n`).join(''))
    const opt = await ShadowModel.fromPretrained(model)
    const messages = [
      { role: 'user', content: 'once' },
      { role: 'assistant', content: turns[0].answer },
      { role: 'user', content: 'and then' },
    ]
    const { ids } = await opt.chatPrompt(messages)
    expect(turns[1].prompt.tokens).toBe(ids.length)
    expect(turns[1].prompt.reused).toBeGreaterThan(0)
    const tokens: number[] = []
    for await (const step of opt.chat(messages, { maxTokens: 5 })) tokens.push(step.token)
    expect(turns[1].tokens).toEqual(tokens)
    await opt.dispose()
  })

  test('commands change what the next answers skip, and show the mask', async () => {
    const input = [
      'a',
      '/planner random',
      '/sparsity 0.75',
      'a',
      '/new',
      '/sparsity 0',
      'a',
      '/planner dense',
      'a',
    ]
    const { stdout } = await chat(input, '--json')
    const shown = turnsOf({ code: 0, stdout, stderr: '' })
    expect(shown.map(({ planner, sparsity }) => [planner, sparsity])).toEqual([
      ['dense', 0],
      ['random', 0.75],
      ['random', 0],
      ['dense', 0],
    ])
    expect(shown[1].skipped).toBeGreaterThan(0.4)
    expect([shown[0].skipped, shown[2].skipped]).toEqual([0, 0])
    // The conversation was forgotten.
    expect(shown[2].prompt.tokens).toBe(shown[0].prompt.tokens)
    const words = await chat(['/mask', 'a', '/mask', '/planner random', 'a', '/mask'])
    expect(words.stdout).toMatch(/^no answer yet\n/)
    expect(words.stdout).toContain('dense: everything was computed')
    expect(words.stdout).toMatch(/layer +heads +kept/)
  })

  test('a sparsity in a dense conversation asks for the planner shadow', async () => {
    const { stderr } = await chat(['/sparsity 0.5', '/sparsity 0', 'a'], '--json')
    // The model has no predictor; nothing is skipped without one.
    expect(stderr).toMatch(/^shadowllm: planner shadow: expected a predictor .* \[PREDICTOR_MISSING\]\ndense/)
  })

  test('a turn tells how many masks were decided, and what dense checks did, whose answer is the dense one', async () => {
    const flags = ['--json', '--planner', 'random', '--sparsity', '0.75']
    const [dense] = turnsOf(await chat(['a'], '--json'))
    const [masked] = turnsOf(await chat(['a'], ...flags, '--every', '1'))
    const [checked] = turnsOf(await chat(['a'], ...flags, '--check', '3'))
    expect([dense.decisions, dense.checked]).toEqual([0, undefined])
    expect([masked.decisions, masked.checked]).toEqual([masked.tokens.length, undefined])
    expect([checked.decisions, checked.answer]).toEqual([1, dense.answer])
    expect(checked.checked?.checks).toBeGreaterThanOrEqual(2)
    const refused = await chat(['a'], ...flags, '--check', '3', '--every', '2')
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining('check: expected a planner')])
  })

  test('under a mask after a dense prompt the last prompt is used again, and the answers are those of a chat that reads all anew', async () => {
    const flags = ['--json', '--planner', 'random', '--sparsity', '0.75', '--prefill', 'dense']
    const input = ['once', 'upon', 'a time']
    const turns = turnsOf(await chat(input, ...flags))
    expect(turns.map(({ prompt }) => prompt.reused)).toEqual([
      0,
      turns[0].prompt.tokens,
      turns[1].prompt.tokens,
    ])
    const dense = turnsOf(await chat(input, '--json'))
    const checked = turnsOf(await chat(input, ...flags, '--check', '3'))
    expect(checked.map(({ answer }) => answer)).toEqual(dense.map(({ answer }) => answer))
    expect(checked[2].prompt.reused).toBe(checked[1].prompt.tokens)
    const saved = ['--session', join(folder, 'dense-prompt')]
    const first = turnsOf(await chat(input.slice(0, 2), ...flags, ...saved))
    const [last] = turnsOf(await chat(input.slice(2), ...flags, ...saved))
    expect([...first, last].map(({ tokens }) => tokens)).toEqual(turns.map(({ tokens }) => tokens))
    expect(last.prompt).toEqual(turns[2].prompt)
  })

  test('/again answers the last message in place of its answer, which stays if there is no other', async () => {
    const asked = ['once', 'a', '/planner random', '/again', '/planner dense', 'b']
    const [once, first, again, next] = turnsOf(await chat(asked, '--json'))
    expect(again).toMatchObject({ message: 'a', planner: 'random', prompt: { tokens: first.prompt.tokens } })
    expect(again.tokens).not.toEqual(first.tokens)
    // What follows is asked behind the new answer.
    const said = ['once', once.answer, 'a', again.answer, 'b']
    const messages = said.map((content, i) => ({ role: i % 2 === 0 ? 'user' : 'assistant', content }))
    await using opt = await ShadowModel.fromPretrained(model)
    expect(next.prompt.tokens).toBe((await opt.chatPrompt(messages)).ids.length)
    const tokens: number[] = []
    for await (const step of opt.chat(messages, { maxTokens: 5 })) tokens.push(step.token)
    expect(next.tokens).toEqual(tokens)
    const plain = turnsOf(await chat(['once', 'a', 'b'], '--json'))
    const long = `/system ${'x'.repeat(3000)}`
    const refused = await chat(['once', 'a', long, '/again', '/system none', 'b'], '--json')
    expect(refused.stderr).toContain('[CONTEXT_LENGTH]')
    expect(turnsOf(refused).at(-1)).toMatchObject({ tokens: plain[2].tokens, prompt: plain[2].prompt })
    expect((await chat(['/again'])).stdout).toBe('no answer yet\n')
  })

  test('/undo takes the last message and its answer back, in the session too', async () => {
    const file = join(folder, 'undo.session')
    const flags = ['--json', '--session', file, '--system', 'Be odd.']
    const asked = await chat(['/undo', 'once', 'a', '/undo', '/mask', 'b'], ...flags)
    expect(asked.stderr.trimEnd().split('\n')).toEqual([
      'nothing to take back',
      'taken back: a',
      'no mask of the last answer is kept; /again decides it anew',
    ])
    const plain = turnsOf(await chat(['once', 'b'], '--json', '--system', 'Be odd.'))
    const undone = turnsOf(asked)
    expect(undone[2].tokens).toEqual(plain[1].tokens)
    expect(undone[2].prompt.tokens).toBe(plain[1].prompt.tokens)
    await chat(['/undo'], ...flags)
    await using opt = await ShadowModel.fromPretrained(model)
    const { messages } = await opt.openSession(file)
    expect(messages.map(({ content }) => content)).toEqual(['Be odd.', 'once', undone[0].answer])
    // What follows in another process is what would have followed.
    expect(turnsOf(await chat(['b'], ...flags))[0].tokens).toEqual(plain[1].tokens)
    await chat(['/undo', '/undo'], ...flags)
    expect((await opt.openSession(file)).messages).toEqual([])
  })

  test('after /new, and after a session, /mask and /again agree about the last answer', async () => {
    const file = join(folder, 'mask.session')
    const flags = ['--planner', 'random', '--quiet']
    const { stdout } = await chat(['a', '/new', '/mask', '/again'], ...flags, '--session', file)
    expect(stdout).toMatch(/\nthe conversation is forgotten\nno answer yet\nno answer yet\n$/)
    await chat(['a'], ...flags, '--session', file)
    const after = await chat(['/mask', '/again', '/mask'], ...flags, '--session', file)
    expect(after.stdout).toMatch(/^no mask of the last answer is kept; \/again decides it anew\n/)
    expect(after.stdout).toMatch(/layer +heads +kept/)
  })

  test('a session of another cache, or of a text, is refused at the start and stays', async () => {
    const file = join(folder, 'cache.session')
    expect(await chat(['a'], '--session', file)).toMatchObject({ code: 0 })
    const before = readFileSync(file)
    const refused = await chat(['a'], '--session', file, '--cache', 'int8', '--quiet')
    const line = `shadowllm: --cache: expected f32, as in ${file}, got int8; the same goes on, another file begins anew [SESSION]\n`
    expect(refused).toEqual({ code: 2, stdout: '', stderr: line })
    expect(readFileSync(file)).toEqual(before)
    const text = join(folder, 'text.session')
    await runInside(['generate', 'a', '-m', model, '--max-tokens', '2', '--session', text])
    expect(await chat(['a'], '--session', text)).toEqual({
      code: 2,
      stdout: '',
      stderr: `shadowllm: --session: expected a chat, as in ${text}, got a text; the same goes on, another file begins anew [SESSION]\n`,
    })
  })

  test('blanks before a slash, and a word that is nearly a command, are a message', async () => {
    const { stdout } = await chat([' /help', 'help'], '--json')
    expect(turnsOf({ code: 0, stdout, stderr: '' }).map(({ message }) => message)).toEqual([' /help', 'help'])
    expect((await chat(['help'])).stdout).not.toContain('/help')
  })

  test('/max-tokens alone tells the default limit too', async () => {
    const { stdout } = await runInside(['chat', '-m', model], { input: ['/max-tokens', '/max-tokens 7'] })
    expect(stdout).toBe('greedy; at most 1,024 tokens\ngreedy; at most 7 tokens\n')
  })

  test('/again draws with the next seed', async () => {
    const drawn = turnsOf(await chat(['once', '/again', '/again'], '--json', '--temperature', '9'))
    expect(drawn.map(({ seed }) => seed)).toEqual([0, 1, 2])
    expect(new Set(drawn.map(({ tokens }) => tokens.join())).size).toBe(3)
    const greedy = turnsOf(await chat(['once', '/again'], '--json'))
    expect(greedy[1]).toMatchObject({ seed: 0, tokens: greedy[0].tokens })
  })

  test('/settings shows all settings in force', async () => {
    const file = join(folder, 'settings.session')
    const flags = ['--planner', 'random', '--check', '3', '--session', file, '--quiet']
    const { code, stdout } = await chat(['/system Be odd.', 'a', '/settings'], ...flags)
    const rows = [
      `model ${model}`,
      'skipped random, 50.0 %; --check 3',
      'drawing greedy',
      'answers at most 5 tokens',
      'system message Be odd.',
      `conversation 2 messages; saved in ${file}`,
    ]
    expect([code, stdout.replaceAll(/\s+/g, ' ')]).toEqual([
      0,
      expect.stringContaining(` ${rows.join(' ')} `),
    ])
    expect((await chat(['/settings'])).stdout).toContain('\n  skipped         dense: nothing is skipped\n')
  })

  test('an answer that only repeats itself ends, its text stays, and a line names what helps', async () => {
    const flags = ['--max-tokens', '200', '--temperature', '1', '--logit-bias', '{"42":100}', '--json']
    const { code, stdout, stderr } = await chat(['a', 'b'], ...flags)
    const [first, second] = turnsOf({ code, stdout, stderr })
    expect([first.end, first.tokens]).toEqual(['repetition', Array.from({ length: 96 }, () => 42)])
    expect(second.prompt.tokens).toBeGreaterThan(96)
    const line = '[ended: the last token came 96 times in a row; /repetition-penalty 1.2 makes loops rarer]\n'
    expect([code, stderr]).toEqual([0, line.repeat(2)])
    expect((await chat(['a'], ...flags, '--quiet', '--planner', 'random')).stderr).toBe('')
    expect((await chat(['a'], ...flags, '--planner', 'random')).stderr).toContain('a lower /sparsity]')
  })

  test('an answer that the model ends at once is said to be none', async () => {
    const ended = ['--logit-bias', '{"2":100}']
    const none = '[no text: the model ended its answer at once]\n'
    expect(await chat(['a'], ...ended)).toMatchObject({ code: 0, stdout: '\n', stderr: none })
    expect((await chat(['a'])).stderr).toBe('')
    for (const flag of ['--json', '--quiet']) expect((await chat(['a'], ...ended, flag)).stderr).toBe('')
  })

  test('/help NAME is the help of one command, with or without its slash; a name that is none is refused', async () => {
    const { stdout, stderr } = await chat(['/help sparsity', '/help /top-k', '/help exit', '/help topic'])
    expect(stdout).toMatch(/^ {2}\/sparsity SHARE {2}skip this share of heads and neurons/)
    expect(stdout).toContain('\n  /top-k <count>  draw among this many tokens only')
    expect(stdout).toMatch(/\n {2}\/quit, \/exit {5}end, as ctrl-D does\n$/)
    expect(stdout).not.toContain('/again')
    expect(stderr).toMatch(/^shadowllm: \/topic: unknown command.*\[UNKNOWN_COMMAND\]\n$/)
  })

  test('/sparsity and /planner alone tell what is set', async () => {
    const asked = ['/planner', '/planner random', '/sparsity 0.25', '/sparsity', '/planner']
    const { code, stdout } = await chat(asked, '--quiet')
    const set = ['random, 50.0 %', ...Array.from({ length: 3 }, () => 'random, 25.0 %')]
    expect([code, stdout]).toEqual([0, `${['dense: nothing is skipped', ...set].join('\n')}\n`])
  })

  test('a planner that is changed between answers says that they stay; with --json and --quiet it does not', async () => {
    const input = ['/planner random', 'a', '/sparsity 0.25']
    const said = 'random, 25.0 %; earlier answers stay: /again replaces the last one, /new forgets all\n'
    const { stdout } = await chat(input)
    expect(stdout).toMatch(/^random, 50.0 %\n/)
    expect(stdout.endsWith(said)).toBe(true)
    expect((await chat(input, '--quiet')).stdout.endsWith('random, 25.0 %\n')).toBe(true)
    expect((await chat(input, '--json')).stderr).toBe('random, 50.0 %\nrandom, 25.0 %\n')
  })

  test('an answer has at least a token, and an unknown planner is refused by the name of its command', async () => {
    const { code, stderr } = await chat(['/max-tokens 0', '/planner foo'])
    expect(code).toBe(2)
    const refused = 'shadowllm: /max-tokens: expected a whole number from 1 to 400, got 0 [MAX_TOKENS]\n'
    expect(stderr.startsWith(refused)).toBe(true)
    expect(stderr.slice(refused.length)).toMatch(/^shadowllm: \/planner: expected one of dense, .*, got foo/)
    expect((await chat(['a'], '--max-tokens', '0')).stderr).toContain('--max-tokens: expected a whole number')
  })

  test('a system message is set by its flag and its command, and outlives /new', async () => {
    const sizes = (input: readonly string[], ...flags: string[]) =>
      chat(input, '--json', ...flags).then((result) => turnsOf(result).map(({ prompt }) => prompt.tokens))
    const [bare] = await sizes(['a'])
    const [given] = await sizes(['a'], '--system', 'You answer with one word only.')
    expect(given).toBeGreaterThan(bare)
    expect(
      await sizes([
        '/system You answer with one word only.',
        'a',
        '/new',
        'a',
        '/system',
        '/system none',
        '/new',
        'a',
      ]),
    ).toEqual([given, given, bare])
  })

  test('/system alone shows the message and keeps it; none removes it and says what it was', async () => {
    const none = "none but the chat template's, if it has one"
    const asked = ['/system', '/system Be brief.', '/system', 'a', '/system none', '/system none', '/system']
    const { stderr, stdout } = await chat(asked, '--json')
    expect(stderr.trimEnd().split('\n')).toEqual([
      none,
      'system message: Be brief.',
      'system message: Be brief.',
      'system message removed: Be brief.',
      none,
      none,
    ])
    const [flagged] = turnsOf(await chat(['a'], '--json', '--system', 'Be brief.'))
    expect(turnsOf({ code: 0, stdout, stderr })[0].tokens).toEqual(flagged.tokens)
  })

  test('an error is one line, takes its message back, and the conversation goes on', async () => {
    const input = [
      '/foo',
      '/sparsity 2',
      '/planner nobody',
      '/planner shadow',
      'x'.repeat(3000),
      'a',
      '/quit',
      'a',
    ]
    const { code, stdout, stderr } = await chat(input, '--json')
    expect(turnsOf({ code, stdout, stderr })).toHaveLength(1)
    expect(turnsOf({ code, stdout, stderr })[0]).toMatchObject({ message: 'a', planner: 'dense' })
    const codes = [...stderr.matchAll(/^shadowllm: [^\n]+ \[([A-Z_]+)\]$/gm)].map(([, name]) => name)
    expect(codes).toEqual(['UNKNOWN_COMMAND', 'SPARSITY', 'PLANNER', 'PREDICTOR_MISSING', 'CONTEXT_LENGTH'])
    expect(code).toBe(2)
  })

  test('where the context is full, a line after the error says what makes room', async () => {
    const { stderr } = await chat(['x'.repeat(3000), 'a', 'x'.repeat(3000)])
    const [first, second, note] = stderr.trimEnd().split('\n')
    for (const error of [first, second])
      expect(error).toMatch(
        /^shadowllm: prompt: expected fewer than \d+ tokens \(the model's context\), got \d+; shorten it \[CONTEXT_LENGTH\]$/,
      )
    expect(note).toBe('(/new forgets the conversation, /undo its last message and answer)')
  })

  test('//TEXT is a message that begins with a slash', async () => {
    const [{ message }] = turnsOf(await chat(['//help'], '--json'))
    expect(message).toBe('/help')
  })

  test('ctrl-C ends the program with 130', async () => {
    const args = ['chat', '-m', model, '--max-tokens', '300', '--temperature', '9']
    const interruptWhen = ({ stdout }: { stdout: string }): boolean => stdout !== ''
    const { code, stdout, stderr } = await runInside(args, { input: ['a', 'a'], interruptWhen })
    expect([code, stderr]).toEqual([130, 'shadowllm: interrupted [INTERRUPTED]\n'])
    // What was printed when it was pressed, and not 300 tokens.
    expect(stdout.length).toBeLessThan(100)
  })

  test('a session that cannot be written is refused before the model is read', async () => {
    const args = ['-m', join(folder, 'no-model'), '--session', join(folder, 'none', 'file')]
    for (const command of [['chat'], ['generate', 'a']])
      expect((await runInside([...command, ...args])).stderr).toContain(
        'expected an existing folder to write into, got none [OUTPUT]',
      )
  })

  test('a model without a template, and a planner without its file, are refused at the start', async () => {
    const unnamed =
      'shadowllm: --model: expected a model with a chat template, got none; a GGUF file of one will do'
    for (const command of [['chat'], ['generate', '--chat', 'a']]) {
      const refused = await runInside(command, { input: ['a'] })
      expect([refused.code, refused.stdout]).toEqual([2, ''])
      expect(refused.stderr).toMatch(/ the name \S+\/\S+ \[CHAT_TEMPLATE_MISSING\]\n$/)
      expect(refused.stderr.startsWith(unnamed)).toBe(true)
      const named = await runInside([...command, '-m', 'embedded'], { input: ['a'] })
      expect([named.code, named.stdout]).toEqual([3, ''])
      expect(named.stderr).toContain(': expected a model with a chat template, such as ')
    }
    expect(await chat(['a'], '--planner', 'dejavu')).toMatchObject({ code: 4, stdout: '' })
  })
})

test('generate --chat answers a message, as a chat of one turn does', async () => {
  const [{ answer, tokens }] = turnsOf(await chat(['once'], '--json', '--system', 'Be odd.'))
  const args = ['generate', 'once', '-m', model, '--chat', '--system', 'Be odd.', '--max-tokens', '5']
  expect((await runInside(args)).stdout).toBe(`${shownText(answer)}\n`)
  expect(JSON.parse((await runInside([...args, '--json'])).stdout)).toMatchObject({
    prompt: 'once',
    system: 'Be odd.',
    text: answer,
    tokens,
  })
  expect((await runInside(['generate', 'once', '--chat'])).stderr).toContain('[CHAT_TEMPLATE_MISSING]')
})

test('at a terminal flags that are left open are the options of generation_config.json; a pipe uses them with --temperature only', async () => {
  const path = join(folder, 'drawing')
  await writeChatModel(path, { generation: { do_sample: true, temperature: 0.5, top_k: 7, top_p: 0.9 } })
  const screen = { columns: 80, hasColours: false }
  const answer = async (typed: boolean, ...flags: string[]): Promise<string> => {
    const args = ['chat', '-m', path, '--max-tokens', '24', '--quiet', ...flags]
    return (await runInside(args, { input: ['once'], ...(typed && { screen }) })).stdout
  }
  const own = ['--temperature', '0.5', '--top-k', '7', '--top-p', '0.9']
  const greedy = await answer(false)
  const drawn = await answer(true)
  expect(drawn).not.toBe(greedy)
  expect(await answer(false, ...own)).toBe(drawn)
  expect(await answer(false, '--temperature', '0.5')).toBe(drawn)
  expect(await answer(true, '--temperature', '0')).toBe(greedy)
  expect(await answer(true, '--top-k', '1')).toBe(greedy)
})

test('at a terminal tokens are drawn at temperature 0.7 with seed 0; a pipe and --json get greedy answers', async () => {
  const [greedy] = turnsOf(await chat(['once'], '--json'))
  const [drawn] = turnsOf(await chat(['once'], '--json', '--temperature', '0.7'))
  expect([greedy, drawn]).toMatchObject([
    { temperature: 0, seed: 0 },
    { temperature: 0.7, seed: 0 },
  ])
  expect(drawn.tokens).not.toEqual(greedy.tokens)
  const args = ['chat', '-m', model, '--max-tokens', '5']
  const input = ['once']
  const { stdout } = await runInside(args, { input, screen: { ...plainScreen } })
  expect(stdout).toBe(`${shownText(drawn.answer)}\n`)
  expect((await runInside(args, { input })).stdout).toBe(`${shownText(greedy.answer)}\n`)
  const json = await runInside([...args, '--json'], { input, screen: { ...plainScreen } })
  expect(turnsOf(json)).toMatchObject([{ temperature: 0, tokens: greedy.tokens }])
})

// ---- A terminal -------------------------------------------------------------------------------------------

/** What happens at the terminal: a line, ctrl-C instead of one, or ctrl-C at so many characters of output. */
type Event = string | Interrupted | { readonly line: string; readonly interruptAt: number }

/** What was seen of a conversation. */
interface Seen {
  readonly stdout: string
  readonly notes: readonly string[]
  readonly exitCode: number
  /** The messages of each chat. */
  readonly chats: readonly (readonly ChatMessage[])[]
}

/** Plays a terminal. @param broken parts of the session that a mutant replaces */
async function typed(
  events: readonly Event[],
  flags: Partial<Parameters<typeof runChat>[2]> = {},
  broken: Partial<Session> = {},
): Promise<Seen> {
  const opt = await ShadowModel.fromPretrained(model)
  const chats: (readonly ChatMessage[])[] = []
  const answering = opt.chat.bind(opt)
  opt.chat = (messages, options) => {
    chats.push(messages)
    return answering(messages, options)
  }
  const rest = [...events]
  const notes: string[] = []
  let [stdout, interruptAt] = ['', Infinity]
  let handler: (() => void) | null = null
  const lines: LineInput = {
    isTerminal: true,
    next: async () => {
      expect(handler).toBeNull()
      const event = rest.shift() ?? null
      interruptAt = Infinity
      if (event === null || typeof event === 'string' || 'isEmpty' in event) return event
      interruptAt = stdout.length + event.interruptAt
      return event.line
    },
    close: () => {},
  }
  const print = (text: string): void => {
    stdout += text
    if (stdout.length >= interruptAt) handler?.()
  }
  const session: Session = {
    ...quietSession(print, [], { complain: (line) => void notes.push(line.trimEnd()) }),
    isTerminal: true,
    lines: () => lines,
    takeInterrupts: (take) => {
      handler = take
      return () => void (handler = null)
    },
    ...broken,
  }
  const options = { planner: 'dense', sparsity: 0.5, maxTokens: 12, temperature: 9 } as const
  try {
    await runChat(session, opt, { options, ...flags }, session.lines())
  } finally {
    await opt.dispose()
  }
  return { stdout, notes, exitCode: session.exitCode, chats }
}

describe('at a terminal', () => {
  /** Ctrl-C in the first answer: it ends there, and its part is the beginning of the next prompt. */
  const endsTheAnswer = async (broken: Partial<Session> = {}): Promise<void> => {
    const whole = await typed(['once', 'a'])
    const cut = await typed([{ line: 'once', interruptAt: 2 }, 'a'], {}, broken)
    expect(cut.notes).toHaveLength(2)
    expect(cut.notes[0]).toContain('interrupted')
    const [, [first, part, last]] = cut.chats
    expect([first.content, part.role, last.content]).toEqual(['once', 'assistant', 'a'])
    expect(part.content.length).toBeGreaterThanOrEqual(2)
    expect(whole.chats[1][1].content.startsWith(part.content)).toBe(true)
    expect(part.content.length).toBeLessThan(whole.chats[1][1].content.length)
    expect(cut.exitCode).toBe(0)
  }

  test('ctrl-C ends an answer, of which the part so far is kept, and not the program', () => endsTheAnswer())

  test('ctrl-C before the first token forgets the message, and says so', async () => {
    let count = 0
    const takeInterrupts: Session['takeInterrupts'] = (take) => {
      if (count++ === 0) queueMicrotask(take)
      return () => {}
    }
    const { notes, chats, exitCode, stdout } = await typed(['once', 'a'], {}, { takeInterrupts })
    expect(notes[0]).toBe(
      '[interrupted before the first token; the message is forgotten, and the up key brings it back]',
    )
    expect(chats[1]).toEqual([{ role: 'user', content: 'a' }])
    expect([exitCode, notes.length]).toEqual([0, 2])
    expect(stdout.split('\n').length).toBeGreaterThan(2)
  })

  test.each<[string, Partial<Session>]>([
    ['does not tell of ctrl-C', { takeInterrupts: () => () => {} }],
    [
      'tells of ctrl-C before an answer',
      {
        takeInterrupts: (take) => {
          take()
          return () => {}
        },
      },
    ],
    ['is over at once', { lines: () => ({ isTerminal: true, next: async () => null, close: () => {} }) }],
  ])('a session that %s is found', async (_, broken) => {
    await expect(endsTheAnswer(broken)).rejects.toThrow()
  })

  test('the line after an answer names what was skipped, the rate and the cache; --quiet drops it', async () => {
    const { notes } = await typed(['/planner random', '/sparsity 0.75', 'once', 'a'])
    expect(notes).toHaveLength(2)
    expect(notes[1]).toMatch(
      /^\[\d+ % of the layers' weights skipped by random; \d+\.\d tokens\/s; \d+ tokens read in \d\.\d\d s, [1-9]\d* from the cache/,
    )
    expect((await typed(['once'], { quiet: true })).notes).toEqual([])
  })

  test('until the first token a line says that the conversation is read; a pipe gets none', async () => {
    const timers = vi.spyOn(globalThis, 'setInterval').mockImplementation((tell) => {
      tell()
      return 0 as never
    })
    const seen: (string | null)[] = []
    const progress = {
      update: ({ stage }: { stage: string }) => void seen.push(stage),
      clear: () => void seen.push(null),
    }
    const { stdout } = await typed(['once'], {}, { progress })
    expect(stdout).not.toBe('')
    expect(seen.slice(0, 2)).toEqual(['reading the conversation', null])
    timers.mockClear()
    await chat(['once'])
    expect(timers).not.toHaveBeenCalled()
    timers.mockRestore()
  })

  test('a share alone asks for the planner that the model means', async () => {
    const input = ['/sparsity 0.5', 'once', '/sparsity 0.25', '/planner dense', '/sparsity 0']
    const more = ['/new', '/planner griffin', '/sparsity 0.75']
    const usual = vi.spyOn(ShadowModel.prototype, 'usualPlanner').mockResolvedValue('griffin')
    const { stdout, notes } = await typed([...input, ...more])
    usual.mockRestore()
    const stays = 'earlier answers stay: /again replaces the last one, /new forgets all'
    expect(stdout).toContain('griffin, 50.0 %; it skips neurons alone\n')
    expect(stdout).toContain(`griffin, 25.0 %; ${stays}\n`)
    expect(stdout.split('dense: nothing is skipped')).toHaveLength(4)
    expect(stdout.split('\n').slice(-3)).toEqual(['griffin, 0.0 %', 'griffin, 75.0 %', ''])
    expect(notes[0]).toMatch(/^\[[1-9]\d* % of the layers' weights skipped by griffin/)
    const other = await typed(['/sparsity 0.5', '/planner random'])
    expect(other.notes[0]).toContain('planner shadow: expected a predictor')
    expect(other.stdout).toContain('random, 50.0 %\n')
  })

  test('why an answer reads all of the conversation is said once in a conversation', async () => {
    const { stdout } = await typed([
      '/planner coreinfer',
      '/sparsity 0.5',
      '/planner griffin',
      '/planner coreinfer',
    ])
    const anew =
      'each answer reads the whole conversation anew, as the planner sees all of it in every layer; dense, static and random keep what was read'
    expect(stdout.split(anew)).toHaveLength(2)
  })

  test.each(['once\n/mask\nupon', '// add\nconst x = 1', '/* c */\nconst x = 1', '/new\n/quit', '//a\n//b'])(
    'several pasted lines are one message as they stand, whatever they begin with: %j',
    async (pasted) => {
      const { chats, notes } = await typed([pasted])
      expect(chats.map((messages) => messages.map(({ content }) => content))).toEqual([[pasted]])
      expect(notes.join()).not.toContain('unknown command')
    },
  )

  test('blanks before a command are ignored, and help, exit and quit alone are sent with a hint', async () => {
    const { chats, stdout, notes } = await typed(['  /planner random', '\t//a', ' exit', 'exit now'])
    expect(chats.map((messages) => messages.at(-1)?.content)).toEqual(['/a', ' exit', 'exit now'])
    expect(stdout).toContain('random, 50.0 %\n')
    expect(stdout.match(/\(sent as .*\)/g)).toEqual(['(sent as a message; the command is /exit)'])
    expect(notes.join()).not.toContain('UNKNOWN_COMMAND')
  })

  test('the tab key offers commands, and the planners whose files are there, but not within a message', async () => {
    const offered: (readonly string[] | undefined)[] = []
    const rest = ['a\\', 'b']
    const lines: LineInput = {
      isTerminal: true,
      next: async (_, words) => {
        offered.push(words)
        return rest.shift() ?? null
      },
      close: () => {},
    }
    await typed([], { planners: ['dense', 'griffin'] }, { lines: () => lines })
    expect(offered[0]).toContain('/sparsity ')
    expect(offered[0]?.filter((word) => /^\/planner ./.test(word))).toEqual([
      '/planner dense',
      '/planner griffin',
    ])
    expect([offered.length, offered[1]]).toEqual([3, undefined])
  })

  test('lines that end with a backslash are one message with the next, and ctrl-C gives them up', async () => {
    const sent = async (...events: Event[]): Promise<string[]> =>
      (await typed(events)).chats.map((messages) => messages.at(-1)?.content ?? '')
    expect(await sent('/mask\\', 'once \\', 'upon', 'a')).toEqual(['/mask\nonce \nupon', 'a'])
    expect(await sent('a\\', { isEmpty: true }, 'b')).toEqual(['b'])
    expect(await sent('a\\')).toEqual([])
    expect(await sent('once\nupon\\', 'a')).toEqual(['once\nupon\\', 'a'])
    // Ctrl-C at the empty line of a message is not the first of two that end the program.
    expect(await typed(['a\\', { isEmpty: true }, { isEmpty: true }])).toMatchObject({ exitCode: 0 })
    const [{ message }] = turnsOf(await chat(['a\\'], '--json'))
    expect(message).toBe('a\\')
  })

  test('commands change how answers are drawn and how long they are, and tell what is set', async () => {
    const asked = ['once', '/temperature 9', '/max-tokens 2', '/seed 3', 'a', '/temperature 0', '/again']
    const [first, drawn, again] = turnsOf(await chat(asked, '--json'))
    expect([first, drawn, again]).toMatchObject([
      { temperature: 0, seed: 0 },
      { temperature: 9, seed: 3 },
      { temperature: 0 },
    ])
    expect([drawn.tokens.length, again.tokens.length]).toEqual([2, 2])
    const said = await chat([
      '/temperature 9',
      '/top-k 4',
      '/min-p 0.1',
      '/repetition-penalty 1.5',
      '/temperature',
    ])
    expect(said.stdout.split('\n').slice(-2)).toEqual([
      'temperature 9, top-k 4, min-p 0.1, seed 0, repetition penalty 1.5; at most 5 tokens',
      '',
    ])
    const refused = await chat(
      ['/temperature -1', '/top-p 2', '/max-tokens many', '/quit now', '/again once', 'a'],
      '--json',
    )
    expect(turnsOf(refused)).toHaveLength(1)
    expect(refused.stderr.match(/(?<=shadowllm: ).*(?= \[)/g)).toEqual([
      '/temperature: expected a number from 0, got -1',
      '/top-p: expected a number from 0 to 1, got 2',
      '/max-tokens: expected a whole number from 1 to 400, got many',
      '/quit: expected nothing after it, got now',
      '/again: expected nothing after it, got once',
    ])
  })

  test('an option of drawing that is set while answers are greedy is said to have no effect yet', async () => {
    const asked = ['/top-k 4', '/seed 3', '/top-k', '/repetition-penalty 2', '/temperature 9', '/min-p 0.1']
    const said = (await chat([...asked, '/temperature 0', '/planner random', '/seed 4'])).stdout.split('\n')
    const vain = (name: string): string =>
      `greedy; at most 5 tokens; ${name} has no effect until /temperature is above 0`
    const seed = vain('seed').replace('seed', 'seed 3; seed')
    expect(said.slice(0, 3)).toEqual([vain('top-k'), seed, 'greedy; at most 5 tokens'])
    expect(said.at(-2)).toBe('greedy, repetition penalty 2; at most 5 tokens; seed 4')
    expect(said.slice(3).join()).not.toContain('no effect')
    expect((await chat(['/top-p'])).stdout).toBe('top-p not set; greedy; at most 5 tokens\n')
    const { code, stderr } = await chat(['a'], '--top-k', '4')
    expect([code, stderr]).toEqual([
      2,
      'shadowllm: --top-k: expected a temperature beside it, because without one the likeliest token is taken, got none [TOP_K]\n',
    ])
    expect(
      (await typed([], { options: { planner: 'dense', sparsity: 0, topK: 4, temperature: 9 } })).stdout,
    ).toContain('top-k 4')
  })

  test("answers that a command draws are drawn by the model's own options, and greedy ones use none of them", async () => {
    const path = join(folder, 'own')
    await writeChatModel(path, { generation: { do_sample: true, top_k: 1, repetition_penalty: 1.5 } })
    const run = async (...input: string[]): Promise<string> =>
      (await runInside(['chat', '-m', path, '--max-tokens', '24'], { input })).stdout
    expect(await run('/temperature 9')).toBe(
      'temperature 9, top-k 1, seed 0, repetition penalty 1.5; at most 24 tokens\n',
    )
    const last = (text: string): string => text.split('\n').slice(1).join('\n')
    expect(last(await run('/temperature 0', 'once'))).toBe(await run('once'))
    expect(last(await run('/temperature 9', 'once'))).not.toBe(await run('once'))
  })

  test('/help of one command is its line of the help, or that of the flag', async () => {
    const { stdout, notes } = await typed(['/help top-k', '/help /clear', '/help help', '/help sparsty'], {
      quiet: true,
    })
    const first = stdout.split('\n').map((line) => line.trim().split(/ {2,}/)[0])
    expect(first.filter((name) => name.startsWith('/'))).toEqual([
      '/top-k <count>',
      '/new, /clear',
      '/help NAME',
    ])
    expect(notes).toEqual([expect.stringContaining('/sparsty: unknown command (did you mean /sparsity?)')])
  })

  test('a command that is misspelt is refused with the nearest one, or the one that it begins, if there is one', async () => {
    const { notes } = await typed(['/bye', '/sparsty 0.3', '/temp 0', '/unheard'])
    expect(notes).toEqual([
      expect.stringContaining('/bye: unknown command (did you mean /quit?); /help lists them'),
      expect.stringContaining('/sparsty: unknown command (did you mean /sparsity?); /help lists them'),
      expect.stringContaining('/temp: unknown command (did you mean /temperature?)'),
      expect.stringMatching(/\/unheard: unknown command; \/help lists them \[/),
    ])
  })

  test('the first line names the model and how tokens are chosen', async () => {
    expect((await typed([])).stdout).toBe(
      `${model}; dense: nothing is skipped; temperature 9, seed 0; /help lists the commands, /quit ends\n`,
    )
  })

  test('answers and what commands answer are wrapped at the width that the terminal has then', async () => {
    const screen = { columns: 30, hasColours: false }
    const wide = await typed(['/seed 3', 'once', '/help'], { quiet: true })
    const narrow = await typed(['/seed 3', 'once', '/help'], { quiet: true }, { screen })
    const before = (text: string): string[] => text.split('Commands:')[0].split('\n')
    expect(before(narrow.stdout).join(' ').split(/\s+/)).toEqual(before(wide.stdout).join(' ').split(/\s+/))
    expect(before(wide.stdout)[0].length).toBeGreaterThan(30)
    expect(before(narrow.stdout).filter((line) => line.length > 30 && line.includes(' '))).toEqual([])
  })

  test('a chat that goes on shows the last message and its answer, cut where they are long', async () => {
    const said = (role: string, content: string): ChatMessage => ({ role, content })
    const before = [said('system', 'Be odd.'), said('user', 'once'), said('assistant', 'upon')]
    const long = ['\n a  time\n', '長'.repeat(400)]
    const last = [said('user', long[0]), said('assistant', long[1])]
    const saved = { path: 'a.session', messages: [...before, ...last] } as unknown as TextSession
    const { stdout, notes } = await typed([], { saved })
    expect(notes).toEqual(['a.session: 4 messages resumed'])
    expect(stdout.split('\n').slice(1)).toEqual(['> a time', `${'長'.repeat(300)} …`, ''])
    const words = { path: 'b', messages: [said('user', 'a'), said('assistant', 'word '.repeat(80))] }
    const shown = (await typed([], { saved: words as unknown as TextSession })).stdout
    expect(shown).toMatch(/\n(word ){59}word …\n$/)
    const whole = { path: 'c', messages: [said('user', 'a'), said('assistant', '長'.repeat(300))] }
    expect((await typed([], { saved: whole as unknown as TextSession })).stdout).not.toContain('…')
    for (const silent of [{ quiet: true }, { json: true }])
      expect((await typed([], { saved, ...silent })).stdout).toBe('')
  })

  test('shares of heads and of neurons that differ are told apart', async () => {
    const options = { planner: 'random', sparsity: 0.5, neuronSparsity: 0.75 } as const
    expect((await typed(['/planner'], { options, quiet: true })).stdout).toBe(
      'random, 50.0 % of the heads and 75.0 % of the neurons\n',
    )
  })

  test('the first line says what a file holds its weights as, and --quiet drops it', async () => {
    expect((await typed([], { held: ['weights int4, as in the file'] })).stdout).toContain(
      `${model}; weights int4, as in the file; dense`,
    )
    expect(await typed([], { held: ['weights int4'], quiet: true })).toMatchObject({ stdout: '', notes: [] })
  })

  test('ctrl-C at an empty line, twice, ends the program with 130; with a line between it does not', async () => {
    const empty = { isEmpty: true }
    expect(await typed([empty, empty, 'a'])).toMatchObject({
      exitCode: 130,
      notes: [expect.stringContaining('again')],
    })
    expect(await typed([empty, '/help', empty])).toMatchObject({ exitCode: 0 })
    expect(await typed([{ isEmpty: false }, { isEmpty: false }, '/help'])).toMatchObject({
      exitCode: 0,
      notes: [],
    })
  })

  test('a bug ends the conversation with its error, and is not taken for ctrl-C', async () => {
    const print = async (text: Text): Promise<void> => {
      if (render(text, plainScreen) === 'no answer yet\n') throw new RangeError('odd')
    }
    await expect(typed(['/mask', 'a'], {}, { print })).rejects.toThrow(new RangeError('odd'))
  })
})
