/**
 * Helps fit the terminal, and lose nothing by it.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { wrapHelp } from '../../src/cli/help.ts'
import { commandNames } from '../../src/cli/program.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { helpNames, helpOf } from './helps.ts'

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

/** Rows of flags that take a value, but for files and places, which are none unless they are named. */
const valueRows = (help: string): string[] =>
  help
    .replaceAll(/\n {8,}(?=\S)/g, ' ')
    .split('\n')
    .filter((line) => /^ +(-\w, )?--[\w-]+(, --[\w-]+)* <(?!(file|dir|url|place|task=file)\W)/.test(line))

test.each(commandNames)(
  'every flag of %s that takes a value says its default, or that it is required',
  async (name) => {
    const flags = valueRows(await helpOf(name, 'all'))
    if (['chat', 'generate', 'serve'].includes(name)) expect(flags.length).toBeGreaterThan(20)
    expect(
      flags
        .filter((line) => !/\bdefault: | \(required\)$/.test(line))
        .map((line) => line.match(/--[\w-]+/)?.[0]),
    ).toEqual([])
  },
)

test('a flag that a command needs is required in its help, and no other is', async () => {
  const required = (help: string): (string | undefined)[] =>
    help
      .replaceAll(/\n {8,}(?=\S)/g, ' ')
      .split('\n')
      .filter((line) => line.includes('(required)'))
      .map((line) => line.match(/--[\w-]+/)?.[0])
  expect(required(await helpOf('train'))).toEqual(['--calibration', '--output'])
  expect(required(await helpOf('calibrate', 'all'))).toEqual(['--output'])
  expect(required(await helpOf('generate', 'all'))).toEqual([])
})

test('a row goes on below its text, an example is broken before a flag', () => {
  const long = 'word '.repeat(12).trim()
  expect(wrapHelp(`  --flag  ${long}`, 40).split('\n')[1]).toMatch(/^ {10}word/)
  expect(wrapHelp('  $ shadowllm generate "The old captain" --seed 7 --json', 44)).toBe(
    '  $ shadowllm generate "The old captain" \\\n      --seed 7 --json',
  )
  // Without a flag to break it before, between words, but not in a text.
  expect(wrapHelp('  $ shadowllm chat "a b" one two three "four five six"', 40)).toBe(
    '  $ shadowllm chat "a b" one two three \\\n      "four five six"',
  )
})

test.each(helpNames)('the help of %j has no line over 80 characters through a pipe', async (name) => {
  const help = (await helpOf(name)) + (await helpOf(name, 'all'))
  expect(help.split('\n').filter((line) => line.length > 80)).toEqual([])
  expect(help).toMatch(/^Usage: shadowllm/)
})

test.each(helpNames)('the help of %j refers to no file that the package lacks', async (name) => {
  expect(await helpOf(name, 'all')).not.toMatch(/\b(?:docs|spec|fixtures|cuda|examples|src)\/|\.md\b/)
})

/** The headings of a help's flags in their order, and the flags below each. */
async function groupsOf(name: string): Promise<Map<string, string[]>> {
  const groups = new Map<string, string[]>()
  let heading = ''
  for (const line of (await helpOf(name, 'all')).split('\n')) {
    if (/^\S.*:$/.test(line)) heading = line
    const [, flag] = /^ {2}(?:-\w, )?(?:--[\w-]+, )*(--[\w-]+)/.exec(line) ?? []
    if (flag) groups.set(heading, [...(groups.get(heading) ?? []), flag])
  }
  return groups
}

test.each(['generate', 'chat', 'serve'])(
  'the help of %s begins with the flags that one needs first, and has the others by headings',
  async (name) => {
    const groups = await groupsOf(name)
    const [first, ...others] = groups.keys()
    expect(first).toBe('Options:')
    expect(groups.get(first)?.slice(0, 3)).toEqual(['--model', '--planner', '--sparsity'])
    expect(groups.get(first)?.length).toBeLessThanOrEqual(14)
    expect(others).toEqual(
      expect.arrayContaining([
        'How masks are decided:',
        'Predictors, calibrations and compensation:',
        'Machine and memory:',
        'Global Options:',
      ]),
    )
    expect(groups.get('Machine and memory:')).toContain('--threads')
  },
)

test.each(['generate', 'chat', 'serve', 'masks', 'perplexity'])(
  'the help of %s explains the first flags, and names the others by their headings',
  async (name) => {
    const [short, whole] = [await helpOf(name), await helpOf(name, 'all')]
    expect(short.split('\n').length).toBeLessThan(0.75 * whole.split('\n').length)
    expect(short).toContain(`which "shadowllm ${name} --help all" explains:`)
    for (const [heading, flags] of await groupsOf(name))
      for (const flag of flags) {
        const isFirst = heading === 'Options:' || heading === 'Global Options:'
        expect(new RegExp(`^ {2}(-\\w, )?(--[\\w-]+, )*${flag}\\b`, 'm').test(short), flag).toBe(isFirst)
        expect(short).toMatch(new RegExp(`(^|\\s)${flag}(\\s|$)`, 'm'))
      }
  },
)

test.each(commandNames)('the help of %s has each flag once', async (name) => {
  const flags = [...(await groupsOf(name)).values()].flat()
  expect(flags.length).toBe(new Set(flags).size)
})
