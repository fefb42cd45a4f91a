/**
 * No text from outside steers the terminal: arguments, fields of files, names, jobs and texts of models are shown through
 * src/cli/terminal.ts, for people and as JSON, to terminals and to pipes.
 *
 * Tests src/cli/terminal.ts, src/cli/screen.ts and src/tensor/quote.ts.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import { formatQueues } from '../../src/cli/commands/jobs.ts'
import { describeFailure } from '../../src/cli/failure.ts'
import { printResult } from '../../src/cli/report.ts'
import { runCommandLine } from '../../src/cli/run.ts'
import { dim, paintVerdicts, plainScreen, render, type Text } from '../../src/cli/screen.ts'
import type { Session } from '../../src/cli/session.ts'
import { openTerminal, type Streams } from '../../src/cli/terminal.ts'
import { checkAgreed } from '../../src/jobs/job_model.ts'
import type { QueueState } from '../../src/jobs/queue_state.ts'
import { formatExperiment } from '../../src/results/terminal.ts'
import { quote, shownLine, shownText } from '../../src/tensor/quote.ts'
import { resultOf } from '../experiments/report/report_cases.ts'
import { killsEach, lawForAll, stateLaw } from '../harness/seed.ts'
import { quietSession } from './run_inside.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-terminal-text-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** What no output may hold: controls but tabs and line breaks, direction overrides and isolates, and other line breaks. */
// oxlint-disable-next-line no-control-regex -- those are what is looked for
const steering = /(?!\r\n)[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/

/** Text that steers a terminal, text that needs escapes in JSON, and any other. */
const foreign = fc.string({
  unit: fc.oneof(
    fc.constantFrom(
      '\u001b[2J',
      '\u001b[32m',
      '\u001b]0;a\u0007',
      '\u009b2J',
      '\u0085',
      '\u007f',
      '\b',
      '\u0000',
    ),
    fc.constantFrom('\u2028', '\u2029', '\u202a', '\u202e', '\u2066', '\u2069', '\r', '\r\n', '\n', '\t'),
    fc.constantFrom('a', ' ', '/', ':', '"', '\\', '\u200d', '\u0627', '\u{1f600}'),
    fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
  ),
  maxLength: 24,
})

/** Opens a terminal; a mutant lets something through. */
type Open = (streams: Streams) => ReturnType<typeof openTerminal>

/** What was written to each stream, without the code that removes a line of progress. */
interface Written {
  stdout: string
  stderr: string
}

/** A session on a pipe, with progress on stderr. */
function sessionOf(open: Open, args: readonly string[] = []): { session: Session; written: Written } {
  const written: Written = { stdout: '', stderr: '' }
  const terminal = open({
    write: async (output, text) => {
      // oxlint-disable-next-line no-control-regex -- that is the code
      written[output] += text.replace(/^\r\u001b\[K/, '')
    },
    isTerminal: (output) => output === 'stderr',
    screen: () => plainScreen,
    columns: () => 200,
    now: () => 0,
  })
  return { session: { ...quietSession(() => {}, args), ...terminal }, written }
}

/** Runs a command that refuses what it is given. */
async function refused(open: Open, ...args: string[]): Promise<Written> {
  // No argument of a process has a zero.
  const { session, written } = sessionOf(
    open,
    args.map((arg) => arg.replaceAll('\0', '')),
  )
  expect(await runCommandLine(session)).toBeGreaterThan(1)
  return written
}

/** A result of a command: for people it is these words. */
async function result(open: Open, json: boolean, value: object, words: string): Promise<Written> {
  const { session, written } = sessionOf(open)
  await printResult(session, { json }, value, () => words)
  if (json) expect(JSON.parse(written.stdout)).toEqual(value)
  return written
}

/** A safetensors file with one tensor of this name. */
function fileWith(name: string): string {
  const header = new TextEncoder().encode(
    JSON.stringify({ [name]: { dtype: 'F32', shape: [1], data_offsets: [0, 4] } }),
  )
  const path = join(folder, 'named.safetensors')
  const length = new BigUint64Array([BigInt(header.length)])
  writeFileSync(path, Buffer.concat([new Uint8Array(length.buffer), header, new Uint8Array(4)]))
  return path
}

const model = join(folder, 'model')
mkdirSync(model)

function queueOf(text: string): QueueState {
  return {
    name: text,
    workers: 1,
    counts: { waiting: 0, delayed: 0, active: 0, failed: 1 },
    perMinute: null,
    secondsLeft: null,
    failures: [{ key: text, kind: text, attempts: 3, words: text }],
  }
}

/** Where text of each origin is shown: on one line, of a refusal or of a table. */
const lines: Readonly<Record<string, (open: Open, text: string, json: boolean) => Promise<Written>>> = {
  'the path of a model': (open, text) => refused(open, 'inspect', `none/${text}`, '--offline'),
  'the value of a flag': (open, text) => refused(open, 'generate', 'a', `--planner=${text}`),
  'the name of a flag': (open, text) => refused(open, 'generate', 'a', `--x${text}`),
  'the name of a command': (open, text) => refused(open, `x${text}`),
  'a field of a file': (open, text) => {
    writeFileSync(join(model, 'config.json'), JSON.stringify({ model_type: text }))
    return refused(open, 'inspect', model)
  },
  'the model that a job names': async (open, text) => {
    const { session, written } = sessionOf(open)
    try {
      checkAgreed('model', 'our model', text)
    } catch (error) {
      await session.complain(`${describeFailure(error, false).line}\n`)
    }
    return written
  },
  'the fields of a queue': async (open, text, json) => {
    const queues = [queueOf(text)]
    const { stdout } = await result(open, json, { queues }, formatQueues(queues))
    // Headings and row; the failure is the third line.
    return { stdout: '', stderr: json ? '' : stdout.replace(/\n.*\n/, '') }
  },
  'the stage of a work': async (open, text) => {
    const { session, written } = sessionOf(open)
    session.progress.update({ stage: text, done: 1, total: 2, note: text })
    return { ...written, stderr: `${written.stderr}\n` }
  },
}

/** Where text is shown that has lines of its own. */
const texts: typeof lines = {
  'the text of a model': (open, text, json) => result(open, json, { text }, text),
  'the name of a tensor': async (open, text, json) => {
    const name = text.toWellFormed()
    const { session, written } = sessionOf(open, ['inspect', fileWith(name), ...(json ? ['--json'] : [])])
    const code = await runCommandLine(session)
    if (json && code === 0) expect(JSON.parse(written.stdout)).toMatchObject({ tensors: [{ name }] })
    return written
  },
  'the words of an experiment': (open, text, json) => {
    const some = resultOf({ title: text, rows: [{ planner: text, ppl: 1, speed: 2 }], findings: [text] })
    return result(open, json, some, formatExperiment(some))
  },
  'the trace of a bug': async (open, text) => {
    const { session, written } = sessionOf(open)
    await session.note(`Error: ${text}\n    at ${text}`)
    return written
  },
}

const steersNothing = lawForAll(
  'text from outside steers no terminal and keeps its value in JSON',
  { text: foreign, json: fc.boolean() },
  async (open: Open, { text, json }) => {
    for (const [origin, show] of Object.entries({ ...lines, ...texts })) {
      const { stdout, stderr } = await show(open, text, json)
      expect(stdout, origin).not.toMatch(steering)
      expect(stderr, origin).not.toMatch(steering)
    }
  },
  { runs: 40 },
)
stateLaw(steersNothing, openTerminal)

const forgesNoLine = lawForAll(
  'a refusal, a row of a table and a line of progress are one line, whatever they name',
  { text: foreign },
  async (open: Open, { text }) => {
    for (const [origin, show] of Object.entries(lines)) {
      const { stdout, stderr } = await show(open, text, false)
      expect([stdout, stderr.split('\n').length], origin).toEqual(['', 2])
    }
  },
  { runs: 40 },
)
stateLaw(forgesNoLine, openTerminal)

/** A terminal that changes what would be written. */
const changing =
  (change: (text: string) => string): Open =>
  (streams) =>
    openTerminal({ ...streams, write: (output, text) => streams.write(output, change(text)) })

/** A terminal that writes some characters as they are. */
const unspelling = (spelt: RegExp): Open =>
  changing((text) => text.replace(spelt, (mark) => JSON.parse(`"${mark}"`) as string))

const asItIs = (text: Text): string => (Array.isArray(text) ? text.map(asItIs).join('') : String(text))

killsEach('a terminal that %s is found', steersNothing, {
  'prints data as it is': (streams) => ({
    ...openTerminal(streams),
    print: (text) => streams.write('stdout', asItIs(text)),
  }),
  'writes notes as they are': (streams) => ({
    ...openTerminal(streams),
    note: (text) => streams.write('stderr', `${asItIs(text)}\n`),
  }),
  'complains in the words of others': (streams) => ({
    ...openTerminal(streams),
    complain: (text) => streams.write('stderr', asItIs(text)),
  }),
  'draws progress as it is': (streams) => ({
    ...openTerminal(streams),
    progress: { update: ({ stage }) => void streams.write('stderr', stage), clear: () => {} },
  }),
  'lets escape sequences through': unspelling(/\\u001b/g),
  'lets control characters of eight bits through': unspelling(/\\u00[89][0-9a-f]/g),
  'lets overrides of the direction through': unspelling(/\\u202[a-e]/g),
  'lets line separators through': unspelling(/\\u202[89]/g),
  'drops what it should spell': changing((text) => text.replace(/\\u009b/g, '')),
  'spells as no JSON does': changing((text) => text.replace(/\\u([0-9a-f]{4})/g, '\\u{$1}')),
})

killsEach('a terminal that %s forges lines', forgesNoLine, {
  'breaks lines where a name does': unspelling(/\\u000a/g),
  'breaks wide lines': changing((text) => text.replace(/(.{60})(.)/g, '$1\n$2')),
})

test('joiners, direction marks and line breaks of a text stay', () => {
  const kept = '\u{1f469}\u200d\u{1f4bb} \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \u200f a\tb\r\nc\n'
  expect(shownText(kept)).toBe(kept)
})

test('what is spelt on one line, in a text and in quotes', () => {
  const text = 'a\u001b[2J\n\u009b\r\u202e\u200d\u{e0001}"'
  expect(shownText(text)).toBe('a\\u001b[2J\n\\u009b\\u000d\\u202e\u200d\u{e0001}"')
  expect(shownLine(text)).toBe('a\\u001b[2J\\u000a\\u009b\\u000d\\u202e\\u200d\\udb40\\udc01"')
  expect(quote(text)).toBe('"a\\u001b[2J\\n\\u009b\\r\\u202e\\u200d\\udb40\\udc01\\""')
})

const drawnTexts = fc.letrec<{ text: Text; part: Text }>((tie) => ({
  part: fc.oneof(
    foreign,
    foreign.map(dim),
    foreign.map((text) => paintVerdicts(`ok ${text}`)),
  ),
  text: fc.oneof({ maxDepth: 2 }, tie('part'), fc.array(tie('text'), { maxLength: 3 })),
})).text

const coloursAreOurs = lawForAll(
  'codes are those of the program: without them a terminal shows what a pipe shows',
  { text: drawnTexts },
  (show: typeof render, { text }) => {
    const coloured = show(text, { columns: 80, hasColours: true })
    const plain = show(text, plainScreen)
    expect(plain).not.toMatch(steering)
    // oxlint-disable-next-line no-control-regex -- those are the codes
    expect(coloured.replace(/\u001b\[(2|32|31)m([^\u001b]+)\u001b\[(22|39)m/g, '$2')).toBe(plain)
  },
)
stateLaw(coloursAreOurs, render)

killsEach('a screen that %s is found', coloursAreOurs, {
  // oxlint-disable-next-line no-control-regex -- that is the code
  'leaves a colour on': (text, screen) => render(text, screen).replace(/\u001b\[22m/g, ''),
  'colours a pipe': (text) => render(text, { columns: 80, hasColours: true }),
  'takes the codes of a text for its own': (text, screen) =>
    typeof text === 'string' ? text : render(text, screen),
})

test('notes are wrapped between words at a terminal, at the width that it has then, and nowhere else', async () => {
  let columns = 12
  const said = async (isTerminal: boolean): Promise<string> => {
    let shown = ''
    const terminal = openTerminal({
      write: async (_, text) => void (shown += text),
      isTerminal: () => isTerminal,
      screen: () => plainScreen,
      columns: () => columns,
      now: () => 0,
    })
    await terminal.note('the captain looked at the sea')
    columns = 20
    await terminal.note('the captain looked at the sea')
    return shown
  }
  expect(await said(true)).toBe('the captain\nlooked at\nthe sea\nthe captain looked\nat the sea\n')
  expect(await said(false)).toBe('the captain looked at the sea\n'.repeat(2))
})
