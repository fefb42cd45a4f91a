/**
 * The page of a report and its figures: one file that asks for nothing and obeys nothing it shows, the same each time,
 * with figures that every reader can tell apart, and hear.
 *
 * Tests src/experiments/report/draw.ts, src/experiments/report/figure_words.ts, src/experiments/report/html_tables.ts,
 * src/experiments/report/markup.ts, src/experiments/report/series.ts and src/experiments/report/style.ts.
 */
import fc from 'fast-check'
import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { Column, ExperimentResult, Plot } from '../../../src/results/experiment_result.ts'
import { drawPlot } from '../../../src/experiments/report/draw.ts'
import { countMissing, describePlot } from '../../../src/experiments/report/figure_words.ts'
import { renderHtml } from '../../../src/experiments/report/html.ts'
import { escapeText, markup } from '../../../src/experiments/report/markup.ts'
import { figureSizes, type FigureSize } from '../../../src/experiments/report/plot_spec.ts'
import { seriesColours, seriesStyles } from '../../../src/experiments/report/series.ts'
import { killsEach, law, lawForAll, stateLaw } from '../../harness/seed.ts'
import { casesAtTier } from '../../harness/tier.ts'
import type { Provenance } from '../../../src/results/provenance.ts'
import { linePlot, provenance, resultOf } from './report_cases.ts'

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

  test('names of inherited object members are names like others', () => {
    expect(seriesStyles(['constructor', '__proto__'])[0]).toEqual(seriesStyles(['a'])[0])
  })
})

describe('a plot', () => {
  test('has a description that names its axes and each series from end to end', () => {
    const [shadow] = linePlot().series
    const points = [...shadow.points, { x: 90, y: 90 }]
    expect(describePlot(linePlot({ series: [{ name: 'shadow', points }] }))).toBe(
      'Lines: perplexity (per token), against units skipped (%). shadow: from 130.0 ± 2.000 at 30 to 90.00 at 90; least 90.00 at 90, most 170.0 ± 2.000 at 70.',
    )
  })

  test('omits points without a position, and counts them', async () => {
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
      '4 points have no place in the figure.',
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

  const isDrawn = (draw: typeof drawPlot) => async (plot: Plot, size: FigureSize) => {
    const { content, width, height } = await draw(plot, size)
    expect(width).toBeLessThanOrEqual(size.width + 1)
    expect(height).toBeGreaterThan(0)
    expect(content).not.toMatch(/="[^"]*(?:NaN|undefined|Infinity)[^"]*"/)
  }

  law(
    'of any data is drawn inside its frame with finite coordinates',
    { plot: anyPlot, size: fc.constantFrom(...figureSizes) },
    ({ plot, size }) => isDrawn(drawPlot)(plot, size),
    { runs: casesAtTier(8, 25) },
  )

  test.each(['line', 'bar'] as const)('of %s with numbers too small for an axis is drawn', async (kind) => {
    const point = { x: 5e-324, y: 5e-324, error: 5e-324 }
    const series = [{ name: '', points: [point, { ...point, x: 0, y: 0 }] }]
    for (const plot of [{ series: [{ name: '', points: [{ x: 1, y: 0, error: 5e-324 }] }] }, { series }])
      await isDrawn(drawPlot)(
        { title: '', kind, x: { label: '' }, y: { label: '' }, ...plot },
        figureSizes[0],
      )
  })

  test.each(['toString', 'constructor', '__proto__', 'datum', "a.b['c']"])(
    'with %s is drawn',
    async (text) => {
      const points = [
        { x: text, y: 1 },
        { x: 'other', y: 2 },
      ]
      for (const kind of ['line', 'bar'] as const) {
        const plot = {
          title: text,
          kind,
          x: { label: text },
          y: { label: text },
          series: [{ name: text, points }],
        }
        const { content } = await drawPlot(plot, figureSizes[0])
        expect(content.split(`>${escapeText(text).replaceAll('&#39;', "'")}<`).length - 1).toBe(
          kind === 'line' ? 3 : 2,
        )
      }
    },
  )

  test.each(
    Object.entries<typeof drawPlot>({
      'wider than its room': (plot, size) => drawPlot(plot, { ...size, width: size.width + 20 }),
      'where there is no number': async ({ series }) => ({
        width: 1,
        height: 1,
        content: `<line x2="${series[0].points[0].y}"/>`,
      }),
    }),
  )('a drawing %s is caught', async (_, mutant) => {
    const nowhere = linePlot({ series: [{ name: 'a', points: [{ x: 1, y: NaN }] }] })
    await expect(isDrawn(mutant)(nowhere, figureSizes[1])).rejects.toThrow(/expected/)
  })

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
  const hostile = fc.string({ unit: fc.constantFrom('<', '>', '&', '"', "'", 'a', ';', '\u0000') })

  const isText = lawForAll(
    'text cannot become a tag, an attribute or an entity',
    { text: hostile },
    (escape: typeof escapeText, { text }) => {
      const html = escape(text)
      expect(html).not.toMatch(/[<>"']/)
      expect(html.replace(/&(?:amp|lt|gt|quot|#39);/g, '')).not.toContain('&')
    },
  )
  stateLaw(isText, escapeText)

  killsEach('an escape that omits %s is found', isText, {
    quotes: (text) => escapeText(text).replaceAll('&quot;', '"'),
    ampersands: (text) => text.replaceAll('<', '&lt;').replaceAll('>', '&gt;').replace(/["']/g, ''),
    'all but the first bracket': (text) => text.replace('<', '&lt;').replace(/[>"'&]/g, ''),
  })

  test('markup stays as it is, with escaped text inside', () => {
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
    render([saying(text)], { ...provenance, processor: text, commit: text, model: fromHub(text) })
  const fromHub = (text: string): Provenance['model'] => ({
    ...provenance.model,
    hub: { repository: text, revision: text, commit: text },
  })
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

  law(
    'has the same tags for any text in the results',
    { text: words },
    ({ text }) => isTame(renderHtml)(text),
    {
      runs: casesAtTier(1, 3),
      examples: attacks.map(([text]) => ({ text })),
    },
  )

  test.each<[string, (html: string) => string]>([
    ['lets brackets through', (html) => html.replaceAll('&lt;', '<').replaceAll('&gt;', '>')],
    ['lets quotes through', (html) => html.replaceAll('&quot;', '"')],
  ])('a page that %s is caught', async (_, spoil) => {
    const mutant: typeof renderHtml = async (...given) => spoil(await renderHtml(...given))
    const isCaught = async (attack: string): Promise<boolean> =>
      isTame(mutant)(attack).then(
        () => false,
        () => true,
      )
    // The first attack that the page does not stand is enough.
    for (const [attack] of attacks) if (await isCaught(attack)) return
    expect.unreachable('no attack was caught')
  })

  test('names the commit of a hub model, and no hub for a local one', async () => {
    const html = await renderHtml([saying('word')], { ...provenance, model: fromHub('abc') })
    expect(html).toContain('<dt>revision</dt><dd>abc of abc, commit <code>abc</code></dd>')
    expect(await renderHtml([saying('word')], provenance)).not.toContain('<dt>revision</dt>')
  })

  test('makes no request: no script, no external link, no import, no style outside its policy', async () => {
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

  test('is the same for the same results, after any other drawing', async () => {
    const results = [saying('word'), resultOf()]
    const first = await renderHtml(results, provenance)
    await renderHtml([saying('other'), saying('other')], provenance)
    expect((await renderHtml(results, provenance)) === first).toBe(true)
    const another = resultOf({
      plots: [linePlot({ series: [{ name: 'shadow', points: [{ x: 1, y: 2 }] }] })],
    })
    expect((await renderHtml([results[0], another], provenance)) === first).toBe(false)
  })

  test('is accessible: every figure has a title and a description, every heading a scope, ids are unique', async () => {
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

  test('has the command under every figure, the published figures, and the provenance', async () => {
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

  test('shades skipped shares, layer by layer', async () => {
    const layers = [{ name: 'shadow', heads: [0, 0.5, 1], neurons: [0.25, 0.449, 0.96] }]
    const html = await renderHtml([resultOf({ layers })], provenance)
    const cells = [...html.matchAll(/<td class="share-(\d+)">(\d+)<\/td>/g)].map(
      ([, shade, text]) => `${shade}:${text}`,
    )
    expect(cells).toEqual(['0:0', '5:50', '10:100', '3:25', '4:45', '10:96'])
  })

  test('has a dark-mode colour for every colour', async () => {
    const html = await renderHtml([saying('word'), resultOf()], provenance)
    const used = new Set([...html.matchAll(/(?:fill|stroke)="(#[0-9a-f]+)"/gi)].map(([, colour]) => colour))
    expect(used.size).toBeGreaterThan(4)
    for (const colour of used) expect(html).toContain(`svg [fill="${colour}"]{fill:#`)
    expect(seriesColours.flat().every((colour) => /^#[0-9a-f]{6}$/.test(colour))).toBe(true)
  })
})
