/**
 * docs/grid.svg, from a run of the grid with decode speeds: what planners cost against how fast the model decodes under
 * their masks, a line for each from little to much skipped.
 *
 * One kind of units and one shape of windows are shown, the first of the run, and prompts that run dense: then every planner
 * is there. What was measured over the whole model and within layers is shown within layers. The oracle, which has no speed,
 * and random masks are left out.
 */
import { PER_LAYER } from '../../src/experiments/grid_cells.ts'
import { seriesStyles } from '../../src/experiments/report/series.ts'
import { paperColours, ticksIn } from '../../src/experiments/report/plot_spec.ts'
import type { Row } from '../../src/results/experiment_result.ts'
import { InputError } from '../../src/tensor/errors.ts'
import {
  axisTitle,
  edgeOf,
  figureFile,
  textLayers,
  type FigureParts,
  type Part,
  type Text,
} from '../figure.ts'
import { placeLabels, type Point } from '../frontier/labels.ts'
import type { Grid } from './grid.ts'

/** The plot inside its axes, in pixels. */
const [WIDTH, HEIGHT] = [690, 420]
const INK = paperColours.ink[0]
/** Room beyond the data: of KL as a factor, of speeds in tokens per second. */
const [FACTOR, STEP] = [1.2, 5]

/** A mark of the figure. */
interface Mark {
  readonly name: string
  readonly colour: string
  readonly sparsity: number
  readonly kl: number
  readonly error: number
  readonly speed: number
}

/** Lines by name, and the speed of dense. */
interface Lines {
  readonly dense: number
  readonly lines: readonly (readonly Mark[])[]
}

/** What a line is called: a planner, and when it decides where another line differs in that alone. */
function nameOf({ planner, every }: Row, rows: readonly Row[]): string {
  const isAlone = rows.every((row) => row.planner !== planner || row.every === every)
  const name = String(planner).replace(PER_LAYER, '')
  return isAlone ? name : `${name}, ${String(every)}`
}

/** @throws InputError GRID_DATA for a run without speeds */
function linesOf({ rows: all }: Grid): Lines {
  const [first] = all
  const dense = all.find(({ planner }) => planner === 'dense')?.speed
  const cell = all.find(({ planner }) => planner !== 'dense')
  const planners = new Set(all.map(({ planner }) => planner))
  const shown = all.filter(
    ({ window, units, prompt, planner, speed, kl }) =>
      window === first.window &&
      units === cell?.units &&
      prompt === 'dense' &&
      planner !== 'random' &&
      !planners.has(`${String(planner)}${PER_LAYER}`) &&
      speed !== null &&
      // Dense has no place on a logarithmic axis.
      Number(kl) > 0,
  )
  if (typeof dense !== 'number' || shown.length === 0)
    throw new InputError('GRID_DATA', 'grid: expected rows with decode speeds, got none')
  const groups = [...Map.groupBy(shown, (row) => nameOf(row, shown))]
  const styles = seriesStyles(groups.map(([name]) => name))
  const lines = groups.map(([name, rows], i) =>
    rows
      .map((row): Mark => ({
        name,
        colour: styles[i].colour,
        sparsity: Number(row.sparsity),
        kl: Number(row.kl),
        error: Number(row.klError ?? 0),
        speed: Number(row.speed),
      }))
      .toSorted((a, b) => a.sparsity - b.sparsity),
  )
  return { dense, lines }
}

/** The figure, as a file. @throws InputError GRID_DATA for a run without speeds */
export async function drawGrid(run: Grid): Promise<string> {
  const { model } = run.runs[0].provenance
  const { dense, lines } = linesOf(run)
  return figureFile(specOf({ dense, lines }), {
    width: WIDTH,
    height: HEIGHT,
    title: `${model.name}: tokens per second against KL from dense, by planner`,
    description: [`dense: ${dense.toFixed(1)} tokens/s.`, ...lines.map(inWords)].join(' '),
  })
}

function inWords(line: readonly Mark[]): string {
  const points = line.map(
    ({ sparsity, speed, kl }) => `${sparsity} %: ${speed.toFixed(1)} tokens/s, KL ${kl.toFixed(3)}`,
  )
  return `${line[0].name}: ${points.join('; ')}.`
}

/** The ends of the axes. */
interface Ends {
  readonly kl: readonly [number, number]
  readonly speed: readonly [number, number]
}

function endsOf({ dense, lines }: Lines): Ends {
  const marks = lines.flat()
  const speeds = [dense, ...marks.map(({ speed }) => speed)]
  return {
    kl: [
      Math.min(...marks.map(({ kl, error }) => (error < kl ? kl - error : kl))) / FACTOR,
      Math.max(...marks.map(({ kl, error }) => kl + error)) * FACTOR,
    ],
    speed: [
      STEP * Math.max(0, Math.ceil(Math.min(...speeds) / STEP) - 1),
      STEP * (Math.floor(Math.max(...speeds) / STEP) + 1),
    ],
  }
}

/** The names of lines at their last marks, the shares beside the marks of the first line, and dense. */
function textsOf({ dense, lines }: Lines, { kl: [from, to], speed: [bottom, top] }: Ends): Text[] {
  const heightOf = (speed: number): number => HEIGHT * (1 - (speed - bottom) / (top - bottom))
  const pointOf = ({ kl, speed }: Mark): Point => ({
    x: (WIDTH * Math.log(kl / from)) / Math.log(to / from),
    y: heightOf(speed),
  })
  const names = lines.map((line) => {
    const last = line[line.length - 1]
    return { ...pointOf(last), text: last.name, size: 13, colour: last.colour }
  })
  const shares = lines[0].map((mark) => ({
    ...pointOf(mark),
    text: `${mark.sparsity} %`,
    size: 11.5,
    colour: mark.colour,
  }))
  const ofDense = { x: 0, y: heightOf(dense), text: 'dense', size: 13, colour: INK }
  const labels = [ofDense, ...names, ...shares]
  const corners = lines.map((line) => line.map(pointOf))
  const places = placeLabels(labels, corners.flat(), corners, edgeOf(WIDTH))
  return labels.map((label, i) => ({ ...label, ...places[i] }))
}

function specOf(drawn: Lines): FigureParts {
  const ends = endsOf(drawn)
  const x = {
    field: 'kl',
    type: 'quantitative',
    scale: { type: 'log', domain: ends.kl, nice: false },
    title: 'KL divergence from dense, nats per token (± one standard error)',
    axis: { values: ticksIn(ends.kl, [1, 2, 5]), labelExpr: "format(datum.value, '~g')" },
  }
  const y = {
    field: 'speed',
    type: 'quantitative',
    scale: { domain: ends.speed, nice: false },
    title: 'tokens per second, decoding (median)',
    axis: { tickCount: 6, ...axisTitle },
  }
  const color = { field: 'colour', type: 'nominal', scale: null, legend: null }
  const values = drawn.lines.flat().map((mark) => ({
    ...mark,
    // An error bar that would leave the axis ends at its point.
    low: mark.error < mark.kl ? mark.kl - mark.error : mark.kl,
    high: mark.kl + mark.error,
  }))
  const layer: Part[] = [
    {
      data: { values: [{ speed: drawn.dense }] },
      mark: { type: 'rule', strokeDash: [4, 4], color: INK },
      encoding: { y },
    },
    {
      mark: { type: 'rule', strokeWidth: 1.25, opacity: 0.75 },
      encoding: { x: { ...x, field: 'low' }, x2: { field: 'high' }, y, color },
    },
    {
      mark: { type: 'line', strokeWidth: 2, strokeJoin: 'round' },
      encoding: { x, y, color, detail: { field: 'name' }, order: { field: 'sparsity' } },
    },
    {
      mark: { type: 'point', shape: 'circle', size: 55, filled: true, opacity: 1 },
      encoding: { x, y, color },
    },
    ...textsOf(drawn, ends).flatMap(textLayers),
  ]
  return { values, layer }
}
