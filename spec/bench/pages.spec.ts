/**
 * The figures of all pages follow from result files: none differs from what its expression gives, and none is without one.
 *
 * What is measured looks like a number with a point, with an error, or of nats, times, seconds and the like. Numbers in code are
 * names. What stands beside such a number and makes it something else is listed here by its pattern.
 *
 * Tests bench/pages.
 */
import { describe, expect, test } from 'vitest'
import { withoutDerived } from '../../bench/pages/derive.ts'
import { figuresOf } from '../../bench/pages/figures.ts'
import { Pages, type Page } from '../../bench/pages/pages.ts'
import { planners } from '../../src/planners/index.ts'
import { pathOfUrl } from '../../src/platform/platform.ts'

const { pages, ...all } = ((): { pages: readonly Page[]; derived: readonly Page[] } => {
  const read = Pages.read(pathOfUrl(new URL('../../', import.meta.url)))
  return { pages: read.pages, derived: read.derived() }
})()

test.each(pages.map(({ path, text }, i) => [path, text, all.derived[i].text]))(
  'the figures of %s are those of their result files',
  (_, text, derived) => expect(text).toBe(derived),
)

test('no figure within a sentence begins a line, which Markdown would take for a block of HTML', () => {
  const beginning = (text: string): string[] => text.match(/^ *<!--= .* -->[^\n]*<!--\/-->/gm) ?? []
  expect(beginning("It costs\n<!--= kl('a', 'b', 50) -->0.3<!--/--> nats.")).toHaveLength(1)
  for (const { path, text } of pages) expect(beginning(text), path).toEqual([])
})

test('the table of planners names all that a planner needs', () => {
  const { planners: table } = figuresOf(Pages.read(pathOfUrl(new URL('../../', import.meta.url)))) as {
    planners: () => string
  }
  const needs = new Map(
    Array.from(table().matchAll(/^\| `([\w-]+)`.* \| ([^|]*?) *\|$/gm), ([, name, words]) => [name, words]),
  )
  for (const { name, by, needs: needed } of planners)
    if (by !== null)
      expect(needs.get(name)?.includes('a calibration'), name).toBe(needed.includes('calibration'))
  expect(needs.get('prompt-static')).toBe('a calibration')
  expect(needs.get('prompt-plainact')).toBe('nothing')
  expect(needs.get('shadow')).toBe('a predictor')
})

/** Numbers that were not measured. */
const named: readonly RegExp[] = [
  // Papers.
  /\b\d{4}\.\d{5}\b/g,
  // Licences.
  /CC BY-SA \d\.\d/g,
  // Versions.
  /(?:Node|Python|Redis|CUDA|torch|capability|version|nvcc|\() ?\d+\.\d+(?:\.\d+)?/g,
  // Shares that are asked for, in whole per cent.
  /\b\d+ %/g,
]
/** What is a limit, a constant or of the past: by page, what the line says. */
const known: Readonly<Record<string, readonly RegExp[]>> = {
  'SECURITY.md': [/nobody waits for 500 ms/, /each for 5\.4 minutes/],
  'CHANGELOG.md': [/./],
  'docs/guides/evidence.md': [/43\.0 %|48\.1 %/, /± is one standard error/],
  'docs/guides/read.md': [/highest rate|decay, d|share of the texts|share that is skipped/],
  'docs/guides/planners.md': [/cosine lower than usual by 0\.1/],
  'docs/guides/serve.md': [/a body that takes more than 60 seconds/],
  'spec/README.md': [/torch wrote before 1\.6/, /at most 5 %/, /less than 0\.001 nat/],
  'spec/parity.md': [/0\.5, 1\)|0\.707106781186547524/],
}

const measured =
  /±|(?<![\w.\-/§])\d[\d,]*\.\d+(?![\w.])|(?<![\w.\-/])\d[\d,]*(?: (?:to|and|or) \d[\d,.]*)? ?(?:nats?|tokens\/s|times|ms|µs|s|seconds?|minutes?|points?|GFLOP\/s|GB\/s)\b/

/** The lines of a page with a measured number that follows from no file. */
function unsupported({ path, text }: Page): string[] {
  const prose = withoutDerived(text)
    .replace(/^ *```.*?^ *```/gms, (code) => code.replace(/[^\n]/g, ''))
    .replace(/`[^`\n]*`/g, '')
    .replace(/\]\([^)\n]*\)/g, ']')
  return prose.split('\n').filter((line) => {
    if (known[path]?.some((pattern) => pattern.test(line))) return false
    return measured.test(named.reduce((rest, pattern) => rest.replace(pattern, ''), line))
  })
}

describe('a measured number follows from a result file', () => {
  test.each(pages.map((page) => [page.path, page] as const))('in %s', (_, page) =>
    expect(unsupported(page)).toEqual([]),
  )

  test.each([
    'It costs 0.42 nats.',
    'It is 3 times as fast.',
    'A token takes 12 ms.',
    '| static | 1,204.5 |',
    'It is 0.5 ± 0.1.',
    'After 30 seconds it ends.',
    'From 2 to 3 times.',
    "It costs 0.4 <!--= kl('a', 'b', 50) -->0.3<!--/--> nats.",
  ])('which this does not: %s', (text) => expect(unsupported({ path: 'x.md', text })).toHaveLength(1))

  test.each([
    'Half of 50 % is skipped (arXiv 2406.16635) in Node 22.18.',
    'By `--rate 0.5` and [a link](a/0.5.md).',
    '```\n0.5 ms\n```',
    "It costs <!--= kl('a', 'b', 50) -->0.3 ± 0.1<!--/--> nats.",
    'There are 16 planners in 3 files.',
  ])('and this needs none: %s', (text) => expect(unsupported({ path: 'x.md', text })).toEqual([]))

  test('no line is let off that is not there', () => {
    for (const [path, patterns] of Object.entries(known)) {
      const text = pages.find((page) => page.path === path)?.text ?? ''
      for (const pattern of patterns)
        expect(
          text.split('\n').some((line) => pattern.test(line)),
          `${path} ${pattern.source}`,
        ).toBe(true)
    }
  })
})
