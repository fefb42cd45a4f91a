/**
 * Lines of standard input come one by one, piped or typed; ctrl-C at a terminal is told apart from a line.
 */
import { PassThrough } from 'node:stream'
import { afterEach, expect, test, vi } from 'vitest'
import { openLines, type LineInput } from '../../src/platform/lines.ts'

afterEach(() => vi.restoreAllMocks())

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 40))

/** A question, once its prompt is there. */
async function prompted(
  lines: LineInput,
  prompt = '',
  words?: readonly string[],
): Promise<{ line: ReturnType<LineInput['next']> }> {
  const line = lines.next(prompt, words)
  // What was sent before the first prompt has been taken.
  await pause()
  return { line }
}

/** Streams in place of those of this process. */
function played(isTTY: boolean): { stdin: PassThrough; written: () => string } {
  const [stdin, stdout] = [new PassThrough(), new PassThrough()]
  Object.assign(stdin, { isTTY, setRawMode: () => stdin })
  Object.assign(stdout, { isTTY, columns: 80 })
  vi.spyOn(process, 'stdin', 'get').mockReturnValue(stdin as unknown as typeof process.stdin)
  vi.spyOn(process, 'stdout', 'get').mockReturnValue(stdout as unknown as typeof process.stdout)
  let text = ''
  stdout.on('data', (bytes: Buffer) => (text += bytes.toString()))
  return { stdin, written: () => text }
}

test('piped lines come without their ends, without a prompt, and null follows the last', async () => {
  const { stdin, written } = played(false)
  const lines = openLines()
  expect(lines.isTerminal).toBe(false)
  stdin.end('one\r\n\ntwo')
  const read = [
    await lines.next('> '),
    await lines.next('> '),
    await lines.next('> '),
    await lines.next('> '),
  ]
  expect(read).toEqual(['one', '', 'two', null])
  expect(written()).toBe('')
  lines.close()
  lines.close()
})

test('a typed line is prompted for, and the up key brings back the line before', async () => {
  const { stdin, written } = played(true)
  const lines = openLines()
  expect(lines.isTerminal).toBe(true)
  const { line: first } = await prompted(lines, 'you> ')
  stdin.write('hello\r')
  expect(await first).toBe('hello')
  expect(written()).toContain('you> ')
  const second = lines.next('you> ')
  stdin.write('\u001b[A\r')
  expect(await second).toBe('hello')
  lines.close()
})

test.each([
  ['/sp\t0.3\r', '/sparsity 0.3'],
  ['/planner gr\t\r', '/planner griffin'],
  ['a\tb\t\r', 'a\tb\t'],
  ['\t0.3\r', '/sparsity 0.3'],
  [' \t/s\r', ' \t/s'],
  ['/planner n\t\t\r', '/planner n'],
])('the tab key completes words, and is a character of other lines: %j', async (keys, line) => {
  const { stdin } = played(true)
  const lines = openLines()
  const words = ['/sparsity ', '/planner griffin', '/planner dense']
  const { line: next } = await prompted(lines, '> ', words)
  // A key is a chunk of its own.
  for (const key of keys.match(/\t|[^\t]+/g) ?? []) stdin.write(key)
  expect(await next).toBe(line)
  lines.close()
})

test('at an empty line the tab key lists the words; without words it is a character', async () => {
  const { stdin, written } = played(true)
  const lines = openLines()
  const pressed = async (words?: readonly string[]): Promise<string> => {
    const { line: next } = await prompted(lines, '> ', words)
    for (const key of ['\t', '\t', '\r']) stdin.write(key)
    return (await next) as string
  }
  expect(await pressed(['/planner ', '/planner dense', '/quit'])).toBe('/')
  expect(written()).toMatch(/\/planner +\/quit/)
  expect(await pressed(['once'])).toBe('once')
  expect(await pressed()).toBe('\t\t')
  lines.close()
})

test('the tab key lists words up to the next space alone', async () => {
  const listed = async (keys: string): Promise<string> => {
    const { stdin, written } = played(true)
    const lines = openLines()
    const words = ['/planner ', '/planner griffin', '/planner dense', '/quit']
    const { line: next } = await prompted(lines, '> ', words)
    for (const key of [...keys.split(/(?=\t)/), '\t', '\r']) stdin.write(key)
    await next
    lines.close()
    return written()
  }
  expect(await listed('/\t')).toMatch(/\/planner +\/quit/)
  expect(await listed('/\t')).not.toContain('griffin')
  // What is typed already is not repeated.
  expect(await listed('/planner \t')).toMatch(/\ngriffin +dense\s/)
})

test.each([
  ['nothing', '', true],
  ['a part of a line', 'hel', false],
])('ctrl-C after %s is an interruption that says whether the line was empty', async (_, typed, isEmpty) => {
  const { stdin } = played(true)
  const lines = openLines()
  const { line: next } = await prompted(lines)
  stdin.write(`${typed}\u0003`)
  expect(await next).toEqual({ isEmpty })
})

test('the end of a terminal, and closing, end a question with null', async () => {
  const { stdin } = played(true)
  const lines = openLines()
  const { line: ended } = await prompted(lines)
  stdin.write('\u0004')
  expect(await ended).toBeNull()
  const closed = lines.next('')
  lines.close()
  expect(await closed).toBeNull()
})

/** Asks questions, with keys that come between them. @returns the answers, until one is null */
async function asked(
  between: (stdin: PassThrough, question: number) => Promise<void> | void,
): Promise<unknown[]> {
  const { stdin, written } = played(true)
  const lines = openLines()
  const answers: unknown[] = []
  const { line: first } = await prompted(lines)
  stdin.write('first\r')
  for (let next = first; ; next = lines.next('')) {
    answers.push(await next)
    if (answers.at(-1) === null || answers.length > 5) break
    const before = written()
    await between(stdin, answers.length)
    // Keys are shown with the prompt.
    expect(written()).toBe(before)
  }
  lines.close()
  expect(stdin.isPaused()).toBe(true)
  return answers
}

test.each<[string, string[], unknown[]]>([
  ['ctrl-D ends the input', ['\u0004'], [null]],
  ['ctrl-D behind a line ends the input after it', ['one\r\u0004'], ['one', null]],
  ['ctrl-D within a line is none', ['one\u0004\r', '\u0004'], ['one', null]],
  ['two lines are two answers', ['one\r', '/two\r', '\u0004'], ['one', '/two', null]],
  ['a part of a line can be edited', ['onex', '\u007f', '\r', '\u0004'], ['one', null]],
  ['lines that come at once are one', ['one\rtwo\r', '\u0004'], ['one\ntwo', null]],
])('of keys between questions %s', async (_, parts, expected) => {
  const answers = await asked(async (stdin, question) => {
    if (question > 1) return
    for (const part of parts) {
      stdin.write(part)
      await pause()
    }
  })
  expect(answers).toEqual(['first', ...expected])
})

test.each<[string, string, string[], unknown[]]>([
  ['are one by one', 'one\n/two\r\n\nthree\n', [], ['one', '/two', '', 'three']],
  ['end with the input, which ctrl-D ends', 'one\n\0two\n', [], ['one', null]],
  ['come before ctrl-D that is pressed at the first of them', 'one\ntwo\n', ['\u0004'], ['one', 'two', null]],
  ['can be edited where no key has ended them', 'onx', ['\u007fe\r'], ['one']],
  ['are not one with a line that is typed at the last of them', 'one\n', ['two\r'], ['one', 'two']],
])('lines that were sent before the first prompt %s', async (_, early, typed, expected) => {
  const { stdin, written } = played(true)
  stdin.write(early)
  const lines = openLines()
  const answers: unknown[] = []
  for (const keys of typed) {
    const first = lines.next('> ')
    await vi.waitFor(() => expect(written()).toContain('> '))
    stdin.write(keys)
    answers.push(await first)
  }
  while (answers.length < expected.length) answers.push(await lines.next('> '))
  expect(answers).toEqual(expected)
  lines.close()
})

test('keys before the first prompt are kept from the start, not written by the terminal, which close gives back', async () => {
  const { stdin } = played(true)
  const modes: boolean[] = []
  Object.assign(stdin, { setRawMode: (isRaw: boolean) => (modes.push(isRaw), stdin) })
  const lines = openLines()
  expect(modes).toEqual([true])
  stdin.write('on')
  await pause()
  stdin.write('e\rtwo\r')
  await pause()
  expect([await lines.next('> '), await lines.next('> ')]).toEqual(['one', 'two'])
  lines.close()
  expect(modes.at(-1)).toBe(false)
  const unasked = openLines()
  unasked.close()
  expect(modes.slice(-2)).toEqual([true, false])
})

test('a terminal that ends between questions ends the next one', async () => {
  const answers = await asked((stdin) => {
    stdin.end()
    return pause()
  })
  expect(answers).toEqual(['first', null])
})

test('an input that is closed before its first prompt has no line', async () => {
  const { stdin, written } = played(true)
  const lines = openLines()
  const next = lines.next('> ')
  lines.close()
  stdin.write('one\r')
  expect(await next).toBeNull()
  expect(written()).toBe('')
})

test('ctrl-C between questions is a signal, and keeps the keys before it', async () => {
  const signals: unknown[] = []
  const emit = process.emit.bind(process) as (...event: unknown[]) => boolean
  vi.spyOn(process, 'emit').mockImplementation(((...event: unknown[]) =>
    event[0] === 'SIGINT' ? signals.push(event[0]) > 0 : emit(...event)) as typeof process.emit)
  const answers = await asked(async (stdin, question) => {
    if (question === 1) for (const key of ['\u0004', '\u0003']) stdin.write(key)
    await pause()
  })
  expect([answers, signals]).toEqual([['first', null], ['SIGINT']])
})

test('lines before ctrl-C between questions wait, each for a question and a key; ctrl-C at one gives the others up', async () => {
  const emit = process.emit.bind(process) as (...event: unknown[]) => boolean
  vi.spyOn(process, 'emit').mockImplementation(
    ((...event: unknown[]) => event[0] === 'SIGINT' || emit(...event)) as typeof process.emit,
  )
  for (const [last, ...expected] of [
    ['?\r', 'one!', 'two?', 'three.', '*'],
    ['\u0003', 'one!', { isEmpty: false }, '.', '*'],
  ] as const) {
    const { stdin } = played(true)
    const lines = openLines()
    const answer = async (keys: string): Promise<unknown> => {
      const { line: next } = await prompted(lines)
      stdin.write(keys)
      return next
    }
    expect(await answer('first\r')).toBe('first')
    for (const keys of ['one\r', 'two\r', 'three\r', '\u0003']) {
      stdin.write(keys)
      await pause()
    }
    const answers = []
    for (const keys of ['!\r', last, '.\r', '*\r']) answers.push(await answer(keys))
    expect(answers).toEqual(expected)
    lines.close()
  }
})

test('an error of the terminal, such as its end, ends a question and what listens between questions', async () => {
  for (const answer of [null, 'a']) {
    const { stdin } = played(true)
    Object.assign(stdin, { setRawMode: (isOn: boolean) => isOn || stdin.emit('error', new Error('gone')) })
    const lines = openLines()
    const { line } = await prompted(lines)
    if (answer !== null) stdin.write(`${answer}\r`)
    else stdin.emit('error', new Error('gone'))
    expect(await line).toBe(answer)
    stdin.emit('error', new Error('gone'))
    expect(stdin.isPaused()).toBe(true)
    expect(await lines.next('')).toBeNull()
    lines.close()
  }
})

/** Deno does not read marks. */
const hasMarks = !('Deno' in globalThis)
const marked: [string, string[], string][] = [
  ['in marks wait for the key', ['\u001b[200~one\rtwo\r\u001b[201~', '\r'], 'one\ntwo'],
  ['in marks can be edited at their end', ['\u001b[200~one\rtwo\u001b[201~', '\u007f\u007fen\r'], 'one\nten'],
  [
    'in marks are one however slowly they come',
    ['\u001b[200~one\r', 'two\r', '\u001b[201~three\r'],
    'one\ntwo\nthree',
  ],
]

test.each([
  ['that arrive at once are one, with line breaks', ['one\ntwo\nthree\n'], 'one\ntwo\nthree'],
  ['without a last line break wait for the key', ['one\ntw', 'o\r'], 'one\ntwo'],
  ...(hasMarks ? marked : []),
])('pasted lines %s', async (_, parts, message) => {
  const { stdin, written } = played(true)
  const lines = openLines()
  const { line: next } = await prompted(lines, '> ')
  expect(written().includes('\u001b[?2004h')).toBe(hasMarks)
  let isThere = false
  void next.then(() => (isThere = true))
  for (const [i, part] of parts.entries()) {
    // Longer than lines of one paste are apart.
    if (i > 0) await new Promise((resolve) => setTimeout(resolve, 60))
    expect(isThere).toBe(false)
    stdin.write(part)
  }
  expect(await next).toBe(message)
  expect(written().endsWith('\u001b[?2004l')).toBe(hasMarks)
  // Nothing is left for the next question.
  const after = lines.next('> ')
  stdin.write('alone\r')
  expect(await after).toBe('alone')
  lines.close()
})

test('ctrl-C after pasted lines gives them up, and is not that of an empty line', async () => {
  const { stdin } = played(true)
  const lines = openLines()
  const { line: next } = await prompted(lines)
  stdin.write('\u001b[200~one\rtwo\r\u001b[201~\u0003')
  expect(await next).toEqual({ isEmpty: false })
})
