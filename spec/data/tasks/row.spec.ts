/**
 * The seven tasks: exact prompts, and rows of untrusted files. prompts.spec.ts turns prompts into tokens.
 *
 * Tests src/data/python_text.ts, src/data/tasks/arc_easy.ts, src/data/tasks/copa.ts, src/data/tasks/find_rows.ts,
 * src/data/tasks/hellaswag.ts, src/data/tasks/index.ts, src/data/tasks/openbookqa.ts, src/data/tasks/piqa.ts,
 * src/data/tasks/rte.ts, src/data/tasks/task.ts, src/data/tasks/winogrande.ts, src/io/row_file.ts, src/io/parquet.ts
 * and src/io/parquet_decoder.ts.
 */
import fc from 'fast-check'
import { parquetWriteBuffer } from 'hyparquet-writer'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliCompressSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { capitalize, countPieces, strip } from '../../../src/data/python_text.ts'
import { findRows, findTrainRows } from '../../../src/data/tasks/find_rows.ts'
import { clean } from '../../../src/data/tasks/hellaswag.ts'
import { taskByName, tasks } from '../../../src/data/tasks/index.ts'
import { askRows } from '../../../src/data/tasks/prompts.ts'
import { RowReader } from '../../../src/data/tasks/row.ts'
import { shotText, type Question } from '../../../src/data/tasks/task.ts'
import { parseRows, readRowFile, type PlacedRow } from '../../../src/io/row_file.ts'
import { InputError } from '../../../src/tensor/errors.ts'
import { law } from '../../harness/seed.ts'
import { temporaryFolder } from '../../harness/temporary_folder.ts'
import { developmentData } from '../development_data.ts'

const folder = temporaryFolder()

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

/** Rows as a file of JSON lines would give them. */
const rowsOf = (...values: object[]): Promise<PlacedRow[]> =>
  parseRows(bytes(values.map((value) => JSON.stringify(value)).join('\n')), 'rows.jsonl')

async function read(name: string, value: object): Promise<Question> {
  const [row] = await rowsOf(value)
  return taskByName(name).read(new RowReader(row))
}

/** One row of each task, as the hub has it. */
const rows = {
  piqa: { goal: 'Dry a plate.', sol1: 'Use a towel.', sol2: 'Use a lamp.', label: 0 },
  copa: {
    premise: 'The plate fell. ',
    choice1: 'It broke.',
    choice2: 'It sang.',
    question: 'effect',
    label: 0,
    idx: 1,
  },
  openbookqa: {
    question_stem: 'Plates are made of',
    choices: { text: ['clay', 'rain', 'noise', 'time'], label: ['A', 'B', 'C', 'D'] },
    answerKey: ' A',
  },
  winogrande: {
    sentence: 'The plate did not fit on the shelf because the _ was too large.',
    option1: 'plate',
    option2: 'shelf',
    answer: '1',
  },
  rte: { sentence1: 'Ann broke the plate.', sentence2: 'The plate is whole.', label: 1, idx: 0 },
  hellaswag: {
    activity_label: 'Washing up',
    ctx_a: 'A man fills a sink.',
    ctx_b: 'he Takes a plate and',
    endings: ['dries it. [step] Then he rests.', 'sings', 'sleeps', 'throws  it'],
    label: '3',
  },
  arc_easy: {
    question: 'What breaks?',
    choices: { text: ['a plate', 'air', 'light'], label: ['1', '2', '3'] },
    answerKey: '1',
  },
}

/** Context and right answer of each, as lm-evaluation-harness 0.4 has them. */
const prompts: Record<keyof typeof rows, [context: string, answer: string, answers: number]> = {
  piqa: ['Question: Dry a plate.\nAnswer:', 'Use a towel.', 2],
  // A space of its own, beside the one before every answer.
  copa: ['The plate fell therefore', ' it broke.', 2],
  openbookqa: ['Plates are made of', 'clay', 4],
  winogrande: ['The plate did not fit on the shelf because the plate', 'was too large.', 2],
  rte: ['Ann broke the plate.\nQuestion: The plate is whole. True or False?\nAnswer:', 'False', 2],
  hellaswag: ['Washing up: A man fills a sink. He takes a plate and', 'throws it', 4],
  arc_easy: ['Question: What breaks?\nAnswer:', 'a plate', 3],
}

describe('a prompt', () => {
  test.each(tasks.map(({ name }) => name as keyof typeof rows))(
    'of %s is that of the harness',
    async (name) => {
      const { contexts, continuations, gold } = await read(name, rows[name])
      expect([contexts[gold], continuations[gold], continuations.length]).toEqual(prompts[name])
    },
  )

  test('of WinoGrande scores what follows the blank, the same for both options', async () => {
    const { contexts, continuations } = await read('winogrande', rows.winogrande)
    expect(continuations).toEqual(['was too large.', 'was too large.'])
    expect(contexts[1]).toBe('The plate did not fit on the shelf because the shelf')
  })

  test('accepts the alternative names of fields', async () => {
    const superGlue = {
      premise: 'Ann broke the plate.',
      hypothesis: 'The plate is whole.',
      label: 'not_entailment',
    }
    expect(await read('rte', superGlue)).toEqual(await read('rte', rows.rte))
    const cause = { ...rows.copa, question: 'cause' }
    expect((await read('copa', cause)).contexts[0]).toBe('The plate fell because')
    const listed = { question: 'What breaks?', choices: ['a plate', 'air', 'light'], answer: 0 }
    expect(await read('arc_easy', listed)).toEqual(await read('arc_easy', rows.arc_easy))
    expect(await read('hellaswag', { ctx: ' A man', endings: ['a', 'b'], label: 0 })).toMatchObject({
      contexts: ['A man', 'A man'],
    })
  })

  test('counts the characters of an answer, as Python does', async () => {
    const { lengths } = await read('piqa', { ...rows.piqa, sol1: 'é😀', sol2: 'abc' })
    expect(lengths).toEqual([2, 3])
  })

  test('ends an example with an empty line', async () => {
    expect(shotText(await read('piqa', rows.piqa))).toBe('Question: Dry a plate.\nAnswer: Use a towel.\n\n')
  })
})

const someMarked = fc
  .array(fc.constantFrom('[', ']', ' ', 'a', '\n', ' [title]', '[step]'), { maxLength: 40 })
  .map((parts) => parts.join(''))

describe("Python's text", () => {
  law('brackets are removed as by the regular expression', { text: someMarked }, ({ text }) => {
    const step = strip(text).replaceAll(' [title]', '. ')
    expect(clean(text)).toBe(step.replace(/\[[^\n]*?\]/g, '').replaceAll('  ', ' '))
  })

  test('has its own white space and capitals', () => {
    expect(strip('\u0085\x1c a\ufeff \u3000')).toBe('a\ufeff')
    expect(countPieces(' a \x1f b\n')).toBe(4)
    expect(['', 'aBC', 'éA b'].map(capitalize)).toEqual(['', 'Abc', 'Éa b'])
  })
})

describe('a row', () => {
  test.each<[keyof typeof rows, object, string]>([
    ['piqa', { goal: 7 }, 'field goal: expected text, got the number 7'],
    ['piqa', { goal: '  ' }, 'field goal: expected text, got the text "  "'],
    ['piqa', { label: -1 }, 'field label: expected a whole number from 0 to 1, got the number -1'],
    ['piqa', { label: null }, 'field label: expected a whole number from 0 to 1, got null'],
    ['copa', { question: 'why' }, 'field question: expected cause or effect, got the text "why"'],
    ['openbookqa', { answerKey: 'E' }, 'field answerKey: expected A or B or C or D, got the text "E"'],
    ['openbookqa', { choices: 'clay' }, 'field choices: expected choices, got the text "clay"'],
    [
      'openbookqa',
      { choices: { text: ['a', 'b'], label: ['A'] } },
      'field choices.label: expected a list of two texts or more, got a list',
    ],
    [
      'arc_easy',
      { choices: { text: ['a', {}], label: ['1', '2'] } },
      'field choices.text[1]: expected text, got an object',
    ],
    [
      'arc_easy',
      { choices: Array.from({ length: 27 }, () => 'a') },
      'field choices: expected at most 26 texts, got 27',
    ],
    [
      'openbookqa',
      { choices: { text: ['a', 'b'], label: ['\u001b[2J', 'B'] }, answerKey: 'C' },
      String.raw`field answerKey: expected "\u001b[2J" or B, got the text "C"`,
    ],
    [
      'arc_easy',
      { choices: [...'abcdefghij'], answerKey: 'K' },
      'field answerKey: expected A or B or C or D or E or F or G or H or others, got the text "K"',
    ],
    [
      'arc_easy',
      { choices: { text: ['a', 'b'], label: ['\u001b[2J', 'a'.repeat(99)] } },
      String.raw`field answerKey: expected "\u001b[2J" or "${'a'.repeat(20)}", got the text "`,
    ],
    [
      'winogrande',
      { sentence: 'No blank.' },
      'field sentence: expected a blank, "_", got the text "No blank."',
    ],
    ['winogrande', { answer: '' }, 'field answer: expected 1 or 2, got the text ""'],
    ['rte', { label: -1 }, 'field label: expected 0 or 1 or entailment or not_entailment, got the number -1'],
    ['hellaswag', { endings: ['a'] }, 'field endings: expected a list of two texts or more, got a list'],
    ['hellaswag', { label: '' }, 'field label: expected a whole number from 0 to 3, got the text ""'],
  ])('of %s with %j is refused, file, line and field', async (name, change, words) => {
    const two = await rowsOf(rows[name], { ...rows[name], ...change })
    const task = taskByName(name)
    expect(() => two.map((row) => task.read(new RowReader(row)))).toThrow(`rows.jsonl:2: ${words}`)
  })

  law(
    'of any content is asked or refused by a typed error',
    {
      name: fc.constantFrom(...tasks.map(({ name }) => name)),
      value: fc.dictionary(fc.constantFrom(...fieldNames()), fc.jsonValue()),
    },
    async ({ name, value }) => {
      try {
        await read(name, JSON.parse(JSON.stringify(value)) as object)
      } catch (error) {
        expect(error).toBeInstanceOf(InputError)
      }
    },
    { runs: 300 },
  )
})

function fieldNames(): string[] {
  return [...new Set(Object.values(rows).flatMap((row) => Object.keys(row)))]
}

describe('a file of rows', () => {
  test('is JSON lines, blank ones left out, each refused by its number', async () => {
    expect((await parseRows(bytes('{"a":1}\r\n\n{"a":2}'), 'f')).map(({ place }) => place)).toEqual([
      'f:1',
      'f:3',
    ])
    await expect(parseRows(bytes('{"a":1}\n[1]\n'), 'f')).rejects.toThrow(
      'f:2: expected an object, got a list',
    )
    await expect(parseRows(bytes('{"a":1}\n{"a"'), 'f')).rejects.toMatchObject({
      code: 'JSON_SYNTAX',
      exitCode: 3,
    })
  })

  test('gives the rows of the parquet file, in every compression', async () => {
    const lines = await rowsOf(...Array.from({ length: 40 }, () => rows.piqa))
    for (const codec of ['UNCOMPRESSED', 'SNAPPY', 'GZIP', 'ZSTD', 'BROTLI'] as const) {
      const file = parquetOf(codec)
      const read = await parseRows(file, 'f')
      expect(read.map(({ values }) => values)).toEqual(lines.map(({ values }) => values))
      expect(read[1].place).toBe('f row 2')
    }
  })

  test('of parquet keeps lists and objects within lists', async () => {
    const row = { endings: ['a', 'b', 'c'], inner: { text: ['x'], label: [1, null, 2.5, true] } }
    const [{ values }] = await parseRows(parquetOf('SNAPPY', row), 'f')
    const [same] = await rowsOf(row)
    expect(values).toEqual(same.values)
  })

  test('is refused if parquet is truncated or changed, by a typed error', async () => {
    const whole = parquetOf('SNAPPY')
    for (let length = 4; length < whole.length; length += 13)
      await expect(parseRows(whole.subarray(0, length), 'f')).rejects.toBeInstanceOf(InputError)
    for (let at = 4; at < whole.length; at += 3) {
      const changed = whole.slice()
      changed[at] ^= 0x5a
      const outcome = await parseRows(changed, 'f').catch((error: unknown) => error)
      if (!Array.isArray(outcome)) expect(outcome).toBeInstanceOf(InputError)
    }
  })

  test('is found by its task, in a fixed order', async () => {
    const put = (name: string): void => writeFileSync(join(folder, name), JSON.stringify(rows.piqa))
    put('piqa.dev.jsonl')
    expect((await findRows(folder, 'piqa')).path).toBe(join(folder, 'piqa.dev.jsonl'))
    put('piqa.jsonl')
    expect((await findRows(folder, 'piqa')).path).toBe(join(folder, 'piqa.jsonl'))
    expect(await findTrainRows(folder, 'piqa')).toBe(null)
    await expect(findRows(folder, 'rte')).rejects.toMatchObject({ code: 'ROWS_MISSING', exitCode: 4 })
    writeFileSync(join(folder, 'copa.jsonl'), '\n')
    await expect(findRows(folder, 'copa')).rejects.toMatchObject({ code: 'ROWS_EMPTY' })
    await expect(readRowFile(join(folder, 'none'))).rejects.toMatchObject({ code: 'FILE_MISSING' })
  })
})

type Codec = 'UNCOMPRESSED' | 'SNAPPY' | 'GZIP' | 'ZSTD' | 'BROTLI'

function parquetOf(codec: Codec, row: Readonly<Record<string, unknown>> = rows.piqa): Uint8Array {
  const columnData = Object.entries(row).map(([name, value]) => ({ name, data: Array(40).fill(value) }))
  const compressors = { GZIP: gzipSync, ZSTD: zstdCompressSync, BROTLI: brotliCompressSync }
  return new Uint8Array(parquetWriteBuffer({ columnData, codec, compressors }))
}

/** A letter is a token. */
const encode = (text: string): number[] => Array.from(text, (letter) => letter.codePointAt(0) as number)

describe('the rows used while developing', () => {
  const data = join(developmentData, 'tasks')
  test.skipIf(!existsSync(data))('are all asked', async () => {
    for (const task of tasks) {
      const found = await findRows(data, task.name)
      const { asked } = askRows(task, found.rows, { encode, emptyId: 2, positions: 10_000 })
      expect(asked.length, task.name).toBe(found.rows.length)
      const golds = Map.groupBy(asked, ({ gold }) => gold)
      expect(golds.size, task.name).toBeGreaterThan(1)
    }
  })
})
