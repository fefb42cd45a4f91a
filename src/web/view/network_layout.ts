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
export const GUTTER = { towers: 58, rows: 26 } as const
/** Space for the line of the stream above the towers, and for names above the rows. */
export const TOP = { towers: 30, rows: 20 } as const
/** Below this width the layers are rows. */
const TOWERS_FROM = 560
/** The smallest side of a cell that is still seen. */
const MIN_PITCH = 3
/** Few units are not drawn larger than this. */
const MAX_PITCH = { heads: 30, neurons: 24 } as const

/** Lays a model out in a size in pixels. */
export function layOut({ layers, heads, neurons }: UnitShape, width: number, height: number): NetworkLayout {
  const isTowers = width >= TOWERS_FROM
  const boxes = Array.from({ length: layers }, (_, layer) =>
    isTowers ? towerOf(layer, layers, width, height) : rowOf(layer, layers, width, height),
  )
  const grids = boxes.flatMap((box, layer) => {
    const before = gridOf('heads', layer, heads, isTowers ? topOf(box) : leftOf(box))
    const rest = isTowers ? below(box, before) : rightOf(box)
    return [before, gridOf('neurons', layer, neurons, rest)]
  })
  return { isTowers, layers: boxes, grids }
}

function towerOf(layer: number, layers: number, width: number, height: number): Box {
  const step = (width - GUTTER.towers) / layers
  const gap = Math.min(20, step / 4)
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
/** The part of a layer that its heads may take. */
const HEADS = 0.2

function topOf({ height, ...box }: Box): Box {
  return { ...box, height: Math.round(Math.min(HEADS * height, 64)) }
}

/** The rest of a tower, right below its heads. */
function below({ y, height, ...box }: Box, { columns, pitch, cells }: Grid): Box {
  const taken = Math.ceil(cells.length / columns) * pitch + SPLIT
  return { ...box, y: y + taken, height: height - taken }
}

function leftOf({ width, ...box }: Box): Box {
  return { ...box, width: Math.round(HEADS * width) }
}

/** The rest of a row; it begins at the same place in every layer. */
function rightOf({ x, width, ...box }: Box): Box {
  const taken = Math.round(HEADS * width) + SPLIT
  return { ...box, x: x + taken, width: width - taken }
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
  for (let pitch = largest; pitch >= Math.max(MIN_PITCH, 0.7 * largest); pitch--)
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
