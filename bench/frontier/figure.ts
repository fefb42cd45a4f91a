/**
 * docs/frontier.svg, and the table of bench/README.md, from bench/results/frontier.json.
 *
 * The figure stands in README files, which may be shown on light or dark paper: it has the colours of both, and paper of its
 * own below them.
 */
import { paperColours } from '../../src/experiments/report/plot_spec.ts'
import { seriesColours } from '../../src/experiments/report/series.ts'
import { armsOf, type Frontier, type FrontierArm } from './data.ts'
import {
  axisTitle,
  edgeOf,
  figureFile,
  PAPER,
  powerLabels,
  textLayers,
  type FigureParts,
  type Part,
  type Text,
} from '../figure.ts'
import { markdownTable } from '../pages/table.ts'
import { placeLabels, type Point } from './labels.ts'

/** The plot inside its axes, in pixels. */
const [WIDTH, HEIGHT] = [690, 400]
const INK = paperColours.ink[0]

const [blue, vermilion, green] = seriesColours.map(([light]) => light)
const colours: Readonly<Record<string, string>> = { int4: vermilion, int8: blue, f16: green }

/** A mark of the figure. */
interface Mark extends FrontierArm {
  readonly label: string
  readonly colour: string
  /** Marks of a line: those of a storage from dense to what skips most of all units. */
  readonly line: string | null
  readonly dashed: boolean
  readonly shape: 'circle' | 'diamond' | 'ring'
  readonly bold: boolean
}

/** What stands beside each mark. int4 says in full what is skipped, and the shares beside the others are read like these. */
function markOf(arm: FrontierArm): Mark {
  const { arm: name, engine, weights } = arm
  const own = {
    ...arm,
    colour: colours[weights] ?? INK,
    line: weights,
    dashed: false,
    shape: 'circle',
    bold: false,
  } as const
  if (engine === 'llama.cpp') return { ...own, label: name, line: null, shape: 'diamond' }
  const skipped = /, (.*)$/.exec(name)?.[1]
  if (skipped === undefined) return { ...own, label: weights, bold: true }
  if (arm.timedAs !== undefined)
    return {
      ...own,
      label: weights === 'int4' && skipped.startsWith('30') ? 'with least squares' : '',
      line: skipped.includes('of neurons') ? null : `${weights}, least squares`,
      dashed: true,
      shape: 'ring',
    }
  const share = skipped.replace(' skipped', '')
  if (share.endsWith('of neurons')) return { ...own, label: share, line: null, shape: 'ring' }
  return { ...own, label: weights === 'int4' ? skipped : share }
}

/** The figure, as a file. @throws UsageError SPEEDS as `armsOf` */
export async function drawFrontier(frontier: Frontier): Promise<string> {
  const arms = armsOf(frontier)
  const { model } = frontier.speeds
  return figureFile(specOf(arms), {
    width: WIDTH,
    height: HEIGHT,
    title: `${model}: tokens per second against KL from dense float32`,
    description: arms.map(inWords).join(' '),
  })
}

function inWords({ arm, tokensPerSecond, kl }: FrontierArm): string {
  return `${arm}: ${tokensPerSecond.toFixed(1)} tokens/s, KL ${nats(kl.value)}.`
}

/** Nats as they are written: three digits, two of less than a hundredth, a power of ten of less than a thousandth. */
export function nats(value: number): string {
  if (value === 0) return '0'
  return value < 1e-3 ? value.toExponential(1) : value.toPrecision(value < 0.01 ? 2 : 3)
}

// ---- The figure ------------------------------------------------------------------------------------------------------

/** The ends of the axes. */
interface Ends {
  /** The power of ten at which KL begins, and where it ends, in nats. */
  readonly first: number
  readonly most: number
  /** Tokens per second. */
  readonly top: number
}

/** Dense float32 has no place on a logarithmic axis, but at the end of it. */
const isPlaced = ({ kl }: FrontierArm): boolean => kl.value > 0

function endsOf(arms: readonly FrontierArm[]): Ends {
  const kls = arms.filter(isPlaced).map(({ kl }) => kl)
  return {
    first: Math.floor(Math.log10(Math.min(...kls.map(({ value }) => value)))),
    most: 1.25 * Math.max(...kls.map(({ value, error }) => value + error)),
    top: 10 * Math.ceil(Math.max(...arms.map(({ upper }) => upper)) / 10),
  }
}

/** Labels of all arms, those of the lines first, because they need the best places. */
function textsOf(arms: readonly FrontierArm[], { first, most, top }: Ends): Text[] {
  const pointOf = (arm: FrontierArm): Point => ({
    x: isPlaced(arm) ? (WIDTH * (Math.log10(arm.kl.value) - first)) / (Math.log10(most) - first) : 0,
    y: HEIGHT * (1 - arm.tokensPerSecond / top),
  })
  const marks = arms.map(markOf)
  const labels = marks
    .filter(({ label }) => label !== '')
    .toSorted((a, b) => Number(b.bold) - Number(a.bold))
    .map((mark) => ({
      ...pointOf(mark),
      text: isPlaced(mark) ? mark.label : `◂ ${mark.label}: 0`,
      size: mark.bold ? 14 : 11.5,
      colour: mark.colour,
    }))
  const drawn = marks.filter(isPlaced)
  const lines = Map.groupBy(
    drawn.filter(({ line }) => line !== null),
    ({ line }) => line,
  )
  const corners = [...lines.values()].map((line) => line.map(pointOf))
  const places = placeLabels(labels, drawn.map(pointOf), corners, edgeOf(WIDTH))
  return labels.map((label, i) => ({ ...label, ...places[i] }))
}

function specOf(arms: readonly FrontierArm[]): FigureParts {
  const ends = endsOf(arms)
  const { first, most, top } = ends
  const decades = Math.floor(Math.log10(most)) - first
  const x = {
    field: 'x',
    type: 'quantitative',
    scale: { type: 'log', domain: [Number(`1e${first}`), most], nice: false },
    title: 'KL divergence from dense float32, nats per token (± one standard error)',
    axis: {
      values: Array.from({ length: decades + 1 }, (_, i) => Number(`1e${first + i}`)),
      labelExpr: powerLabels,
    },
  }
  const y = {
    field: 'y',
    type: 'quantitative',
    scale: { domain: [0, top] },
    title: 'tokens per second, decoding on one thread (median, quartiles)',
    axis: { tickCount: 6, ...axisTitle },
  }
  const color = { field: 'colour', type: 'nominal', scale: null, legend: null }
  const values = arms
    .filter(isPlaced)
    .map(markOf)
    .map(({ kl, tokensPerSecond, lower, upper, line, dashed, shape, colour }) => ({
      x: kl.value,
      // An error bar that would leave the axis ends at its point.
      low: kl.error < kl.value ? kl.value - kl.error : kl.value,
      high: kl.value + kl.error,
      y: tokensPerSecond,
      lower,
      upper,
      line,
      dashed,
      shape,
      colour,
    }))
  const bar = { type: 'rule', strokeWidth: 1.25, opacity: 0.75 }
  const layer: Part[] = [
    { mark: bar, encoding: { x: { ...x, field: 'low' }, x2: { field: 'high' }, y, color } },
    { mark: bar, encoding: { x, y: { ...y, field: 'lower' }, y2: { field: 'upper' }, color } },
    ...[false, true].map((dashed) => ({
      mark: { type: 'line', strokeWidth: 2, strokeJoin: 'round', ...(dashed && { strokeDash: [5, 4] }) },
      transform: [{ filter: `datum.line !== null && datum.dashed === ${dashed}` }],
      encoding: { x, y, color, detail: { field: 'line' }, order: { field: 'x' } },
    })),
    ...Object.entries(shapes).map(([shape, look]) => ({
      mark: { type: 'point', opacity: 1, strokeWidth: 2, ...look },
      transform: [{ filter: `datum.shape === '${shape}'` }],
      encoding: { x, y, color },
    })),
    ...textsOf(arms, ends).flatMap(textLayers),
  ]
  return { values, layer }
}

const shapes: Readonly<Record<Mark['shape'], Part>> = {
  circle: { shape: 'circle', size: 55, filled: true },
  ring: { shape: 'circle', size: 55, fill: PAPER },
  diamond: { shape: 'diamond', size: 70, filled: true },
}

// ---- The table -------------------------------------------------------------------------------------------------------

/** Where the numbers come from, and every arm in a line, as Markdown. */
export function frontierTable(frontier: Frontier): string {
  return `${originOf(frontier)}\n\n${tableOf(frontier)}`
}

function originOf({ speeds, quality }: Frontier): string {
  const load = speeds.load.map((one) => one.toFixed(1)).join(' to ')
  const { windows, calibrated, moments = [] } = quality
  const texts = moments.map(({ name, tokens }) => `${name}, ${tokens} tokens`).join('; ')
  const solved = texts && ` Least squares, and what they keep: moments of ${texts}.`
  return `Costs: ${windows} windows; scores of units: ${calibrated} others.${solved} Speeds: ${speeds.host}, load ${load}.`
}

/** Every arm in a line, as Markdown. */
function tableOf(frontier: Frontier): string {
  const head = ['arm', 'tokens/s (quartiles)', 'KL, nats', 'same token', 'heads, neurons left out']
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`
  const rows = armsOf(frontier).map(({ arm, tokensPerSecond, lower, upper, kl, agreement, skipped }) => [
    arm,
    `${tokensPerSecond.toFixed(1)} (${lower.toFixed(1)} to ${upper.toFixed(1)})`,
    kl.value === 0 ? '0' : `${nats(kl.value)} ± ${nats(kl.error)}`,
    `${percent(agreement.value)} ± ${(100 * agreement.error).toFixed(1)}`,
    skipped.weights === 0 ? '-' : `${percent(skipped.heads)}, ${percent(skipped.neurons)}`,
  ])
  return markdownTable(head, rows)
}
