/**
 * All tokens: a column each, with a band for each layer (heads above, bins of neurons below), KL on top, and a line at the first
 * difference of the texts. One column is selected, by pointer or arrow keys.
 */
import type { UnitMask } from '../../masks/mask.ts'
import { remembered } from '../../tensor/records.ts'
import { switchUnits, type UnitSwitch } from '../engine/unit_switches.ts'
import { binsOf } from '../trace/bins.ts'
import type { Masks, Trace } from '../trace/trace.ts'
import { contains, drawDot, outline, type Box, type Cell, type CellMasks } from './cells.ts'
import { Stage, type Drawing } from './stage.ts'

/** The state that is shown. */
interface TimelineState {
  readonly trace: Trace | null
  /** The masks, whether units that the oracle decides otherwise are marked, and the units switched in each mask. */
  readonly masks: {
    readonly of: Masks
    readonly compares: boolean
    readonly switches: readonly UnitSwitch[]
  } | null
  readonly column: number
  readonly cell: Cell | null
}

/** The selection. */
export type Choose = (column: number, cell: Cell | null) => void

const GUTTER = 34
/** What the frame of the current token takes beside the last column. */
const FRAME = 2
const KL_HEIGHT = 40
/** The KL at the top of its axis, unless that of a token is higher. */
const LEAST_KL = 0.25
/** Of bands that are low the gaps are too. */
const GAPS = { low: 2, high: 6 } as const
const LOW = 300
const LABEL_HEIGHT = 11
/** Rows of bins in a band. */
const BINS = 12
/** Columns with reserved space, so that they do not move while a text is generated. */
const RESERVED_COLUMNS = 48

/** The view. */
export class Timeline {
  readonly #stage: Stage
  readonly #choose: Choose
  #state: TimelineState = { trace: null, masks: null, column: 0, cell: null }

  constructor(canvas: HTMLCanvasElement, choose: Choose) {
    this.#choose = (column, cell) => {
      // Key events may be faster than frames.
      this.#state = { ...this.#state, column, cell }
      choose(column, cell)
    }
    this.#stage = new Stage(canvas, (drawing) => this.#draw(drawing))
    canvas.addEventListener('pointerdown', (event) => {
      canvas.setPointerCapture(event.pointerId)
      // A finger may be about to scroll.
      if (event.pointerType !== 'touch') this.#point(event)
    })
    canvas.addEventListener('click', (event) => {
      if (event.pointerType === 'touch') this.#point(event)
    })
    canvas.addEventListener('pointermove', (event) => {
      if (event.buttons > 0) this.#point(event)
    })
    canvas.addEventListener('keydown', (event) => this.#key(event))
  }

  /** Shows a state. */
  show(state: TimelineState): void {
    this.#state = state
    const { canvas } = this.#stage
    const { trace, column } = state
    const count = trace?.columns.length ?? 0
    canvas.setAttribute('aria-valuemin', '1')
    canvas.setAttribute('aria-valuemax', String(Math.max(1, count)))
    canvas.setAttribute('aria-valuenow', String(column + 1))
    const text = trace?.columns[column]?.text ?? ''
    canvas.setAttribute(
      'aria-valuetext',
      count === 0 ? 'no token yet' : `token ${column + 1} of ${count}: ${text}`,
    )
    this.#stage.refresh()
  }

  #columnWidth(width: number): number {
    const { trace } = this.#state
    return (width - GUTTER - FRAME) / Math.max(RESERVED_COLUMNS, trace?.columns.length ?? 0)
  }

  /** The cells of one column, each with its box. */
  *#cells(trace: Trace, x: number, width: number, height: number): Generator<{ cell: Cell; box: Box }> {
    const { layers, heads, neurons } = trace.model.shape
    const bins = binsOf(neurons, BINS)
    const gap = height < LOW ? GAPS.low : GAPS.high
    const band = (height - KL_HEIGHT - (layers - 1) * gap) / layers
    // A row of heads is as high as a row of bins; very many heads share half of the band.
    const row = Math.min(band / (heads + bins.length), band / 2 / Math.min(heads, bins.length))
    const headRow = heads <= bins.length ? row : band / 2 / heads
    const binRow = (band - heads * headRow - 2) / bins.length
    const line = (size: number): number => Math.max(0.75 * size, size - 0.75)
    for (let layer = 0; layer < layers; layer++) {
      const top = KL_HEIGHT + layer * (band + gap)
      for (let head = 0; head < heads; head++)
        yield {
          cell: { kind: 'heads', layer, span: { start: head, end: head + 1 } },
          box: { x, y: top + head * headRow, width, height: line(headRow) },
        }
      for (const [b, span] of bins.entries())
        yield {
          cell: { kind: 'neurons', layer, span },
          box: { x, y: top + heads * headRow + 2 + b * binRow, width, height: line(binRow) },
        }
    }
  }

  #draw({ context, width, height, colours }: Drawing): void {
    const { trace, masks, column, cell: chosen } = this.#state
    context.clearRect(0, 0, width, height)
    if (!trace || !masks) return
    const step = this.#columnWidth(width)
    const cellWidth = Math.max(1, step - Math.min(2, step / 5))
    const most = trace.columns.reduce((most, { kl }) => Math.max(most, kl ?? 0), LEAST_KL)
    this.#drawLabels({ context, width, height, colours }, trace, most)
    const given = new Map<UnitMask, CellMasks>()
    const masksOf = (decided: UnitMask): CellMasks => {
      const mask = masks.switches.length === 0 ? decided : switchUnits(decided, masks.switches)
      const oracle = masks.compares ? masks.of.nearest(trace, mask) : null
      return { mask, oracle, denseLayers: trace.denseLayers }
    }
    for (let c = 0; c < trace.columns.length; c++) {
      const decided = masks.of.ofColumn(trace, c)
      const own = remembered(given, decided, () => masksOf(decided))
      for (const { cell, box } of this.#cells(trace, GUTTER + c * step, cellWidth, height))
        drawDot(context, own, cell, box, colours)
    }
    this.#drawDistances(context, trace, most, { step, width: cellWidth, colour: colours.soft })
    if (trace.divergence !== null) {
      const x = GUTTER + trace.divergence * step - (step - cellWidth) / 2
      context.fillStyle = colours.ink
      context.fillRect(x - 1, 0, 2, height)
    }
    if (trace.columns.length === 0) return
    const x = GUTTER + column * step
    outline(context, { x, y: 2, width: cellWidth, height: height - 4 }, colours.ink)
    for (const { cell, box } of this.#cells(trace, x, cellWidth, height))
      if (contains(cell, chosen)) outline(context, box, colours.ink)
  }

  /** @param most the KL at the top of its axis */
  #drawLabels({ context, width, height, colours }: Drawing, trace: Trace, most: number): void {
    context.fillStyle = colours.soft
    context.font = '11px system-ui, sans-serif'
    context.textBaseline = 'top'
    for (const [i, words] of [most.toFixed(2), 'KL', '0'].entries())
      context.fillText(words, 0, i * LABEL_HEIGHT)
    context.fillRect(GUTTER, KL_HEIGHT - 8, width - GUTTER, 0.5)
    // Names of bands that are lower than a line stand beside every second, third … of them, and all of them inside.
    let [last, free] = [-1, -Infinity]
    for (const { cell, box } of this.#cells(trace, 0, 1, height)) {
      const y = Math.min(box.y, height - LABEL_HEIGHT)
      if (cell.layer === last || y < free) continue
      last = cell.layer
      free = y + LABEL_HEIGHT
      context.fillText(`L${cell.layer}`, 0, y)
    }
  }

  #drawDistances(
    context: CanvasRenderingContext2D,
    { columns }: Trace,
    most: number,
    { step, width, colour }: { readonly step: number; readonly width: number; readonly colour: string },
  ): void {
    context.fillStyle = colour
    for (const [c, { kl }] of columns.entries()) {
      const size = ((kl ?? 0) / most) * (KL_HEIGHT - 12)
      context.fillRect(GUTTER + c * step, KL_HEIGHT - 8 - size, width, size)
    }
  }

  #point(event: PointerEvent): void {
    const { trace } = this.#state
    if (!trace || trace.columns.length === 0) return
    const { x, y } = this.#stage.pointOf(event)
    const { width, height } = this.#stage.size
    const column = Math.floor((x - GUTTER) / this.#columnWidth(width))
    const cells = [...this.#cells(trace, 0, 1, height)]
    const hit = cells.findLast(({ box }) => y >= box.y)?.cell ?? null
    // A finger that is drawn over the words chooses words alone.
    const isDrawn = event.type === 'pointermove' && event.pointerType === 'touch'
    this.#choose(Math.max(0, Math.min(trace.columns.length - 1, column)), isDrawn ? this.#state.cell : hit)
  }

  #key(event: KeyboardEvent): void {
    const { trace, column, cell } = this.#state
    if (!trace || trace.columns.length === 0) return
    const last = trace.columns.length - 1
    const cells = [...this.#cells(trace, 0, 1, this.#stage.size.height)].map(({ cell }) => cell)
    const at = cells.findIndex((one) => contains(one, cell))
    const moves: Readonly<Record<string, readonly [number, Cell | null]>> = {
      ArrowLeft: [Math.max(0, column - 1), cell],
      ArrowRight: [Math.min(last, column + 1), cell],
      PageUp: [Math.max(0, column - 8), cell],
      PageDown: [Math.min(last, column + 8), cell],
      Home: [0, cell],
      End: [last, cell],
      ArrowUp: [column, cells[Math.max(0, at - 1)]],
      ArrowDown: [column, cells[Math.min(cells.length - 1, at + 1)]],
    }
    const move = moves[event.key]
    if (!move) return
    event.preventDefault()
    this.#choose(...move)
  }
}
