/**
 * What is printed fits the terminal, and is coloured on a terminal alone, unless NO_COLOR is set.
 *
 * Tests src/cli/screen.ts, src/cli/words.ts and src/cli/report.ts.
 */
import { describe, expect, test } from 'vitest'
import { paintVerdicts, render, type Screen } from '../../src/cli/screen.ts'
import { formatColumns, formatFacts } from '../../src/cli/words.ts'
import { runInside } from './run_inside.ts'

const narrow: Screen = { columns: 80, hasColours: false }
const coloured: Screen = { columns: 80, hasColours: true }

/** The lines of a text that are wider than a terminal, without its commands, which are copied as they are. */
const tooWide = (text: string): string[] =>
  text.split('\n').filter((line) => line.length > 80 && !line.startsWith('$ '))

const golden = 'fixtures/golden/preln'
const batch = `${golden}/cases/batch.safetensors`

describe('at 80 columns no line is wider, and a pipe has every column on one line, of', () => {
  test.each([
    ['cost', ['cost', '-m', 'opt-13b,opt-66b', '--bandwidth', '20']],
    ['cost --predictors', ['cost', '--predictors']],
    ['bench', ['bench', '-m', golden, '--test', 'pp3,tg2', '--rounds', '1', '--sparsity', '0.5']],
    ['masks', ['masks', 'The captain looked', '--continuation', ' at the sea']],
    ['inspect', ['inspect', 'fixtures/tiny-opt']],
    ['parity check', ['parity', 'check', batch, batch]],
    ['parity run', ['parity', 'run', '--ops', 'relu,linear', '--small']],
    ['doctor', ['doctor']],
    [
      'perplexity',
      ['perplexity', '--limit', '1', '--windows', '1', '--by', 'stream', '--planner', 'random,shadow'],
    ],
  ])('%s', async (_, args) => {
    const [shown, piped] = [await runInside(args, { screen: narrow }), await runInside(args)]
    expect([shown.code, piped.code]).toEqual([0, 0])
    expect(tooWide(shown.stdout)).toEqual([])
    expect(shown.stdout).not.toContain('\x1b')
    expect(piped.stdout.split('\n').length).toBeLessThanOrEqual(shown.stdout.split('\n').length)
  })
})

test('verdicts are coloured where they begin a line, and nowhere else', () => {
  const text = 'ok    relu\nFAIL  linear ok\npassed: 1\nfailed: 1\nokay\n'
  expect(render(paintVerdicts(text), coloured)).toBe(
    '\x1b[32mok\x1b[39m    relu\n\x1b[31mFAIL\x1b[39m  linear ok\n\x1b[32mpassed\x1b[39m: 1\n\x1b[31mfailed\x1b[39m: 1\nokay\n',
  )
  expect(render(paintVerdicts(text), narrow)).toBe(text)
})

test.each([
  [['verify', '--law', 'relu: x', '--backend', 'reference', '--seed', '1'], '\x1b[32mok\x1b[39m'],
  [['parity', 'check', batch, batch], '\x1b[32mpassed\x1b[39m'],
  [['doctor'], '\x1b[32mworks\x1b[39m'],
])('%j is coloured on a terminal with colours', async (args, expected) => {
  const { stdout } = await runInside(args, { screen: coloured })
  expect(stdout).toContain(expected)
})

test('columns are folded, each part under its headings and beside its names', () => {
  const rows = [
    ['name', 'first', 'second'],
    ['a', '1', '22'],
    ['b', '333', '4'],
  ]
  expect(formatColumns(rows, [1, 2], { columns: 14 })).toBe(
    'name  first\na         1\nb       333\n\nname  second\na         22\nb          4\n',
  )
  expect(formatColumns(rows, [1, 2])).toBe('name  first  second\na         1      22\nb       333       4\n')
})

test('of facts no name touches its value, and long values go on below themselves', () => {
  expect(
    formatFacts(
      [
        ['a', 'one two'],
        ['backend cuda-fast-emulated', 'works'],
      ],
      Infinity,
    ),
  ).toBe(`${'a'.padEnd(28)}one two\nbackend cuda-fast-emulated  works\n`)
  expect(formatFacts([['name', 'one two three']], 13)).toBe('name  one two\n      three\n')
})
