/**
 * The picture: the network at one token. Units that are computed are lit. When a mask is decided they light up layer by layer, as
 * the stream runs through the model. Arrow keys move between cells; Enter switches the units of a cell.
 */
import { quarterOf, quartersOf, type Quarters } from '../trace/quarters.ts'
import type { Switches } from '../trace/switches.ts'
import { decisionOf, type Masks, type Trace } from '../trace/trace.ts'
import { placeOf } from '../trace/unit_facts.ts'
import { avoidsMotion } from '../../platform/platform.ts'
import { makeMask, type UnitMask, type UnitShape } from '../../masks/mask.ts'
import {
  contains,
  drawDisc,
  drawDot,
  drawSwitch,
  outline,
  type Box,
  type Cell,
  type CellMasks,
} from './cells.ts'
import {
  boxOf,
  cellAt,
  GUTTER,
  layOut,
  nearestCell,
  TOP,
  type Grid,
  type NetworkLayout,
} from './network_layout.ts'
import { Stage, type Drawing, type Palette } from './stage.ts'

/** The state that is shown. */
export interface NetworkState {
  readonly shape: UnitShape
  /** Null until a mask is decided: then nothing is lit. */
  readonly decided: {
    readonly trace: Trace
    readonly masks: Masks
    readonly column: number
    /** The mask of the column, with switches. */
    readonly mask: UnitMask
    readonly switches: Switches
  } | null
  readonly cell: Cell | null
  /** Whether units that the oracle decides otherwise are marked. */
  readonly compares: boolean
  /** Whether a predictor decides, which is drawn behind layer 0. */
  readonly hasPredictor: boolean
}

/** The callbacks of the picture. */
interface NetworkEvents {
  /** @param at its place in the window */
  choose(cell: Cell, at: DOMRect): void
  /** Enter on the chosen cell. */
  toggle(): void
  /** The predictor was chosen. */
  open(): void
  /** What is under the pointer and its place in the window; null if there is nothing. */
  point(what: Cell | 'predictor' | null, at: DOMRect): void
}

/** Milliseconds in which a new mask lights up. */
const LIGHTING = 900
/** The part of that time in which one layer does. */
const ONE_LAYER = 0.3

/** The opacity of the lowest quarter of the computed units, and of those of score 0, which only fill the budget. */
const FAINTEST = 0.4
const FILLING = 0.15

/** The view. */
export class NetworkView {
  readonly #stage: Stage
  readonly #events: NetworkEvents
  #state: NetworkState | null = null
  /** When the mask that is shown was decided. */
  #since = -Infinity
  #prompt: Int32Array | null = null
  readonly #quarters = new WeakMap<UnitMask, Quarters>()

  constructor(canvas: HTMLCanvasElement, events: NetworkEvents) {
    this.#events = {
      ...events,
      choose: (cell, at) => {
        // Key events may be faster than frames.
        if (this.#state) this.#state = { ...this.#state, cell }
        events.choose(cell, at)
      },
    }
    this.#stage = new Stage(canvas, (drawing) => this.#draw(drawing))
    // Not as soon as a finger is down: it may be about to scroll.
    canvas.addEventListener('click', (event) => {
      const found = this.#find(event)
      // A finger chooses and does not hover, and the description of a unit may be off its screen.
      if (event.pointerType === 'touch') this.#point(event)
      if (found === 'predictor') this.#events.open()
      else if (found) this.#events.choose(found.cell, this.#placeOf(found.box))
    })
    canvas.addEventListener('pointermove', (event) => {
      if (event.pointerType !== 'touch') this.#point(event)
    })
    canvas.addEventListener('pointerleave', ({ pointerType }) => {
      if (pointerType !== 'touch') this.#events.point(null, new DOMRect())
    })
    canvas.addEventListener('keydown', (event) => this.#key(event))
  }

  /** Shows a state; null is empty. @param words the description of the chosen cell for screen readers */
  show(state: NetworkState | null, words: string): void {
    this.#state = state
    const prompt = state?.decided?.trace.prompt ?? null
    if (prompt !== null && prompt !== this.#prompt) {
      this.#since = avoidsMotion() ? -Infinity : performance.now()
      this.#prompt = prompt
    }
    this.#stage.canvas.setAttribute('aria-label', `Units of this token. ${words}`)
    this.#stage.refresh()
  }

  /** How far a layer is lit: from 0 to 1. */
  #lightOf(layer: number, layers: number): number {
    const passed = (performance.now() - this.#since) / LIGHTING
    const start = ((1 - ONE_LAYER) * layer) / layers
    return Math.max(0, Math.min(1, (passed - start) / ONE_LAYER))
  }

  #layout(shape: UnitShape): NetworkLayout {
    const { width, height } = this.#stage.size
    return layOut(shape, width, height)
  }

  #draw(drawing: Drawing): void {
    const { context, width, height, colours } = drawing
    context.clearRect(0, 0, width, height)
    const state = this.#state
    if (!state) return
    const { shape, decided, cell: chosen, compares } = state
    const layout = layOut(shape, width, height)
    drawStream(drawing, layout, shape, state.hasPredictor)
    const none = (units: number): Float32Array => new Float32Array(shape.layers * units)
    const mask = makeMask(shape, none(shape.heads), none(shape.neurons))
    const dark: CellMasks = { mask, oracle: null, denseLayers: 0 }
    const given: CellMasks = decided
      ? {
          mask: decided.mask,
          oracle: compares ? decided.masks.nearest(decided.trace, decided.mask) : null,
          denseLayers: decided.trace.denseLayers,
        }
      : dark
    const strength = this.#strengths(state)
    let isDone = true
    for (const grid of layout.grids) {
      drawGrid(context, grid, dark, colours, () => 1)
      if (!decided) continue
      const light = this.#lightOf(grid.layer, shape.layers)
      isDone &&= light === 1
      if (light > 0) drawGrid(context, grid, given, colours, (cell) => light * strength(cell))
    }
    for (const { unit, on } of decided?.switches.all ?? []) {
      const { kind, layer, index } = unit
      const place = findCell(layout, { kind, layer, span: { start: index, end: index + 1 } })
      if (place) drawSwitch(context, boxOf(place.grid, place.index), on, colours)
    }
    const at = chosen && findCell(layout, chosen)
    if (at) outline(context, boxOf(at.grid, at.index), colours.ink)
    if (!isDone) this.#stage.refresh()
  }

  /** How opaque a unit is that is computed: more for a higher score. A cell of several units shows their number instead. */
  #strengths({ decided }: NetworkState): (cell: Cell) => number {
    const scores = decided && decisionOf(decided.trace, decided.column)
    if (!scores) return () => 1
    const { denseLayers } = decided.trace
    const mask = decided.masks.of(scores)
    const quarters = this.#quarters.get(mask) ?? quartersOf(scores, mask, denseLayers)
    this.#quarters.set(mask, quarters)
    return ({ kind, layer, span }) => {
      const place = placeOf({ kind, layer, index: span.start }, mask)
      if (layer < denseLayers || span.end - span.start > 1 || mask[kind][place] === 0) return 1
      if (scores[kind][place] === 0) return FILLING
      return FAINTEST + ((1 - FAINTEST) * quarterOf(scores[kind][place], kind, quarters)) / 3
    }
  }

  /** What is at the pointer; a finger means what is nearest. */
  #find(event: PointerEvent): { readonly cell: Cell; readonly box: Box } | 'predictor' | null {
    if (!this.#state) return null
    const point = this.#stage.pointOf(event)
    const layout = this.#layout(this.#state.shape)
    const isFinger = event.pointerType === 'touch'
    const at = this.#state.hasPredictor ? diamondOf(layout) : null
    if (at && Math.hypot(point.x - at.x, point.y - at.y) < REACH) return 'predictor'
    for (const grid of layout.grids) {
      const index = cellAt(grid, point)
      if (index !== null) return { cell: cellOf(grid, index), box: boxOf(grid, index) }
    }
    const near = isFinger ? nearestCell(layout, point, REACH) : null
    return near && { cell: cellOf(near.grid, near.cell), box: boxOf(near.grid, near.cell) }
  }

  #point(event: PointerEvent): void {
    const found = this.#find(event)
    if (!found) return this.#events.point(null, new DOMRect())
    if (found === 'predictor')
      return this.#events.point(found, new DOMRect(event.clientX, event.clientY, 0, 0))
    this.#events.point(found.cell, this.#placeOf(found.box))
  }

  /** The place in the window of a box of the picture. */
  #placeOf({ x, y, width, height }: Box): DOMRect {
    const { left, top } = this.#stage.canvas.getBoundingClientRect()
    return new DOMRect(left + x, top + y, width, height)
  }

  #key(event: KeyboardEvent): void {
    if (!this.#state) return
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault()
      return this.#events.toggle()
    }
    const { shape, cell } = this.#state
    const layout = this.#layout(shape)
    const at = (cell && findCell(layout, cell)) ?? { grid: layout.grids[0], index: 0 }
    const next = moved(layout, at, event.key)
    if (!next) return
    event.preventDefault()
    this.#events.choose(cellOf(next.grid, next.index), this.#placeOf(boxOf(next.grid, next.index)))
  }
}

interface Place {
  readonly grid: Grid
  readonly index: number
}

function cellOf({ kind, layer, cells }: Grid, index: number): Cell {
  return { kind, layer, span: cells[index] }
}

/** The place of the cell with the first unit of another. */
function findCell({ grids }: NetworkLayout, wanted: Cell): Place | null {
  const grid = grids.find(({ kind, layer }) => kind === wanted.kind && layer === wanted.layer)
  const index = grid?.cells.findIndex((_, i) => contains(cellOf(grid, i), wanted)) ?? -1
  return grid && index >= 0 ? { grid, index } : null
}

/**
 * The place after an arrow key: left and right run through the heads and then the neurons of a layer, up and down through the
 * layers. Home and End lead to the ends of a layer. Null for another key.
 */
function moved({ grids, isTowers }: NetworkLayout, { grid, index }: Place, key: string): Place | null {
  const own = grids.filter(({ layer }) => layer === grid.layer)
  const [heads, neurons] = own
  const along = grid === heads ? index : heads.cells.length + index
  const last = heads.cells.length + neurons.cells.length - 1
  const to = (layer: number, at: number): Place => {
    const [above, below] = grids.filter((one) => one.layer === layer)
    return at < above.cells.length
      ? { grid: above, index: at }
      : { grid: below, index: Math.min(below.cells.length - 1, at - above.cells.length) }
  }
  const layers = grids.length / 2
  const back = (): Place => to(grid.layer, Math.max(0, along - 1))
  const on = (): Place => to(grid.layer, Math.min(last, along + 1))
  const before = (): Place => to(Math.max(0, grid.layer - 1), along)
  const after = (): Place => to(Math.min(layers - 1, grid.layer + 1), along)
  const [ArrowLeft, ArrowRight, ArrowUp, ArrowDown] = isTowers
    ? [before, after, back, on]
    : [back, on, before, after]
  const moves: Readonly<Record<string, () => Place>> = {
    ArrowLeft,
    ArrowRight,
    ArrowUp,
    ArrowDown,
    Home: () => to(grid.layer, 0),
    End: () => to(grid.layer, last),
  }
  return Object.hasOwn(moves, key) ? moves[key]() : null
}

/** The line that every layer reads and adds to, with the names of the layers and the predictor, a diamond after layer 0. */
function drawStream(
  { context, width, height, colours }: Drawing,
  layout: NetworkLayout,
  shape: UnitShape,
  hasPredictor: boolean,
): void {
  const { isTowers, layers, grids } = layout
  context.font = '12px system-ui, sans-serif'
  context.textBaseline = 'middle'
  context.strokeStyle = colours.dense
  context.fillStyle = colours.soft
  context.lineWidth = 1
  const middle = TOP.towers / 2 - 4
  const label = (text: string, x: number, y: number): void => {
    const { width: size } = context.measureText(text)
    context.clearRect(x - size / 2 - 5, y - 9, size + 10, 18)
    context.fillText(text, x - size / 2, y)
  }
  if (!isTowers) {
    const x = 8.5
    drawLine(context, [x, TOP.rows], [x, height - 2])
    for (const grid of grids.slice(0, 2))
      context.fillText(grid.kind, grid.x + (gridWidth(grid) - context.measureText(grid.kind).width) / 2, 8)
    for (const [layer, box] of layers.entries()) label(String(layer), x, box.y + box.height / 2)
    if (hasPredictor) drawDiamond(context, diamondOf(layout), colours.both)
    return
  }
  const end = layers.at(-1)
  drawLine(context, [GUTTER.towers - 6, middle], [width - 2, middle])
  drawLine(context, [width - 8, middle - 4], [width - 2, middle], [width - 8, middle + 4])
  context.fillText('prompt', 0, middle)
  context.fillText('heads', 0, layers[0].y + 8)
  context.fillText('neurons', 0, grids[1].y + 8)
  if (!end) return
  const wide = end.width >= 50
  for (const [layer, box] of layers.entries())
    if (shape.layers <= 16 || layer % 4 === 0)
      label(wide ? `layer ${layer}` : String(layer), box.x + gridWidth(grids[2 * layer + 1]) / 2, middle)
  if (hasPredictor) drawDiamond(context, diamondOf(layout), colours.both)
}

/** How near to the diamond a pointer chooses it, and a finger a unit. */
const REACH = 14

/** Where the predictor is drawn: behind layer 0; null for a model of one layer. */
function diamondOf({
  isTowers,
  layers,
  grids,
}: NetworkLayout): { readonly x: number; readonly y: number } | null {
  if (layers.length < 2) return null
  return isTowers
    ? { x: (layers[0].x + gridWidth(grids[1]) + layers[1].x) / 2, y: TOP.towers / 2 - 4 }
    : { x: 8.5, y: (layers[0].y + layers[0].height + layers[1].y) / 2 }
}

function gridWidth({ columns, pitch }: Grid): number {
  return columns * pitch
}

function drawLine(
  context: CanvasRenderingContext2D,
  ...points: readonly (readonly [number, number])[]
): void {
  context.beginPath()
  for (const [x, y] of points) context.lineTo(x, Math.round(y) + 0.5)
  context.stroke()
}

function drawDiamond(
  context: CanvasRenderingContext2D,
  at: { readonly x: number; readonly y: number } | null,
  colour: string,
): void {
  if (at === null) return
  const { x, y } = at
  const size = 6.5
  context.fillStyle = colour
  context.beginPath()
  for (const [dx, dy] of [
    [0, -size],
    [size, 0],
    [0, size],
    [-size, 0],
  ])
    context.lineTo(x + dx, y + dy)
  context.fill()
}

/** @param alphaOf how opaque a cell is drawn */
function drawGrid(
  context: CanvasRenderingContext2D,
  grid: Grid,
  given: CellMasks,
  colours: Palette,
  alphaOf: (cell: Cell) => number,
): void {
  const draw = grid.kind === 'heads' ? drawDisc : drawDot
  for (let index = 0; index < grid.cells.length; index++) {
    const cell = cellOf(grid, index)
    context.globalAlpha = alphaOf(cell)
    draw(context, given, cell, boxOf(grid, index), colours)
  }
  context.globalAlpha = 1
}
