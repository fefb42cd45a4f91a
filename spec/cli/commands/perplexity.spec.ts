/**
 * `shadowllm perplexity`: the tables and reports it prints and writes, and what it refuses.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { formatReport } from '../../../src/cli/commands/perplexity.ts'
import type { Screen } from '../../../src/cli/screen.ts'
import type { TextPerplexityReport } from '../../../src/evaluation/text_perplexity.ts'
import { runInside, type Moment } from '../run_inside.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-perplexity-'))
afterAll(() => rmSync(folder, { recursive: true }))

const sentence = 'The captain looked at the sea, and the men looked at him. '
const text = join(folder, 'sea.txt')
writeFileSync(text, sentence.repeat(8))
const wikitext = join(folder, 'wiki.raw')
writeFileSync(
  wikitext,
  ` \n = Sea = \n \n ${sentence.replace(',', ' ,').repeat(4)}\n = Ship = \n \n A ship . \n`,
)

interface Report {
  rows: Record<string, number | string | null>[]
  whole: Record<string, number | null>
  protocol: Record<string, unknown>
  text: Record<string, unknown>
  provenance: { argv: string[]; data: { hash: string } }
}

async function runJson(...args: string[]): Promise<Report> {
  const { code, stdout, stderr } = await runInside(['perplexity', '--json', ...args])
  expect([code, stderr]).toEqual([0, ''])
  return JSON.parse(stdout) as Report
}

describe('perplexity', () => {
  test('prints perplexity per word and per token, and a table if units are skipped', async () => {
    const args = ['--planner', 'shadow,random', '--sparsity', '0.5', '--prompt', '16']
    const { code, stdout, stderr } = await runInside(['perplexity', '--text', text, ...args])
    expect([code, stderr]).toEqual([
      0,
      expect.stringMatching(/^the perplexity of 121 tokens says little [^\n]+\n$/),
    ])
    expect(stdout).toMatch(/^sea\.txt|^\/.*sea\.txt: 1 page, 96 words, 464 bytes; weights as f32\n/)
    // Four significant digits.
    expect(stdout).toMatch(
      /\ndense, whole stream: (?:\d{4,}|\d{3}\.\d|\d{2}\.\d{2}|\d\.\d{3}) per token, of \d+; context 256, stride 256, a first token at the start\n/,
    )
    expect(stdout).toMatch(/\ndense, whole pages: [\d.]+ per word, of \d+ tokens, .* bits per byte [\d.]+\n/)
    // The dense value beside masks is of fewer tokens, and has a name of its own.
    expect(stdout).toMatch(/\ndense +0 % .*\n/)
    expect(stdout.match(/ppl\/token/g)).toHaveLength(1)
    expect(stdout).toMatch(/\nplanner +asked +heads +neurons +ppl\/token/)
    expect(stdout).toMatch(/\nshadow +50 % +43\.8 % +43\.8 % /)
    expect(stdout).toContain('Masks from the first 16 tokens of each window')
  })

  test('of a text of few tokens a line says that it tells little of a model', async () => {
    const few = join(folder, 'few.txt')
    writeFileSync(few, 'abc')
    const { code, stderr } = await runInside(['perplexity', '--text', few])
    expect([code, stderr]).toEqual([
      0,
      'the perplexity of 2 tokens says little of the model: measure some thousands\n',
    ])
    expect((await runInside(['perplexity', '--text', few, '--quiet'])).stderr).toBe('')
    // Some hundred tokens are few too, a thousand are not.
    for (const [letters, isFew] of [
      [200, true],
      [1500, false],
    ] as const) {
      writeFileSync(few, 'q '.repeat(letters))
      const { stderr } = await runInside(['perplexity', '--text', few, '--by', 'page'])
      expect(stderr.includes('says little')).toBe(isFew)
    }
    await runJson('--text', few)
  })

  test('a table leans to the left in its first column, and to the right in every other', async () => {
    const args = ['--planner', 'random,shadow', '--sparsity', '0.5,0.75', '--by', 'stream', '--context', '24']
    const { stdout } = await runInside(['perplexity', '--text', text, '--windows', '2', ...args])
    const [table] = /^planner +asked.*\n(?:.+\n){5}/m.exec(stdout) ?? ['']
    const cells = table
      .trimEnd()
      .split('\n')
      .map((line) => [...line.matchAll(/\S+(?: \S+)*/g)])
    const [headings] = cells
    expect(headings.length).toBeGreaterThan(3)
    for (const row of cells) {
      expect(row[0].index).toBe(0)
      const ends = (of: typeof row): number[] => of.slice(1).map(({ index, 0: cell }) => index + cell.length)
      expect(ends(row)).toEqual(ends(headings))
    }
  })

  test('the table is explained by what stands in it', async () => {
    const pages = ['perplexity', '--text', text, '--by', 'stream', '--context', '24', '--planner', 'random']
    const one = (await runInside([...pages, '--windows', '1'])).stdout
    expect(one).toMatch(/first other: the first scored token/)
    expect(one).not.toContain('±')
    expect((await runInside([...pages, '--windows', '4'])).stdout).toContain('± is one standard error.')

    const [, ...flags] = [...pages, '--windows', '1']
    const report = (await runJson(...flags)) as unknown as TextPerplexityReport
    const klOverStatic = { value: 0.5, error: null }
    const overStatic = { ...report, rows: report.rows.map((row) => ({ ...row, klOverStatic })) }
    const explained = 'Over static: KL less that of static at the same sparsity, window by window.'
    expect(formatReport(overStatic, { columns: 200 } as Screen)).toContain(`\n${explained}\n`)
    expect(one).not.toContain('Over static')
  })

  test('a small KL has its error beside it, in two digits as well', async () => {
    const windows = ['--by', 'stream', '--context', '24', '--windows', '4']
    const { stdout } = await runInside(['perplexity', '--text', text, '--cache', 'int8', ...windows])
    expect(stdout).toMatch(/\ndense +0 % .* \d\.\de-\d ± \d\.\de-\d +\d+\.\d %/)
  })

  test('--cache int8 reports the distance from float32', async () => {
    const { code, stdout, stderr } = await runInside(['perplexity', '--text', text, '--cache', 'int8'])
    expect([code, stderr]).toEqual([
      0,
      expect.stringMatching(/^the perplexity of 121 tokens says little [^\n]+\n$/),
    ])
    expect(stdout).toMatch(/\ndense +0 % .* \d\.\de-\d +\d+\.\d %/)
    expect(stdout).toContain('Keys and values as int8 in every row')
    expect(stdout).not.toContain('Leaky')
  })

  test('a run stopped before the first window says that it has no numbers', async () => {
    const report = (await runJson('--text', text, '--context', '24')) as unknown as TextPerplexityReport
    const stopped = { ...report, complete: false }
    const screen = { columns: 200 } as Screen
    expect(formatReport(stopped, screen)).toContain('the numbers cover what was finished')
    const whole = { ...report.whole, streamTokens: 0, pageTokens: 0 }
    const none = formatReport({ ...stopped, whole }, screen)
    expect(none).toContain('before the first window was finished in all rows: there are no numbers.')
    expect(none).not.toContain('cover')
  })

  test('what takes a while is said before: tokens, windows and rows', async () => {
    const book = join(folder, 'book.txt')
    writeFileSync(book, sentence.repeat(900))
    const args = [
      '--text',
      book,
      '--by',
      'stream',
      '--windows',
      '19',
      '--planner',
      'random',
      '--sparsity',
      '0.5',
    ]
    // Only what comes before the first window is waited for.
    const stopped = { interruptWhen: ({ update }: Moment) => update?.stage === 'stream' }
    const said = async (...more: string[]): Promise<string> =>
      (await runInside(['perplexity', ...args, ...more], stopped)).stderr.split('shadowllm:')[0]
    expect(await said()).toBe('')
    expect(await said('--windows', '40', '--planner', 'random,shadow,griffin')).toMatch(
      /^stream: 10,\d{3} tokens in 40 windows, read in each of 4 rows; --context makes windows shorter, --windows fewer\n$/,
    )
  })

  test('--json states how it was measured, and --output writes the same', async () => {
    const output = join(folder, 'report.json')
    const args = ['--wikitext', wikitext, '--stride', '32', '--prefix', 'window', '-o', output]
    const report = await runJson(...args)
    expect(report).toMatchObject({
      rows: [{ planner: 'dense', sparsity: 0, seed: 0, achieved: { heads: 0 }, klPerToken: 0 }],
      text: { name: 'wiki.raw', pages: 2 },
      protocol: { context: 256, stride: 32, prefix: 'window', cache: 'f32', prompt: null },
      complete: true,
    })
    expect(report.provenance.argv).toEqual(['perplexity', '--json', ...args])
    expect(JSON.parse(readFileSync(output, 'utf8'))).toEqual(report)
    const page = await runJson(
      '--wikitext',
      wikitext,
      '--by',
      'page',
      '--limit',
      '1',
      '--backend',
      'reference',
    )
    expect(page).toMatchObject({
      text: { pages: 1 },
      rows: [{ tokenPerplexity: null, wordPerplexity: expect.any(Number) }],
    })
  })

  test.each([
    [['--planner', 'best'], 2, '--planner: expected one of dense'],
    [['--planner', 'static'], 4, 'planner static: expected a calibration, got none'],
    [['--planner', 'random,glass'], 4, 'planner glass: expected a calibration, got none'],
    [['--planner', 'griffin', '--prefill', 'masked'], 2, 'planner griffin: expected a dense prefill'],
    [['--planner', 'griffin', '--every', '4'], 2, 'planner griffin: expected one decision'],
    [['--planner', 'griffin', '--head-sparsity', '0.5'], 2, 'planner griffin: expected no head sparsity'],
    [
      ['--planner', 'random', '--leaky', '--prefill', 'dense'],
      2,
      'planner random: expected a masked prefill',
    ],
    [['--planner', 'dejavu'], 4, 'planner dejavu: expected a DejaVu predictor, got none'],
    [['--text', 'none.txt'], 3, 'none.txt: expected a file, got nothing'],
    [['--text', text, '--wikitext', wikitext], 2, '--text and --wikitext: expected one of them, got both'],
    [['--text', text, '--stride', '257'], 2, 'stride: expected 1 to 256 tokens, got 257'],
    [['--output', folder], 2, 'expected a file to write, got a folder'],
  ])('%j ends with %i', async (args, expected, words) => {
    const { code, stdout, stderr } = await runInside(['perplexity', ...args])
    expect([code, stdout]).toEqual([expected, ''])
    expect(stderr).toContain(words)
  })
})
