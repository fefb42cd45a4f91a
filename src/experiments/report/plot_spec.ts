/**
 * A plot as a Vega-Lite specification: data and looks, no drawing yet.
 *
 * Labels and names enter as data and as titles only, never as expressions. Colours are literal, those of light paper;
 * the page's style exchanges them on dark paper. There is no legend here: the page sets it as text.
 */
import type { TopLevelSpec } from 'vega-lite'
import type { Plot } from '../../results/experiment_result.ts'
import { figure } from '../../results/cells.ts'
import { drawable, hasError, isDrawable } from './figure_words.ts'
import { seriesStyles } from './series.ts'

/** The size of a figure, in pixels. */
export interface FigureSize {
  readonly name: 'wide' | 'narrow'
  readonly width: number
  /** Of lines; bars take what they need. */
  readonly height: number
}

/** A page, and a phone: text has the same size on both. */
export const figureSizes: readonly FigureSize[] = [
  { name: 'wide', width: 680, height: 360 },
  { name: 'narrow', width: 340, height: 300 },
]

/** Colours of everything that is no data, with those of dark paper. */
export const paperColours = {
  ink: ['#47525c', '#b4bec7'],
  rule: ['#e4e8eb', '#2b333a'],
  axis: ['#98a3ad', '#5f6b76'],
} as const

/**
 * Stands before every text given to Vega, which looks some of them up in plain objects: `toString` is found in all of
 * them. It has no width, and `draw.ts` takes it away.
 */
export const GUARD = '\u200b'

/** A text that is no property of anything. */
function guarded(text: string): string {
  return GUARD + text
}

/** One drawable point. */
interface Datum {
  readonly x: number | string
  readonly y: number
  readonly series: string
  readonly low: number | null
  readonly high: number | null
  readonly end: number
  readonly label: string
}

/** The drawable points; an error bar that would leave a logarithmic axis ends at its point. */
function dataOf(plot: Plot): Datum[] {
  return plot.series.flatMap(({ name, points }) =>
    points
      .filter((point) => isDrawable(plot, point))
      .map((point) => {
        const { x } = point
        const [y, error] = [drawable(point.y), drawable(point.error ?? 0)]
        const known = hasError(point)
        const low = plot.y.scale === 'log' && y - error <= 0 ? y : y - error
        return {
          x: typeof x === 'string' ? guarded(x) : drawable(x),
          y,
          series: guarded(name),
          low: known ? low : null,
          high: known ? y + error : null,
          end: known ? y + error : y,
          label: guarded(figure(y)),
        }
      }),
  )
}

/** The specification of one figure. */
export function plotSpec(plot: Plot, size: FigureSize): TopLevelSpec {
  const data = dataOf(plot)
  const styles = seriesStyles(plot.series.map(({ name }) => name))
  const names = plot.series.map(({ name }) => guarded(name))
  const common = {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    data: { values: data },
    width: size.width,
    background: null,
    config: { ...looks, axis: { ...looks.axis, labelOverlap: 'greedy' } },
  }
  const bySeries = (range: readonly unknown[]): Part => ({
    field: 'series',
    type: 'nominal',
    legend: null,
    scale: { domain: names, range },
  })
  const look: Look = {
    color: bySeries(styles.map(({ colour }) => colour)),
    shape: bySeries(styles.map(({ mark }) => mark)),
    strokeDash: bySeries(styles.map(({ dash }) => dash)),
  }
  const parts = plot.kind === 'line' ? lines(plot, data, size, look) : bars(plot, data, size, look)
  // Vega-Lite's type of a specification is a union of all of them, which tells nothing about this one.
  return { ...common, ...parts } as unknown as TopLevelSpec
}

type Part = Readonly<Record<string, unknown>>

/** How series are told apart. */
type Look = Readonly<Record<'color' | 'shape' | 'strokeDash', Part>>

const pointMark = { type: 'point', filled: true, size: 34, opacity: 1 }

function lines(plot: Plot, data: readonly Datum[], size: FigureSize, look: Look): Part {
  const places = [...new Set(data.map(({ x }) => x))]
  const named = places.some((x) => typeof x === 'string')
  const x = {
    field: 'x',
    title: wrapped(plot.x.label, size),
    ...(named
      ? { type: 'ordinal', sort: null, axis: { labelAngle: 0, grid: false } }
      : {
          type: 'quantitative',
          scale: { zero: false, nice: false, padding: 12 },
          axis: { grid: false, ...(places.length <= 12 ? { values: places } : { tickCount: 8 }) },
        }),
  }
  const log = plot.y.scale === 'log' ? logarithmic(data, 1) : null
  const y = {
    type: 'quantitative',
    title: wrapped(plot.y.label, size),
    scale: log?.scale ?? { zero: false, nice: true },
    axis: { ...topTitle, tickCount: 6, ...labels(data.map(({ y }) => y)), ...log?.axis },
  }
  return {
    height: size.height,
    autosize: { type: 'fit', contains: 'padding' },
    encoding: { x, color: look.color },
    layer: [
      errorRule({ y: { ...y, field: 'low' }, y2: { field: 'high' } }),
      {
        mark: { type: 'line', strokeWidth: 2, strokeJoin: 'round' },
        encoding: { y: { ...y, field: 'y' }, strokeDash: look.strokeDash },
      },
      { mark: pointMark, encoding: { y: { ...y, field: 'y' }, shape: look.shape } },
    ],
  }
}

/** Lying bars, so that names can be read; on a logarithmic axis, which has no zero to stand on, marks alone. */
function bars(plot: Plot, data: readonly Datum[], size: FigureSize, look: Look): Part {
  const log = plot.y.scale === 'log' ? logarithmic(data, 3) : null
  const most = Math.max(...data.map(({ end }) => end))
  const least = Math.min(...data.map(({ y, low }) => low ?? y))
  const length = {
    type: 'quantitative',
    title: wrapped(plot.y.label, size),
    scale: log?.scale ?? {
      zero: true,
      nice: false,
      domain: [Math.min(0, least * 1.15), Math.max(0, most * 1.15)],
    },
    axis: {
      grid: true,
      tickCount: size.name === 'wide' ? 8 : 5,
      ...labels(data.map(({ y }) => y)),
      ...log?.axis,
    },
  }
  const names = plot.series.map(({ name }) => guarded(name))
  const grouped = names.length > 1
  const yOffset = {
    field: 'series',
    type: 'nominal',
    sort: names,
    scale: { paddingInner: 0.18, paddingOuter: 0.09 },
  }
  const across = {
    y: {
      field: 'x',
      type: 'nominal',
      sort: null,
      title: null,
      axis: {
        grid: false,
        domain: log === null,
        ticks: false,
        labelLimit: size.width * (size.name === 'wide' ? 0.35 : 0.42),
        labelPadding: 8,
      },
      scale: { paddingInner: grouped ? 0.25 : 0.35, paddingOuter: 0.15 },
    },
    ...(grouped && { yOffset }),
  }
  return {
    height: { step: grouped ? 15 : 24, ...(grouped && { for: 'offset' }) },
    autosize: { type: 'fit-x', contains: 'padding' },
    encoding: { ...across, color: look.color },
    layer: [
      ...(log === null
        ? [{ mark: { type: 'bar', opacity: 0.4 }, encoding: { x: { ...length, field: 'y' } } }]
        : []),
      errorRule({ x: { ...length, field: 'low' }, x2: { field: 'high' } }),
      { mark: pointMark, encoding: { x: { ...length, field: 'y' }, shape: look.shape } },
      {
        mark: { type: 'text', align: 'left', dx: 7, fontSize: 10.5, color: paperColours.ink[0] },
        encoding: {
          x: { ...length, field: 'end' },
          text: { field: 'label', type: 'nominal' },
          color: { value: paperColours.ink[0] },
        },
      },
    ],
  }
}

/** A standard error to both sides; where there is none, both ends are null and nothing is drawn. */
function errorRule(encoding: Part): Part {
  return {
    transform: [{ filter: { field: 'low', valid: true } }],
    mark: { type: 'rule', strokeWidth: 1.25, opacity: 0.9 },
    encoding,
  }
}

/** The title of the second axis lies so many pixels above it and is read without turning the head. */
export function titleAbove(distance: number): Part {
  return {
    titleAngle: 0,
    titleAnchor: 'end',
    titleAlign: 'left',
    titleBaseline: 'bottom',
    titleX: 0,
    titleY: -distance,
  }
}

const topTitle = titleAbove(10)

/** A title in lines that fit. */
function wrapped(text: string, { width }: FigureSize): string[] {
  const most = width / 7
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + 1 + word.length <= most)
      lines[lines.length - 1] = `${last} ${word}`
    else lines.push(word)
  }
  return lines.map(guarded)
}

/** How numbers on an axis are written: in full, large ones with k and M, those beyond as powers of ten. */
function labels(values: readonly number[]): Part {
  const most = Math.max(0, ...values.map(Math.abs))
  const form = most >= 1e15 || (most > 0 && most < 1e-4) ? '~e' : most >= 1e5 ? '~s' : '~r'
  return { labelExpr: `format(datum.value, '${form}')` }
}

/**
 * A logarithmic axis that ends where the data ends, not at the next power of ten, with round numbers on it.
 * @param margins how many margins are left after the largest number
 */
function logarithmic(data: readonly Datum[], margins: number): { scale: Part; axis: Part } {
  const least = Math.min(...data.map(({ y, low }) => low ?? y))
  const most = Math.max(...data.map(({ end }) => end))
  if (!(least > 0 && most < Infinity)) return { scale: { type: 'log' }, axis: {} }
  const margin = Math.max(1.05, (most / least) ** 0.06)
  const domain = [least / margin, most * margin ** margins]
  const rows = [
    [1],
    [1, 3],
    [1, 2, 5],
    [1, 1.5, 2, 3, 4, 5, 7],
    [1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9],
  ]
  const ticks = rows.map((row) => ticksIn(domain, row))
  const values = ticks.find((found) => found.length >= 4) ?? ticks[ticks.length - 1]
  return { scale: { type: 'log', domain, nice: false }, axis: values.length >= 2 ? { values } : {} }
}

/** The multiples of powers of ten that lie in a domain. */
function ticksIn([from, to]: readonly number[], multiples: readonly number[]): number[] {
  const found: number[] = []
  for (let power = Math.floor(Math.log10(from)); power <= Math.log10(to); power++)
    for (const multiple of multiples) {
      const tick = Number(`${multiple}e${power}`)
      if (tick >= from && tick <= to) found.push(tick)
    }
  return found
}

/** Letters of axes and the room around them, in pixels. */
interface AxisSizes {
  readonly label: number
  readonly title: number
  readonly labelPadding: number
  readonly titlePadding: number
}

/** The looks of every figure: quiet axes, and rules from the second one. */
export function figureLooks(sizes: AxisSizes): Part & { readonly axis: Part } {
  const [ink] = paperColours.ink
  return {
    aria: false,
    font: 'system-ui, sans-serif',
    view: { stroke: null },
    axis: {
      labelColor: ink,
      titleColor: ink,
      gridColor: paperColours.rule[0],
      domainColor: paperColours.axis[0],
      tickColor: paperColours.axis[0],
      tickSize: 4,
      labelFontSize: sizes.label,
      titleFontSize: sizes.title,
      titleFontWeight: 'normal',
      titlePadding: sizes.titlePadding,
    },
    axisY: { domain: false, ticks: false, labelPadding: sizes.labelPadding },
  }
}

const looks = figureLooks({ label: 11, title: 12, labelPadding: 6, titlePadding: 10 })
