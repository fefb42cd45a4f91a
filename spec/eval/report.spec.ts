/**
 * Reports show any result, whatever is written in it: as text that lines up, as JSON, and as one page that asks for
 * nothing, obeys nothing it shows, and is the same each time.
 */
import fc from 'fast-check'
import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { Column, ExperimentResult, Plot, Row } from '../../src/eval/experiment.ts'
import type { Provenance } from '../../src/eval/provenance.ts'
import { cell, figure, groupStarts, heading, isNumeric } from '../../src/eval/report/cells.ts'
import { drawPlot } from '../../src/eval/report/draw.ts'
import { countMissing, describePlot } from '../../src/eval/report/figure_words.ts'
import { renderHtml } from '../../src/eval/report/html.ts'
import { renderJson } from '../../src/eval/report/json.ts'
import { escapeText, markup } from '../../src/eval/report/markup.ts'
import { figureSizes } from '../../src/eval/report/plot_spec.ts'
import { seriesColours, seriesStyles } from '../../src/eval/report/series.ts'
import { formatExperiment, formatTable } from '../../src/eval/report/terminal.ts'
import { checkLaw, law } from '../harness/seed.ts'

const provenance: Provenance = {
  version: '0.1.0',
  commit: null,
  runtime: 'node 24.0.0',
  system: 'linux x64',
  processor: 'a processor',
  threads: 2,
  backend: 'wasm',
  model: { name: 'a model', hash: '0123' },
  data: { name: 'a text', hash: '4567' },
  seed: 3,
  argv: ['reproduce'],
  date: '2026-01-02T03:04:05.000Z',
}

function resultOf(more: Partial<ExperimentResult> = {}): ExperimentResult {
  return {
    name: 'curve',
    title: 'Perplexity by sparsity',
    asks: 'How much is lost?',
    command: 'shadowllm reproduce --experiment curve',
    columns: [
      { key: 'planner', label: 'planner' },
      { key: 'ppl', label: 'perplexity', unit: 'per token' },
      { key: 'speed', label: 'speed', unit: 'tokens/s', digits: 0 },
    ],
    rows: [
      { planner: 'dense', ppl: 92.31, speed: 12345.6 },
      { planner: 'shadow', ppl: 113.04, speed: null },
    ],
    plots: [linePlot()],
    paper: { columns: [{ key: 'a', label: 'published' }], rows: [{ a: 30.75 }], source: 'a paper' },
    findings: ['It holds.'],
    provenance,
    complete: true,
    seconds: 12.3,
    ...more,
  }
}

function linePlot(more: Partial<Plot> = {}): Plot {
  return {
    title: 'A curve',
    kind: 'line',
    x: { label: 'units skipped (%)' },
    y: { label: 'perplexity (per token)' },
    series: [
      { name: 'shadow', points: [30, 50, 70].map((x) => ({ x, y: 100 + x, error: 2 })) },
      { name: 'random', points: [30, 50, 70].map((x) => ({ x, y: 150 + x })) },
    ],
    ...more,
  }
}

describe('a figure', () => {
  const decimals = fc.integer({ min: 0, max: 6 })
  const numbers = fc.oneof(
    fc.double({ noNaN: true, min: -1e6, max: 1e6 }),
    fc.double({ noNaN: true, min: -1e300, max: 1e300 }),
    fc.constantFrom(0, -0, 9999.5, 99999, 1e7, -0.0004, 0.001),
  )
  const read = (text: string): number => Number(text.replaceAll(',', ''))
  const isClose = (format: typeof figure) => (value: number, digits: number) => {
    const fixed = read(format(value, digits))
    const free = read(format(value))
    if (Math.abs(value) < 1e15) expect(Math.abs(fixed - value)).toBeLessThanOrEqual(0.51 * 10 ** -digits)
    expect(Math.abs(free - value)).toBeLessThanOrEqual(0.51e-3 * Math.abs(value))
  }

  law(
    'reads as the number to the digits it shows, four where nobody says how many',
    [numbers, decimals],
    isClose(figure),
  )

  test('cut off in the place of rounded, or by a thousand off, is caught', async () => {
    const cut: typeof figure = (value, digits) => figure(Math.trunc(value * 10) / 10, digits)
    const short: typeof figure = (value, digits) => figure(value, digits).replace(/,\d{3}/, '')
    for (const mutant of [cut, short])
      await expect(
        checkLaw('mutant', [numbers, decimals], isClose(mutant), { record: false }),
      ).rejects.toThrow('Counterexample')
  })

  test.each<[number, number | undefined, string]>([
    [1234.5, 1, '1234.5'],
    [12345.67, 1, '12,345.7'],
    [-0.001, 2, '0.00'],
    [0, undefined, '0.000'],
    [92.314, undefined, '92.31'],
    [252_444_444, undefined, '2.524e8'],
    [0.00012345, undefined, '1.234e-4'],
    [NaN, 2, 'NaN'],
    [Infinity, undefined, 'Infinity'],
  ])('%d with %s digits is %s', (value, digits, text) => expect(figure(value, digits)).toBe(text))
})

describe('a table', () => {
  const columns: Column[] = [
    { key: 'name', label: 'planner' },
    { key: 'value', label: 'speed', unit: 'tokens/s', digits: 1 },
    { key: 'none', label: 'nothing' },
  ]
  const anyRow = fc.record<Row>({
    name: fc.string(),
    value: fc.oneof(fc.constant(null), fc.double({ noNaN: true, min: -1e9, max: 1e9 })),
  })

  test('names the unit in the heading', () => {
    expect(columns.map(heading)).toEqual(['planner', 'speed (tokens/s)', 'nothing'])
  })

  law('lines up: every number ends where its heading ends', [fc.array(anyRow, { minLength: 1 })], (rows) => {
    const lines = formatTable(columns, rows)
      .split('\n')
      .filter((line) => line !== '')
    expect(lines).toHaveLength(rows.length + 2)
    const end = lines[0].indexOf('speed (tokens/s)') + 'speed (tokens/s)'.length
    for (const [i, row] of rows.entries())
      expect(lines[i + 2].slice(0, end).endsWith(` ${cell(row, columns[1])}`)).toBe(true)
  })

  test('leans numbers to the right, and words to the left', () => {
    const rows = [{ name: 'a', value: null }]
    expect(columns.map((column) => isNumeric(column, rows))).toEqual([false, true, true])
    expect(isNumeric(columns[1], [{ value: 'n/a' }, { value: 3 }])).toBe(false)
  })

  test('sets rows of one name apart from those of the next, where there are such', () => {
    const rowsOf = (...names: string[]): Row[] => names.map((name) => ({ name }))
    expect(groupStarts(columns, rowsOf('a', 'a', 'b', 'b', 'a'))).toEqual([false, false, true, false, true])
    expect(groupStarts(columns, rowsOf('a', 'b', 'a'))).toEqual([false, false, false])
    expect(groupStarts(columns, [])).toEqual([])
  })
})

describe('on the terminal', () => {
  test('an experiment is what it asks, its rows, the published figures, the findings and the command', () => {
    const text = formatExperiment(resultOf())
    expect(text).toBe(
      [
        'Perplexity by sparsity',
        'How much is lost?',
        '',
        'planner  perplexity (per token)  speed (tokens/s)',
        '-------  ----------------------  ----------------',
        'dense                     92.31            12,346',
        'shadow                    113.0                 -',
        '',
        'Published: a paper',
        '',
        'published',
        '---------',
        '    30.75',
        '',
        '- It holds.',
        '',
        '$ shadowllm reproduce --experiment curve',
        '  (12 s)',
        '',
      ].join('\n'),
    )
  })

  test('a run that was stopped, and one without rows, says so', () => {
    const text = formatExperiment(resultOf({ complete: false, rows: [], paper: null }))
    expect(text).toContain('Nothing was measured.')
    expect(text).toContain('The run was stopped')
    expect(text).not.toContain('Published')
  })

  law('nothing that is shown can steer the terminal', [fc.string({ unit: 'binary' })], (hostile) => {
    const text = formatExperiment(
      resultOf({ title: hostile, rows: [{ planner: hostile, ppl: 1, speed: 2 }], findings: [hostile] }),
    )
    // oxlint-disable-next-line no-control-regex -- those are what must not be there
    expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/)
  })
})

test('as JSON, a result is itself; what is not a number is null', () => {
  const result = resultOf({ rows: [{ planner: 'dense', ppl: Infinity, speed: 1 }] })
  const read = JSON.parse(renderJson([result], provenance)) as { experiments: ExperimentResult[] }
  expect(read).toMatchObject({
    provenance,
    experiments: [{ name: 'curve', rows: [{ ppl: null, speed: 1 }] }],
  })
})

describe('series', () => {
  test('up to eight differ in colour, in mark and in dash, planners and others mixed', () => {
    const names = ['dense', 'one', 'shadow', 'two', 'oracle', 'three', 'four', 'random']
    const styles = seriesStyles(names)
    for (const part of ['colour', 'darkColour', 'mark', 'dash'] as const)
      expect(new Set(styles.map((style) => String(style[part]))).size).toBe(names.length)
  })

  test('up to 64 differ in the pair of colour and mark', () => {
    const styles = seriesStyles(Array.from({ length: 64 }, (_, i) => `series ${i}`))
    expect(new Set(styles.map(({ colour, mark }) => colour + mark)).size).toBe(64)
  })

  test('a planner looks the same in every figure', () => {
    expect(seriesStyles(['a', 'shadow'])[1]).toEqual(seriesStyles(['shadow', 'b', 'c'])[0])
  })

  test('names that objects have by themselves are names like others', () => {
    expect(seriesStyles(['constructor', '__proto__'])[0]).toEqual(seriesStyles(['a'])[0])
  })
})

describe('a plot', () => {
  test('in words names its axes and follows each series from end to end', () => {
    const [shadow] = linePlot().series
    const points = [...shadow.points, { x: 90, y: 90 }]
    expect(describePlot(linePlot({ series: [{ name: 'shadow', points }] }))).toBe(
      'Lines: perplexity (per token), against units skipped (%). shadow: from 130.0 +- 2.000 at 30 to 90.00 at 90; least 90.00 at 90, most 170.0 +- 2.000 at 70.',
    )
  })

  test('leaves out what has no place on it, and counts that', async () => {
    const points = [
      { x: 1, y: NaN },
      { x: 2, y: Infinity },
      { x: 3, y: 0 },
      { x: 4, y: 5 },
      { x: NaN, y: 5 },
    ]
    const plot = linePlot({ series: [{ name: 'a', points }] })
    expect(countMissing(plot)).toBe(3)
    const logarithmic = { ...plot, y: { label: 'y', scale: 'log' } } as const
    expect(countMissing(logarithmic)).toBe(4)
    expect(await renderHtml([resultOf({ plots: [logarithmic] })], provenance)).toContain(
      '4 points have no place on it.',
    )
  })

  // From one part in 1e30 to 1e30, and what is no number.
  const size = fc.double({ min: -30, max: 30, noNaN: true }).map((power) => 10 ** power)
  const numbers = fc.oneof(
    size,
    size.map((value) => -value),
    fc.double({ min: 0.1, max: 1e3, noNaN: true }),
    fc.constantFrom(0, -0, NaN, Infinity, -Infinity, 1e308, -1e308, 5e-324),
  )
  const anyPlot: fc.Arbitrary<Plot> = fc.record({
    title: fc.string(),
    kind: fc.constantFrom('line', 'bar'),
    x: fc.record({ label: fc.string() }),
    y: fc.record({ label: fc.string(), scale: fc.constantFrom('linear', 'log') }),
    series: fc.array(
      fc.record({
        name: fc.string(),
        points: fc.array(
          fc.record(
            { x: fc.oneof(numbers, fc.string(), fc.integer()), y: numbers, error: numbers },
            { requiredKeys: ['x', 'y'] },
          ),
          { maxLength: 4 },
        ),
      }),
      { maxLength: 4 },
    ),
  })

  law(
    'of any data is drawn, in the room it has, without a coordinate that is no number',
    [anyPlot, fc.constantFrom(...figureSizes)],
    async (plot, size) => {
      const { content, width, height } = await drawPlot(plot, size)
      expect(width).toBeLessThanOrEqual(size.width + 1)
      expect(height).toBeGreaterThan(0)
      expect(content).not.toMatch(/="[^"]*(?:NaN|undefined|Infinity)[^"]*"/)
    },
    { runs: 25, timeout: 60_000 },
  )

  test('shows every series: a line, its marks, its error bars', async () => {
    const { content } = await drawPlot(linePlot(), figureSizes[0])
    const count = (pattern: RegExp): number => content.match(pattern)?.length ?? 0
    const [shadow, random] = seriesStyles(['shadow', 'random'])
    for (const { colour } of [shadow, random]) {
      expect(count(new RegExp(`fill="${colour}"`, 'g'))).toBe(3)
      expect(count(new RegExp(`<path[^>]*stroke="${colour}"`, 'g'))).toBe(1)
    }
    expect(count(new RegExp(`<line[^>]*stroke="${shadow.colour}"`, 'g'))).toBe(3)
    expect(count(new RegExp(`<line[^>]*stroke="${random.colour}"`, 'g'))).toBe(0)
    expect(content).toContain('>units skipped (%)<')
    expect(content).toContain('>perplexity (per token)<')
  })
})

describe('markup', () => {
  const isText = (escape: typeof escapeText) => (text: string) => {
    const html = escape(text)
    expect(html).not.toMatch(/[<>"']/)
    expect(html.replace(/&(?:amp|lt|gt|quot|#39);/g, '')).not.toContain('&')
  }
  const hostile = fc.string({ unit: fc.constantFrom('<', '>', '&', '"', "'", 'a', ';', '\u0000') })

  law('text cannot become a tag, an attribute or an entity', [hostile], isText(escapeText))

  test.each<[string, (text: string) => string]>([
    ['quotes', (text) => escapeText(text).replaceAll('&quot;', '"')],
    ['ampersands', (text) => text.replaceAll('<', '&lt;').replaceAll('>', '&gt;').replace(/["']/g, '')],
    ['all but the first bracket', (text) => text.replace('<', '&lt;').replace(/[>"'&]/g, '')],
  ])('an escape that forgets %s is caught', async (_, mutant) => {
    await expect(checkLaw('mutant', [hostile], isText(mutant), { record: false })).rejects.toThrow()
  })

  test('pieces stay what they are, and text inside them was escaped', () => {
    const piece = markup`<b>${'<'}</b>`
    expect(markup`<p title="${'"'}">${[piece, piece]}${null}${0}</p>`.html).toBe(
      '<p title="&quot;"><b>&lt;</b><b>&lt;</b>0</p>',
    )
  })
})

/** A result with this text wherever text goes. */
function saying(text: string): ExperimentResult {
  const plot = (kind: 'line' | 'bar'): Plot => ({
    title: text,
    kind,
    x: { label: text },
    y: { label: text },
    series: [text, `${text} again`].map((name) => ({
      name,
      points: [
        { x: text, y: 1, error: 0.5 },
        { x: `${text} more`, y: 2 },
      ],
    })),
  })
  const columns: Column[] = [{ key: 'a', label: text, unit: text }]
  return resultOf({
    name: text,
    title: text,
    asks: text,
    command: text,
    columns,
    rows: [{ a: text }],
    plots: [plot('line'), plot('bar')],
    paper: { columns, rows: [{ a: text }], source: text },
    findings: [text],
    layers: [{ name: text, heads: [0, 0.5, 1], neurons: [0, NaN, 1] }],
    provenance: { ...provenance, model: { name: text, hash: text }, argv: [text] },
  })
}

/** The tags of a page, their attributes' values left out where those are ours to choose. */
function tagsOf(html: string): string[] {
  return [...html.matchAll(/<\/?([a-zA-Z!][a-zA-Z0-9]*)/g)].map(([, name]) => name.toLowerCase())
}

describe('the page', () => {
  const words = fc.string({
    unit: fc.constantFrom(
      '<',
      '>',
      '/',
      '&',
      '"',
      "'",
      '=',
      ' ',
      'b',
      'script',
      '{',
      '}',
      '\\',
      '`',
      '\n',
      '-->',
      ']]>',
    ),
  })

  const attacks: [string][] = [
    ['<script>alert(1)</script>'],
    ['"><b onload="x'],
    ['</title></style></desc></svg>'],
  ]
  // How many lines of text a label takes is its own.
  const counted = [
    'section',
    'figure',
    'svg',
    'table',
    'th',
    'td',
    'li',
    'a',
    'meta',
    'style',
    'h2',
    'p',
    'script',
    'b',
  ]
  const pageSaying = (render: typeof renderHtml, text: string): Promise<string> =>
    render([saying(text)], { ...provenance, processor: text, commit: text })
  let tamePage: Promise<string> | undefined
  const isTame = (render: typeof renderHtml) => async (text: string) => {
    const hostile = await pageSaying(render, text)
    tamePage ??= pageSaying(renderHtml, 'word')
    const tame = await tamePage
    const count = (html: string, tag: string): number => tagsOf(html).filter((name) => name === tag).length
    for (const tag of counted) expect([tag, count(hostile, tag)]).toEqual([tag, count(tame, tag)])
    for (const tag of tagsOf(hostile)) expect(tagsOf(tame)).toContain(tag)
    // Attributes by their names: in their values the text may say what it likes.
    const tags = hostile.replace(/"[^"]*"/g, '""').match(/<[^>]*>/g) ?? []
    expect(tags.filter((tag) => /\son\w*=/.test(tag))).toEqual([])
  }

  law('has the same tags whatever is written in the results', [words], isTame(renderHtml), {
    runs: 3,
    timeout: 60_000,
    examples: attacks,
  })

  test.each<[string, (html: string) => string]>([
    ['lets brackets through', (html) => html.replaceAll('&lt;', '<').replaceAll('&gt;', '>')],
    ['lets quotes through', (html) => html.replaceAll('&quot;', '"')],
  ])('a page that %s is caught', async (_, spoil) => {
    const mutant: typeof renderHtml = async (...given) => spoil(await renderHtml(...given))
    const results = await Promise.allSettled(attacks.map(([attack]) => isTame(mutant)(attack)))
    expect(results.some(({ status }) => status === 'rejected')).toBe(true)
  })

  test('asks for nothing: no script, no link out, no import, no style that its policy does not name', async () => {
    const html = await renderHtml([saying('word'), resultOf()], provenance)
    expect(tagsOf(html)).not.toEqual(expect.arrayContaining(['script']))
    expect(html).not.toMatch(/<(?:script|link|img|iframe|object|embed|base|form|image|use|foreignObject)\b/i)
    expect(html).not.toMatch(/\s(?:src|srcset|action|style|xlink:href)=/)
    expect(html).not.toMatch(/url\(|@import/)
    expect([...html.matchAll(/href="([^"]*)"/g)].map(([, to]) => to)).toEqual([
      '#experiment-1',
      '#experiment-2',
    ])
    const [, style] = /<style>([^]*?)<\/style>/.exec(html) ?? []
    const hash = createHash('sha256').update(style).digest('base64')
    expect(html).toContain(
      `content="default-src &#39;none&#39;; style-src &#39;sha256-${hash}&#39;; base-uri &#39;none&#39;; form-action &#39;none&#39;"`,
    )
  })

  test('is the same for the same results, whatever was drawn in between', async () => {
    const results = [saying('word'), resultOf()]
    const first = await renderHtml(results, provenance)
    await renderHtml([saying('other'), saying('other')], provenance)
    expect((await renderHtml(results, provenance)) === first).toBe(true)
    const another = resultOf({
      plots: [linePlot({ series: [{ name: 'shadow', points: [{ x: 1, y: 2 }] }] })],
    })
    expect((await renderHtml([results[0], another], provenance)) === first).toBe(false)
  })

  test('can be heard: every figure has a title and a description, every heading a scope, every id is one', async () => {
    const html = await renderHtml([resultOf(), saying('word')], provenance)
    const ids = [...html.matchAll(/\sid="([^"]*)"/g)].map(([, id]) => id)
    expect(new Set(ids).size).toBe(ids.length)
    for (const [, named] of html.matchAll(/aria-(?:labelledby|describedby)="([^"]*)"/g))
      expect(ids).toContain(named)
    const figures = html.match(/<svg class="plot[^]*?<\/svg>/g) ?? []
    expect(figures).toHaveLength(6)
    for (const svg of figures)
      expect(svg).toMatch(
        /^<svg[^>]* role="img"[^>]*><title id="[^"]+">[^<]+<\/title><desc id="[^"]+">[^<]+<\/desc>/,
      )
    for (const [th] of html.matchAll(/<th\b[^>]*>/g)) expect(th).toMatch(/ scope="(?:col|row)"/)
    expect(html).toContain('<html lang="en">')
  })

  test('gives the command under every figure, the published figures, and where all of it comes from', async () => {
    const html = await renderHtml([resultOf()], provenance)
    expect(html).toMatch(/<figure>[^]*shadowllm reproduce --experiment curve[^]*<\/figure>/)
    expect(html).toMatch(/Published<small>a paper<\/small>[^]*30\.75/)
    for (const text of [
      'a model',
      '0123',
      'a text',
      '4567',
      'a processor',
      'node 24.0.0',
      '2026-01-02T03:04:05.000Z',
    ])
      expect(html.slice(html.indexOf('id="provenance"'))).toContain(text)
  })

  test('shades what is skipped, layer by layer', async () => {
    const layers = [{ name: 'shadow', heads: [0, 0.5, 1], neurons: [0.25, 0.449, 0.96] }]
    const html = await renderHtml([resultOf({ layers })], provenance)
    const cells = [...html.matchAll(/<td class="share-(\d+)">(\d+)<\/td>/g)].map(
      ([, shade, text]) => `${shade}:${text}`,
    )
    expect(cells).toEqual(['0:0', '5:50', '10:100', '3:25', '4:45', '10:96'])
  })

  test('has a colour for dark paper in the place of every colour that is drawn', async () => {
    const html = await renderHtml([saying('word'), resultOf()], provenance)
    const used = new Set([...html.matchAll(/(?:fill|stroke)="(#[0-9a-f]+)"/gi)].map(([, colour]) => colour))
    expect(used.size).toBeGreaterThan(4)
    for (const colour of used) expect(html).toContain(`svg [fill="${colour}"]{fill:#`)
    expect(seriesColours.flat().every((colour) => /^#[0-9a-f]{6}$/.test(colour))).toBe(true)
  })
})
