/**
 * The ticks of a logarithmic axis: powers of ten, and multiples of them where there are few. The room that bars have. What
 * Vega is given for plots of every kind is kept in files: charts change only if somebody means to change them.
 *
 * Tests src/experiments/report/draw.ts and src/experiments/report/series.ts.
 */
import { expect, test } from 'vitest'
import type { TopLevelSpec } from 'vega-lite'
import { drawPlot, drawSpec } from '../../../src/experiments/report/draw.ts'
import { figureSizes, plotSpec } from '../../../src/experiments/report/plot_spec.ts'
import { linePlot } from './report_cases.ts'

test.each<[name: string, values: readonly number[], labels: readonly string[]]>([
  ['decades', [1, 10, 3000], ['1', '10', '100', '1000']],
  ['ones and threes where there are few decades', [2, 20, 300], ['3', '10', '30', '100', '300']],
  ['ones, twos and fives where there are fewer', [11, 40, 90], ['10', '20', '50', '100']],
  ['steps of fifths where there is one decade', [100, 110, 130], ['100', '120']],
])('%s stand along a logarithmic axis', async (_, values, labels) => {
  const points = values.map((y, x) => ({ x, y }))
  const plot = linePlot({ series: [{ name: 'a', points }], y: { label: 'y', scale: 'log' } })
  const { content } = await drawPlot(plot, figureSizes[0])
  const texts = [...content.matchAll(/<text[^>]*>([^<]+)<\/text>/g)].map(([, text]) => text)
  expect(texts.slice(texts.indexOf('units skipped (%)') + 1, texts.indexOf('y'))).toEqual(labels)
})

test.each([1, 2, 3, 5])('bars of %d series stand apart, so that their numbers can be read', async (count) => {
  const named = (y: number) => ['dense', 'shadow', 'random'].map((x, i) => ({ x, y: y + i }))
  const series = Array.from({ length: count }, (_, i) => ({ name: `${i}`, points: named(10 * (i + 1)) }))
  for (const size of figureSizes) {
    const { content, height } = await drawPlot(linePlot({ kind: 'bar', series }), size)
    const numbers = [...content.matchAll(/<text[^>]*translate\([\d.]+,([\d.]+)\)[^>]*10\.5px[^>]*>/g)]
    const places = numbers.map(([, y]) => Number(y)).toSorted((a, b) => a - b)
    expect(places).toHaveLength(3 * count)
    expect(places[0]).toBeGreaterThan(10.5)
    for (const [i, place] of places.slice(1).entries()) expect(place - places[i]).toBeGreaterThan(1.2 * 10.5)
    expect(height).toBeGreaterThan(places[3 * count - 1])
  }
})

test.each(['bar', 'line'] as const)('an error stands to both sides of its value (%s)', async (kind) => {
  const points = [5, 10, 20].map((error, x) => ({ x: kind === 'bar' ? `${x}` : x, y: 50, error }))
  const { content } = await drawPlot(linePlot({ kind, series: [{ name: 'a', points }] }), figureSizes[0])
  const along = kind === 'bar' ? 'x2' : 'y2'
  const rules = [...content.matchAll(/<line[^>]*opacity="0\.9"[^>]*>/g)].map(([line]) => line)
  const lengths = rules.map((line) => Math.abs(Number(new RegExp(` ${along}="(-?[\\d.]+)"`).exec(line)?.[1])))
  expect(lengths).toHaveLength(3)
  expect(lengths[1] / lengths[0]).toBeCloseTo(2, 1)
  expect(lengths[2] / lengths[0]).toBeCloseTo(4, 1)
})

/** Three series past the colours of a first round, with and without errors; one reaches far, one begins near nothing. */
function seriesOf(kind: 'bar' | 'line', count: number) {
  return Array.from({ length: count }, (_, i) => ({
    name: i === 0 ? 'shadow' : `series ${i}`,
    points: [0.5, 2, 12, 40].map((value, n) => ({
      x: kind === 'bar' ? `method ${n}` : 10 * n,
      y: value * (i + 1) ** 3,
      ...(i !== 1 && { error: value / 4 }),
    })),
  }))
}

// vitest -u writes these files.
test.each(
  (['bar', 'line'] as const).flatMap((kind) =>
    (['linear', 'log'] as const).flatMap((scale) =>
      figureSizes.map((size) => ({ kind, scale, size, name: `${kind}-${scale}-${size.name}` })),
    ),
  ),
)('Vega is given the same for a plot as before: $name', async ({ kind, scale, size, name }) => {
  const specs = (scale === 'log' ? [1] : [2, 9]).map((count) => {
    const y = {
      label: 'perplexity of the words that follow each prompt (per token, of all documents)',
      scale,
    }
    return plotSpec(linePlot({ kind, y, series: seriesOf(kind, count) }), size)
  })
  // The innermost objects and lists have a line each.
  const text = JSON.stringify(specs, null, 1).replaceAll(/[{[][^{}[\]]*[}\]]/g, (one) =>
    one.replaceAll(/\s+/g, ' '),
  )
  await expect(`${text}\n`).toMatchFileSnapshot(`plots/${name}.txt`)
})

test('a drawing has places to a hundredth, and the next whole size', async () => {
  const axis = { type: 'quantitative', axis: null, scale: { domain: [0, 3], nice: false } }
  const chart = {
    width: 100,
    height: 20.5,
    padding: 0,
    data: { values: [1, 2].map((x) => ({ x })) },
    mark: 'point',
    encoding: { x: { field: 'x', ...axis } },
    config: { view: { stroke: null } },
  }
  const { content, width, height } = await drawSpec(chart as unknown as TopLevelSpec)
  expect([...content.matchAll(/translate\((\d+\.\d+),/g)].map(([, x]) => x)).toEqual(['33.33', '66.67'])
  expect(content).not.toMatch(/<[^>]*\d\.\d{3}/)
  expect([width, height]).toEqual([100, 21])
})
