/**
 * A task is made ready from a named file of rows, or from a folder; its source has the name and the hash of what was read.
 */
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Document } from '../../../src/data/corpus.ts'
import { prepareTask, type PrepareOptions } from '../../../src/evaluation/tasks/prepare.ts'
import { Random } from '../../../src/tensor/random.ts'
import { encodeLetters, smallConfig } from '../small_model.ts'
import { temporaryFolder } from '../../harness/temporary_folder.ts'

const folder = temporaryFolder()

const rowsOf = (goals: readonly string[]): string =>
  goals.map((goal) => `${JSON.stringify({ goal, sol1: 'a', sol2: 'bb', label: 1 })}\n`).join('')
const write = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

const questions = rowsOf(['x', 'yy', 'zzz'])
const examples = rowsOf(['q', 'r'])
write('piqa.validation.jsonl', questions)
write('piqa.train.jsonl', examples)
const named = write('others.jsonl', rowsOf(['u']))

/** Documents of one genre, of words of one letter: two tokens each, with the space before them. */
const pages = (count: number): Document[] =>
  Array.from({ length: count }, (_, i) => {
    const random = new Random(i)
    const words = Array.from({ length: 40 }, () => 'abcdefgh'[random.below(8)])
    return { name: `page ${i}`, genre: 'prose', text: words.join(' ') }
  })

const options: PrepareOptions = {
  config: { ...smallConfig, positions: 200 },
  encode: encodeLetters,
  prefixIds: [smallConfig.bosId],
  decode: (tokens) => 'x'.repeat(tokens.length),
  rows: new Map(),
  shots: 0,
  seed: 1,
  limit: null,
  bos: false,
  documents: async () => ({ name: 'pages', documents: pages(8) }),
  prompt: 8,
  continuation: 4,
}

test('rows come from the folder, and examples from its file of training rows', async () => {
  const { task, source } = await prepareTask('piqa', { ...options, data: folder, shots: 2 })
  expect(task).toMatchObject({ name: 'piqa', shots: 2, original: 3, leftOut: [] })
  expect(task.asked).toHaveLength(3)
  expect(task.config).toMatchObject({
    rows: 'piqa.validation.jsonl',
    fewshot_rows: 'piqa.train.jsonl',
    num_fewshot: 2,
  })
  const hash = sha256([sha256(questions), sha256(examples)].join('\n'))
  expect(source).toEqual({ name: 'piqa.validation.jsonl + piqa.train.jsonl', hash })
})

test('a named file comes before the folder, and a first token before each context', async () => {
  const rows = new Map([['piqa', named]])
  const alone = await prepareTask('piqa', { ...options, data: folder, rows })
  expect(alone.task).toMatchObject({ original: 1, shots: 0 })
  expect(alone.source).toEqual({ name: 'others.jsonl', hash: sha256(rowsOf(['u'])) })
  const begun = await prepareTask('piqa', { ...options, rows, bos: true })
  const [first] = alone.task.asked[0].requests
  const [second] = begun.task.asked[0].requests
  expect([...second.tokens]).toEqual([smallConfig.bosId, ...first.tokens])
})

test('without examples, a seed or a limit, all questions are asked, without examples and with the seed 0', async () => {
  const { shots: _, seed: __, limit: ___, ...left } = options
  const { task } = await prepareTask('piqa', { ...left, data: folder })
  expect([task.shots, task.asked.length]).toEqual([0, 3])
  const { task: continued } = await prepareTask('continuation', left)
  expect(continued.config).toMatchObject({ seed: 0 })
  expect(continued.asked).toEqual((await prepareTask('continuation', { ...left, seed: 0 })).task.asked)
})

test('a limit asks for the first rows only', async () => {
  const { task } = await prepareTask('piqa', { ...options, data: folder, limit: 2 })
  expect([task.asked.length, task.original]).toEqual([2, 3])
})

test('continuations are drawn from the documents, as many as the limit says', async () => {
  const { task, source } = await prepareTask('continuation', { ...options, limit: 3 })
  expect(task.asked).toHaveLength(3)
  expect(task.config).toMatchObject({ text: 'pages', prompt: 8, continuation: 4, seed: 1 })
  expect(source.name).toBe('pages')
  const other = { ...options, documents: async () => ({ name: 'pages', documents: pages(9) }) }
  expect((await prepareTask('continuation', { ...other, limit: 3 })).source.hash).not.toBe(source.hash)
})

test.each<[string, string, string, unknown]>([
  ['TASK_NAME', 'got piqq (did you mean piqa?)', 'piqq', null],
  ['OPTIONS', 'options: expected an object, got undefined', 'continuation', undefined],
  ['OPTION_NAME', 'unknown option promt (did you mean prompt?)', 'continuation', { promt: 8 }],
  ['OPTION_TYPE', 'limit: expected a whole number from 1, or null, got 0', 'piqa', { limit: 0 }],
  ['SHOTS', 'shots: expected a whole number from 0, got -1', 'piqa', { shots: -1 }],
  ['WINDOW_SIZE', 'prompt: expected a number, got the text 8', 'continuation', { prompt: '8' }],
  ['OPTION_TYPE', "config: expected a model's configuration, got an object without", 'piqa', { config: {} }],
  ['OPTION_TYPE', 'rows: expected a Map of files by task, got an object', 'piqa', { rows: { piqa: 'a' } }],
  ['OPTION_TYPE', 'documents: expected a function, got a list of 0', 'continuation', { documents: [] }],
  [
    'OPTION_TYPE',
    'documents: expected a text { name, documents }, got an object whose documents is a list of 1, not a list of documents',
    'continuation',
    { documents: () => ({ name: 'pages', documents: ['a'] }) },
  ],
])('from JavaScript, %s: %s', async (code, message, name, change) => {
  const given = (change && { ...options, ...change }) as PrepareOptions
  await expect(prepareTask(name, given)).rejects.toMatchObject({
    code,
    message: expect.stringContaining(message) as string,
    exitCode: 2,
  })
})

test('a task without rows, and rows that fit no model, are refused by name', async () => {
  await expect(prepareTask('piqa', options)).rejects.toMatchObject({
    code: 'DATA',
    message: 'task piqa: expected --data or --rows piqa=FILE, got neither',
  })
  const long = write('long.jsonl', rowsOf(['x']).replace('"bb"', JSON.stringify('b'.repeat(300))))
  await expect(prepareTask('piqa', { ...options, rows: new Map([['piqa', long]]) })).rejects.toMatchObject({
    code: 'TASK_LENGTH',
    message: `${long}: expected answers that fit 200 tokens, got none`,
  })
})
