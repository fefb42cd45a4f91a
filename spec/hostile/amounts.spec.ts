/**
 * Files that are made larger: each form writes what it read, and times and answers are judged as amounts.ts says.
 */
import { describe, expect, test } from 'vitest'
import { tryAmounts, type AmountReport } from './amounts.ts'
import type { Cell } from './cell.ts'
import * as form from './forms.ts'
import type { Outcome } from './judge.ts'
import { growthsOf } from './places.ts'
import { formsOf } from './reader_forms.ts'
import { readers } from './readers.ts'

test('every reader has forms', () =>
  expect([...formsOf.keys()].toSorted()).toEqual(readers.map(({ name }) => name).toSorted()))

test.each(readers.map(({ name, valid }) => [name, valid] as const))(
  'a file of %s that is written as a tree is the same tree',
  async (name, valid) => {
    for (const file of await valid())
      for (const { read, write } of formsOf.get(name) ?? []) {
        const tree = await read(file)
        expect(await read(await write(tree))).toEqual(tree)
      }
  },
)

test('every list, map, text, key and number of a file is made larger, also inside of a text, and with others', async () => {
  const bytes = new TextEncoder().encode('{"a":[1,"x"],"b":"{\\"c\\":{}}","n":2}')
  const made = (await growthsOf(form.json, bytes, 2 ** 20)).map(({ what }) => what)
  for (const what of [
    'json.a: other elements',
    'json.a.0: 1e+308',
    'json.a.1: of "\\u0301"',
    'json.a: a longer key',
    'json.b.c: equal entries',
    'json.b.c: nested maps',
    'json.n: a text instead',
    'json.a and .b.c',
    'json, all that is 2: other',
  ])
    expect(made).toContain(what.replace('\\u0301', '\u0301'))
})

const SIZE = 2 ** 13

describe('a reader', () => {
  interface Told {
    readonly milliseconds: number
    readonly outcome?: Outcome
  }
  const read: Outcome = { kind: 'read', value: '' }
  const reader = { name: 'told', valid: async () => [new TextEncoder().encode('[1,2]')] }
  /** What is found of a reader that takes this long for so many bytes, and answers so. */
  const reportOn = async (tell: (bytes: number, again: number) => Told): Promise<AmountReport> => {
    let times = 0
    const cell: Pick<Cell, 'run'> = {
      run: async ({ inputs = [] }, onOutcome) => {
        const { outcome = read, milliseconds } = tell(inputs[0].length, times++)
        onOutcome(0, outcome, milliseconds)
        return 1
      },
    }
    const only = (what: string): boolean => what === 'json: equal elements'
    const reports = await tryAmounts(cell, reader, [form.json], { only, size: SIZE })
    expect(reports).toHaveLength(1)
    return reports[0]
  }
  /** How large a file is beside the largest one. */
  const share = (bytes: number): number => bytes / SIZE

  test('whose time is linear is right', async () => {
    expect(await reportOn((bytes) => ({ milliseconds: 900 * share(bytes) }))).toMatchObject({
      finding: null,
      answer: 'read',
      limit: null,
    })
  })

  test.each([
    ['quadratic', (bytes: number) => 1000 * share(bytes) ** 2],
    ['linear and then quadratic', (bytes: number) => 300 * share(bytes) + 600 * share(bytes) ** 2],
  ])('whose time is %s is found', async (_, milliseconds) => {
    const { finding } = await reportOn((bytes) => ({ milliseconds: milliseconds(bytes) }))
    expect(finding).toMatch(/^\d+ ms, and \d+ ms for a quarter$/)
  })

  test('that was slow once, or has a step, is right', async () => {
    const once = await reportOn((bytes, times) => ({ milliseconds: times === 0 ? 3000 : 100 * share(bytes) }))
    const step = await reportOn((bytes) => ({ milliseconds: bytes < SIZE / 2 ? 20 : 400 * share(bytes) }))
    expect([once.finding, step.finding]).toEqual([null, null])
  })

  test('that takes longer than any file may is found', async () => {
    const { finding } = await reportOn((bytes) => ({ milliseconds: 8000 * share(bytes) }))
    expect(finding).toMatch(/^longer than \d+ ms$/)
  })

  test('that neither reads nor refuses is found', async () => {
    const fault: Outcome = { kind: 'fault', what: 'RangeError: Maximum call stack size exceeded' }
    expect(await reportOn(() => ({ milliseconds: 1, outcome: fault }))).toMatchObject({ finding: fault.what })
  })

  test('that refuses more than a limit is tried at the limit and past it', async () => {
    const refused: Outcome = { kind: 'refused', code: 'LIST_LIMIT', message: '' }
    // 1,000 elements of two characters, and two brackets without the last comma.
    const bounded = (milliseconds: (bytes: number) => number) => (bytes: number) =>
      bytes > 2001 ? { milliseconds: 1, outcome: refused } : { milliseconds: milliseconds(bytes) }
    expect(await reportOn(bounded(() => 1))).toMatchObject({ limit: 1000, finding: null })
    expect(await reportOn(bounded((bytes) => bytes ** 2 / 2000))).toMatchObject({
      limit: 1000,
      finding: expect.stringMatching('for a quarter'),
    })
  })
})
