/**
 * Helps fit the terminal, and lose nothing by it.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { wrapHelp } from '../../src/cli/help.ts'
import { commandNames } from '../../src/cli/program.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { runInside } from './run_inside.ts'

const wordText = fc.stringMatching(/^[a-z]{1,12}$/)
const paragraph = fc.array(wordText, { minLength: 1, maxLength: 30, size: 'max' }).map((all) => all.join(' '))
const row = fc.tuple(wordText, paragraph).map(([name, text]) => `  ${name.padEnd(12)}  ${text}`)
const example = fc
  .array(fc.constantFrom('run', '-m DIR', '--sparsity 0.5', '--system "one word"', '> out.json'), {
    minLength: 1,
    maxLength: 8,
    size: 'max',
  })
  .map((all) => `  $ shadowllm ${all.join(' ')}`)

const fits = lawForAll(
  'a wrapped help has no line wider than the terminal, and the words of each part in their order',
  {
    parts: fc.array(fc.oneof(paragraph, row, example, fc.constant('')), { maxLength: 6 }),
    columns: fc.integer({ min: 40, max: 140 }),
  },
  (wrap: typeof wrapHelp, { parts, columns }) => {
    // A blank line ends a paragraph.
    const help = parts.map((part) => (part.startsWith(' ') ? part : `\n${part}`)).join('\n')
    const lines = wrap(help, columns).split('\n')
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(Math.min(columns, 100))
    const words = (text: string): string[] => text.replaceAll(/ \\\n/g, ' ').match(/\S+/g) ?? []
    expect(words(lines.join('\n'))).toEqual(words(help))
  },
)

stateLaw(fits, wrapHelp)

describe('a bug planted in wrapping is found', () => {
  test.each<[string, typeof wrapHelp]>([
    ['nothing is wrapped', (help) => help],
    ['lines are cut', (help, columns) => help.replaceAll(new RegExp(`(?<=^.{${columns}}).+`, 'gm'), '')],
    ['one column too many', (help, columns) => wrapHelp(help, Math.min(columns, 100) + 1)],
  ])('%s', (_, mutant) => kills(fits, mutant))
})

test('lines that follow each other are one paragraph, and rows and examples stay apart', () => {
  const help =
    'Columns:\n  asked  of\n         units\n  got    weights\nTwo\nlines.\n\nExamples:\n  $ a\n  $ b -c \\\n      --d'
  expect(wrapHelp(help, 80)).toBe(
    'Columns:\n  asked  of units\n  got    weights\nTwo lines.\n\nExamples:\n  $ a\n  $ b -c --d',
  )
})

test('a row goes on below its text, an example is broken before a flag', () => {
  const long = 'word '.repeat(12).trim()
  expect(wrapHelp(`  --flag  ${long}`, 40).split('\n')[1]).toMatch(/^ {10}word/)
  expect(wrapHelp('  $ shadowllm generate "The old captain" --seed 7 --json', 40)).toBe(
    '  $ shadowllm generate "The old captain" \\\n      --seed 7 --json',
  )
})

test.each(['', ...commandNames, 'parity run', 'parity export-ops'])(
  'the help of %j has no line over 80 characters through a pipe',
  async (name) => {
    const { stdout } = await runInside([...name.split(' ').filter((word) => word !== ''), '--help'])
    expect(stdout.split('\n').filter((line) => line.length > 80)).toEqual([])
    expect(stdout).toMatch(/^Usage: shadowllm/)
  },
)
