/**
 * Where the units of a model are drawn: a tower for each layer, side by side, or a row for each layer where the picture is narrow.
 * A layer has a grid of heads and a grid of neurons. Every neuron has a cell of its own as long as cells of whole pixels fit;
 * else adjacent neurons share one.
 */
import type { UnitKind, UnitShape } from '../../masks/mask.ts'
import type { Span } from '../trace/bins.ts'
import type { Box } from './cells.ts'

/** Cells of equal size, row by row. */
export interface Grid {
  readonly kind: UnitKind
  readonly layer: number
  readonly x: number
  readonly y: number
  readonly columns: number
  /** The side of a cell with the gap to the next. */
  readonly pitch: number
  /** The units of each cell. */
  readonly cells: readonly Span[]
}

/** The picture of a model. */
export interface NetworkLayout {
  readonly isTowers: boolean
  /** The boxes of the layers. */
  readonly layers: readonly Box[] // [L]
  readonly grids: readonly Grid[] // [2 L], heads and then neurons of each layer
}

/** Space for labels: beside towers, and before rows. */
export const GUTTER = { towers: 58, rows: 20 } as const
/** Space for the line of the stream above the towers, and for names above the rows. */
export const TOP = { towers: 30, rows: 20 } as const
/** Below this width the layers are rows. */
const TOWERS_FROM = 560
/** The smallest side of a cell that is still seen. */
const MIN_PITCH = 3
/** Few units are not drawn larger than this. */
const MAX_PITCH = { heads: 30, neurons: 24 } as const

/** How much smaller cells may be that make a full rectangle. */
const LEAST_PART = { heads: 0.7, neurons: 0.8 } as const

/** Lays a model out in a size in pixels. */
export function layOut({ layers, heads, neurons }: UnitShape, width: number, height: number): NetworkLayout {
  const isTowers = width >= TOWERS_FROM
  const boxes = Array.from({ length: layers }, (_, layer) =>
    isTowers ? towerOf(layer, layers, width, height) : rowOf(layer, layers, width, height),
  )
  const grids = boxes.flatMap((box, layer) => {
    if (!isTowers) return besides(box, layer, heads, neurons)
    const before = gridOf('heads', layer, heads, topOf(box))
    return [before, gridOf('neurons', layer, neurons, below(box, before))]
  })
  return { isTowers, layers: boxes, grids }
}

function towerOf(layer: number, layers: number, width: number, height: number): Box {
  const step = (width - GUTTER.towers) / layers
  const gap = Math.min(20, step / 6)
  return {
    x: Math.round(GUTTER.towers + layer * step),
    y: TOP.towers,
    width: Math.floor(step - gap),
    height: height - TOP.towers,
  }
}

function rowOf(layer: number, layers: number, width: number, height: number): Box {
  const step = (height - TOP.rows) / layers
  const gap = Math.min(12, step / 4)
  return {
    x: GUTTER.rows,
    y: TOP.rows + Math.round(layer * step),
    width: width - GUTTER.rows,
    height: Math.floor(step - gap),
  }
}

/** Space between heads and neurons. */
const SPLIT = 12
/** The part of a layer that its heads may take; in a row they take what its neurons leave too. */
const HEADS = { towers: 0.2, rows: 0.13 } as const

function topOf({ height, ...box }: Box): Box {
  return { ...box, height: Math.round(Math.min(HEADS.towers * height, 64)) }
}

/** The rest of a tower, right below its heads. */
function below({ y, height, ...box }: Box, { columns, pitch, cells }: Grid): Box {
  const taken = Math.ceil(cells.length / columns) * pitch + SPLIT
  return { ...box, y: y + taken, height: height - taken }
}

/** The neurons of a row end at its right edge, and the heads have the space before them. */
function besides({ x, width, ...box }: Box, layer: number, heads: number, neurons: number): [Grid, Grid] {
  const least = Math.round(HEADS.rows * width)
  const rest = { ...box, x: x + least + SPLIT, width: width - least - SPLIT }
  const grid = gridOf('neurons', layer, neurons, rest)
  const spare = Math.max(0, rest.width - grid.columns * grid.pitch)
  const before = gridOf('heads', layer, heads, { ...box, x, width: least + spare })
  return [before, { ...grid, x: grid.x + spare }]
}

/** The largest cells of whole pixels that hold all units in an area; slightly smaller ones where they make a full rectangle. */
function gridOf(kind: UnitKind, layer: number, units: number, area: Box): Grid {
  const columnsOf = (pitch: number): number => Math.max(1, Math.floor(area.width / pitch))
  const rowsOf = (pitch: number): number => Math.max(1, Math.floor(area.height / pitch))
  const hold = (pitch: number): number => columnsOf(pitch) * rowsOf(pitch)
  let largest = Math.min(
    MAX_PITCH[kind],
    area.width,
    area.height,
    Math.floor(Math.sqrt((area.width * area.height) / units)) + 1,
  )
  while (largest > MIN_PITCH && hold(largest) < units) largest--
  largest = Math.max(MIN_PITCH, largest)
  const shared = Math.ceil(units / hold(largest))
  const count = Math.ceil(units / shared)
  const cells = Array.from({ length: count }, (_, i) => ({
    start: i * shared,
    end: Math.min(units, (i + 1) * shared),
  }))
  const grid = { kind, layer, x: area.x, y: area.y, cells }
  for (let pitch = largest; pitch >= Math.max(MIN_PITCH, LEAST_PART[kind] * largest); pitch--)
    for (let columns = columnsOf(pitch); columns > 0.6 * columnsOf(pitch); columns--)
      if (count % columns === 0 && count / columns <= rowsOf(pitch)) return { ...grid, columns, pitch }
  return { ...grid, columns: columnsOf(largest), pitch: largest }
}

/** The box of a cell of a grid. */
export function boxOf({ x, y, columns, pitch }: Grid, cell: number): Box {
  const size = pitch - Math.max(1, Math.round(pitch / 8))
  return {
    x: x + (cell % columns) * pitch,
    y: y + Math.floor(cell / columns) * pitch,
    width: size,
    height: size,
  }
}

/** The cell of a grid at a point, or next to it within the grid; null outside. */
export function cellAt(
  { x, y, columns, pitch, cells }: Grid,
  point: { x: number; y: number },
): number | null {
  const column = Math.floor((point.x - x) / pitch)
  const row = Math.floor((point.y - y) / pitch)
  const cell = row * columns + column
  return column < 0 || column >= columns || row < 0 || cell >= cells.length ? null : cell
}

/** The cell that is nearest to a point, with the gap behind it, and less than so many pixels away; null if there is none. */
export function nearestCell(
  { grids }: NetworkLayout,
  { x, y }: { readonly x: number; readonly y: number },
  reach: number,
): { readonly grid: Grid; readonly cell: number } | null {
  let [found, least]: [{ grid: Grid; cell: number } | null, number] = [null, reach]
  const within = (value: number, last: number): number => Math.max(0, Math.min(last, Math.floor(value)))
  const beyond = (value: number, size: number): number => Math.max(-value, 0, value - size)
  for (const grid of grids) {
    const { columns, pitch, cells } = grid
    const last = Math.ceil(cells.length / columns) - 1
    const row = within((y - grid.y) / pitch, last)
    // The last row may end before the others.
    for (const at of new Set([row, Math.max(0, Math.min(row, last - 1))])) {
      const count = Math.min(columns, cells.length - at * columns)
      const column = within((x - grid.x) / pitch, count - 1)
      const away = Math.hypot(
        beyond(x - grid.x - column * pitch, pitch),
        beyond(y - grid.y - at * pitch, pitch),
      )
      if (away < least) [found, least] = [{ grid, cell: at * columns + column }, away]
    }
  }
  return found
}
