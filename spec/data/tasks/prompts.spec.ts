/**
 * From questions to tokens: the exact text of examples, context and answer. A request that does not fit the model is cut from
 * the left to exactly one token more than the model takes.
 *
 * Tests src/calibration/sources.ts.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { taskSource, textSource } from '../../../src/calibration/sources.ts'
import { taskByName } from '../../../src/data/tasks/index.ts'
import { askRows, taskWindows, type PromptOptions, type Request } from '../../../src/data/tasks/prompts.ts'
import type { Window } from '../../../src/data/windows.ts'
import type { PlacedRow } from '../../../src/io/row_file.ts'
import { Random } from '../../../src/tensor/random.ts'
import { killsEach, lawForAll, stateLaw } from '../../harness/seed.ts'

/** A letter is a token, so that tokens can be read. */
const encode = (text: string): number[] => Array.from(text, (letter) => letter.codePointAt(0) as number)
const spell = (tokens: Int32Array): string => String.fromCodePoint(...tokens)
const options: PromptOptions = { encode, emptyId: 2, positions: 10_000 }
const piqa = taskByName('piqa')

function numbered(count: number): PlacedRow[] {
  return Array.from({ length: count }, (_, i) => {
    const values = { goal: `goal ${i}`, sol1: `towel ${i}`, sol2: `lamp ${i}`, label: 0 }
    return { place: `rows:${i + 1}`, values: new Map(Object.entries(values)) }
  })
}

type Change = (request: Request) => Request
const same: Change = (request) => request

/** A complete request has examples, context, a space and the answer; the answer begins at the end of the context. */
const requestsSpell = lawForAll(
  'are examples, context and answer',
  { shots: fc.nat(5), seed: fc.nat() },
  (change: Change, { shots, seed }) => {
    const { asked } = askRows(piqa, numbered(6), { ...options, shots, seed })
    expect(asked).toHaveLength(6)
    asked.forEach(({ requests, gold, lengths, place, genre }, i) => {
      expect([place, genre, gold, lengths]).toEqual([`rows:${i + 1}`, 'piqa', 0, [7, 6]])
      const answers = [` towel ${i}`, ` lamp ${i}`]
      for (const [answer, request] of requests.entries()) {
        const { tokens, promptLength } = change(request)
        expect(spell(tokens.subarray(promptLength))).toBe(answers[answer])
        const examples = spell(tokens.subarray(0, promptLength)).split('\n\n')
        expect(examples.pop()).toBe(`Question: goal ${i}\nAnswer:`)
        const numbers = examples.map(
          (example) => /^Question: goal (\d)\nAnswer: towel \1$/.exec(example)?.[1],
        )
        expect(new Set(numbers).size).toBe(shots)
        expect(numbers).not.toContain(undefined)
        expect(numbers).not.toContain(String(i))
      }
    })
  },
)

/**
 * A request has the last `positions + 1` tokens of the complete one, because its last token is never fed. A window has the last
 * `positions` tokens. A question is left out if an answer alone is longer than what is fed.
 */
const isCutFromTheLeft = lawForAll(
  'that do not fit are cut from the left to one token more than is fed',
  {
    shots: fc.nat(5),
    seed: fc.nat(),
    near: fc.integer({ min: -3, max: 3 }),
    isNearAnswer: fc.boolean(),
    bos: fc.boolean(),
  },
  (change: Change, { shots, seed, near, isNearAnswer, bos }) => {
    const rows = numbered(6)
    const front = bos ? { prefixIds: [2] } : {}
    const whole = askRows(piqa, rows, { ...options, ...front, shots, seed }).asked
    // At, below and above the length of an answer of eight tokens, or of a complete request.
    const positions = (isNearAnswer ? 8 : whole[0].requests[0].tokens.length - 1) + near
    const { asked, leftOut } = askRows(piqa, rows, { ...options, ...front, shots, seed, positions })
    const windows = taskWindows(piqa, rows, encode, { prefixIds: [2], emptyId: 2, shots, seed, positions })
    if (positions < 8) {
      expect([asked, leftOut]).toEqual([[], rows.map(({ place }) => place)])
      expect(windows).toEqual([])
      return
    }
    expect(leftOut).toEqual([])
    const cut = ({ tokens, promptLength }: Request, most: number): Request => {
      const lost = Math.max(0, tokens.length - most)
      return { tokens: tokens.slice(lost), promptLength: promptLength - lost }
    }
    for (const [i, { requests }] of whole.entries())
      expect(asked[i].requests.map(change)).toEqual(requests.map((request) => cut(request, positions + 1)))
    const uncut = taskWindows(piqa, rows, encode, { prefixIds: [2], emptyId: 2, shots, seed })
    expect(windows).toEqual(
      positions < 9 ? [] : uncut.map((window) => ({ ...window, ...cut(window, positions) })),
    )
  },
)

const lateAnswer: Change = (request) => ({ ...request, promptLength: request.promptLength + 1 })
const cutRight: Change = ({ tokens, promptLength }) => ({ tokens: tokens.subarray(0, -1), promptLength })
/** A mutant whose limit is one token too low. */
const shorter: Change = ({ tokens, promptLength }) =>
  promptLength > 1 ? { tokens: tokens.subarray(1), promptLength: promptLength - 1 } : { tokens, promptLength }

describe('tokens', () => {
  stateLaw(requestsSpell, same)
  stateLaw(isCutFromTheLeft, same)

  killsEach('%s: killed', requestsSpell, {
    'the answer begins one token late': lateAnswer,
    'the right end is cut': cutRight,
  })

  killsEach('%s, of what is cut: killed', isCutFromTheLeft, {
    'the answer begins one token late': lateAnswer,
    'the right end is cut': cutRight,
    'one token too few is kept': shorter,
  })

  test('of examples depend on the seed, and not on the limit', () => {
    const ask = (seed: number, limit?: number): Request[][] =>
      askRows(piqa, numbered(9), { ...options, shots: 3, seed, limit }).asked.map(({ requests }) => [
        ...requests,
      ])
    expect(ask(1)).toEqual(ask(1))
    expect(ask(2)).not.toEqual(ask(1))
    expect(ask(1, 4)).toEqual(ask(1).slice(0, 4))
    expect(() => askRows(piqa, numbered(3), { ...options, shots: 3 })).toThrow(
      'shots: expected fewer than there are rows of piqa, got 3',
    )
  })

  test('of a train file may use every row', () => {
    const { asked } = askRows(piqa, numbered(1), {
      ...options,
      shots: 2,
      shotRows: numbered(4).slice(2),
    })
    const text = spell(asked[0].requests[0].tokens)
    expect(text.match(/goal \d/g)?.toSorted()).toEqual(['goal 0', 'goal 2', 'goal 3'])
  })

  test('begin with </s> only on request; a question that does not fit is named', () => {
    const ask = (more: Partial<PromptOptions>) => askRows(piqa, numbered(2), { ...options, ...more })
    expect(ask({ prefixIds: [2] }).asked[0].requests[0].tokens[0]).toBe(2)
    expect(ask({}).asked[0].requests[0].tokens[0]).not.toBe(2)
    const long = {
      place: 'long',
      values: new Map(Object.entries({ goal: 'g', sol1: 'a', sol2: 'b'.repeat(8), label: 0 })),
    }
    const { asked, leftOut } = askRows(piqa, [long, ...numbered(1)], { ...options, positions: 8 })
    expect([asked.map(({ place }) => place), leftOut]).toEqual([['rows:1'], ['long']])
  })

  test('of an empty context are one </s>', () => {
    const values = { ctx: '[step]', endings: ['a', 'b'], label: 1 }
    const row = { place: 'r', values: new Map(Object.entries(values)) }
    for (const prefixIds of [[], [7]]) {
      const [{ requests }] = askRows(taskByName('hellaswag'), [row], { ...options, prefixIds }).asked
      expect(requests.map(({ tokens, promptLength }) => [...tokens, promptLength])).toEqual(
        ['a', 'b'].map((answer) => [prefixIds[0] ?? 2, 32, answer.charCodeAt(0), 1]),
      )
    }
  })

  test('of a context that ends in spaces give the spaces to the answer', () => {
    const values = { sentence: 'He saw  _ run.', option1: 'Bo ', option2: 'Al', answer: '1' }
    const row = { place: 'r', values: new Map(Object.entries(values)) }
    const [{ requests }] = askRows(taskByName('winogrande'), [row], options).asked
    expect(requests.map(({ tokens, promptLength }) => spell(tokens.subarray(promptLength)))).toEqual([
      '  run.',
      ' run.',
    ])
  })

  test('as windows begin with what the model expects before a text, an empty prompt with its first token', () => {
    const values = { ctx: '[step]', endings: ['a', 'b'], label: 1 }
    const row = { place: 'r', values: new Map(Object.entries(values)) }
    const hellaswag = taskByName('hellaswag')
    const first = (...prefixIds: number[]): string[] =>
      [
        taskWindows(piqa, numbered(1), encode, { prefixIds, emptyId: 7 }),
        taskWindows(hellaswag, [row], encode, { prefixIds, emptyId: 7 }),
      ].map(([{ tokens, promptLength }]) => spell(tokens.subarray(0, promptLength)))
    expect(first(2)).toEqual(['\u0002Question: goal 0\nAnswer:', '\u0002'])
    expect(first()).toEqual(['Question: goal 0\nAnswer:', '\u0007'])
  })

  test('as windows contain the right answer and count its words', () => {
    const windows = taskWindows(piqa, numbered(3), encode, { prefixIds: [2], emptyId: 2, shots: 1, seed: 0 })
    expect(windows).toHaveLength(3)
    for (const [i, { document, genre, tokens, promptLength, words }] of windows.entries()) {
      expect([document, genre, words, tokens[0]]).toEqual([`rows:${i + 1}`, 'piqa', 2, 2])
      expect(spell(tokens.subarray(promptLength))).toBe(` towel ${i}`)
    }
  })
})

describe('windows of tasks for a calibration', () => {
  const rows = numbered(7)
  const tasks = [
    { task: piqa, rows },
    { task: { ...piqa, name: 'other' }, rows: numbered(3) },
  ]
  const source = (count: number, seed: number, shots: number): Window[] => {
    const sizes = { name: 'tasks', encode, prefixIds: [2], emptyId: 2, positions: 10_000 }
    return [...(taskSource(tasks, { ...sizes, count, seed, shots }).windows as Iterable<Window>)]
  }
  /** The numbers of the solved rows in a window, and that of its own. */
  const numbersIn = ({ tokens }: Window): string[] =>
    [...spell(tokens).matchAll(/Question: goal (\d)\n/g)].map(([, number]) => number)

  test('take the tasks in turn until one is exhausted, each in a seeded order', () => {
    const windows = source(20, 5, 0)
    const genres = windows.map(({ genre }) => genre)
    expect(genres).toEqual([...'popopopppp'].map((letter) => (letter === 'p' ? 'piqa' : 'other')))
    const first = windows.filter(({ genre }) => genre === 'piqa').flatMap(numbersIn)
    expect(first.toSorted()).toEqual(['0', '1', '2', '3', '4', '5', '6'])
    expect(first).toEqual(Array.from(new Random(5).permutation(7), String))
  })

  test('have solved rows in front, drawn by the seed and never the row itself', () => {
    const drawn = [1, 2, 3].map((seed) => source(20, seed, 2))
    for (const windows of drawn) for (const window of windows) expect(new Set(numbersIn(window)).size).toBe(3)
    // Of each row, what stands in front of it.
    const inFront = drawn.map(
      (windows) =>
        new Map(
          windows
            .filter(({ genre }) => genre === 'piqa')
            .map((window) => [numbersIn(window)[2], numbersIn(window).slice(0, 2).join()]),
        ),
    )
    const equal = [...inFront[0]].filter(
      ([row, front]) => front === inFront[1].get(row) && front === inFront[2].get(row),
    )
    expect(equal.length).toBeLessThan(7)
    const inOrder = taskWindows(
      piqa,
      Array.from(new Random(2).permutation(7), (place) => rows[place]),
      encode,
      {
        shots: 2,
        seed: 2,
        limit: 20,
        prefixIds: [2],
        emptyId: 2,
        positions: 10_000,
      },
    )
    expect(drawn[1].filter(({ genre }) => genre === 'piqa')).toEqual(inOrder)
  })

  test('are the first of more windows', () => {
    const all = source(20, 9, 1)
    for (let count = 1; count <= 10; count++) expect(source(count, 9, 1)).toEqual(all.slice(0, count))
  })
})

describe('a source, from JavaScript', () => {
  const shared = { name: 'pages', encode, count: 2, seed: 0, prefixIds: [2] }
  const sizes = { ...shared, prompt: 4, continuation: 2 }
  const how = { ...shared, shots: 0, emptyId: 2, positions: 32 }
  const page = { name: 'page', genre: 'prose', text: 'a b c' }
  const own = { task: piqa, rows: numbered(2) }

  test.each<[string, string, unknown, unknown]>([
    [
      'OPTION_TYPE',
      'documents: expected a list of documents { name, genre, text }, got the text a',
      'a',
      sizes,
    ],
    ['OPTION_TYPE', 'of which entry 1 is an object without genre', [page, { name: 'a', text: 'b' }], sizes],
    ['OPTIONS', 'options: expected an object, got undefined', [page], undefined],
    ['OPTION_NAME', 'unknown option promt (did you mean prompt?)', [page], { ...sizes, promt: 4 }],
    ['WINDOWS', 'count: expected a whole number from 1, got -1', [page], { ...sizes, count: -1 }],
    ['WINDOW_SIZE', 'prompt: expected a number, got undefined', [page], { ...sizes, prompt: undefined }],
    ['SEED', 'seed: expected a whole number', [page], { ...sizes, seed: '0' }],
    ['OPTION_TYPE', 'encode: expected a function, got null', [page], { ...sizes, encode: null }],
  ])('of texts is refused by %s: %s', (code, message, documents, options) => {
    expect(() => textSource(documents as never, options as never)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(message) as string, exitCode: 2 }),
    )
  })

  test.each<[string, string, unknown, unknown]>([
    ['OPTION_TYPE', 'tasks: expected a list of tasks with their rows, got an object', own, how],
    ['OPTION_TYPE', 'whose task is the text piqa, not a task of taskByName', [{ ...own, task: 'piqa' }], how],
    [
      'OPTION_TYPE',
      'whose rows is a list of 1, not a list of rows { place, values }',
      [{ ...own, rows: [{ place: 'row', values: { goal: 'a' } }] }],
      how,
    ],
    ['OPTION_NAME', 'unknown option shot (did you mean shots?)', [own], { ...how, shot: 1 }],
    ['SHOTS', 'shots: expected a whole number from 0, got -1', [own], { ...how, shots: -1 }],
    ['OPTION_TYPE', 'positions: expected a whole number from 1, got 0', [own], { ...how, positions: 0 }],
    ['OPTION_TYPE', 'prefixIds: expected a list of ids, got null', [own], { ...how, prefixIds: null }],
  ])('of tasks is refused by %s: %s', (code, message, tasks, options) => {
    expect(() => taskSource(tasks as never, options as never)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(message) as string, exitCode: 2 }),
    )
  })
})
