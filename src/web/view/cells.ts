/**
 * One cell of a map: a head or a bin of neurons, coloured by what keeps its units.
 *
 * Kept units are filled, others are hollow or pale, so that the map does not depend on colours alone.
 */
import type { UnitMask } from '../../masks/mask.ts'
import { tallySpan, type Span, type Tally } from '../trace/bins.ts'
import type { Unit } from '../trace/unit_facts.ts'
import type { Palette } from './stage.ts'

/** A head, or a bin of neurons, of one layer. */
export interface Cell {
  readonly kind: Unit['kind']
  readonly layer: number
  readonly span: Span
}

/** Whether two cells are of the same units. */
export function sameCell(a: Cell | null, b: Cell | null): boolean {
  if (!a || !b) return a === b
  return (
    a.kind === b.kind && a.layer === b.layer && a.span.start === b.span.start && a.span.end === b.span.end
  )
}

/** Whether a cell contains the first unit of another. */
export function contains(cell: Cell, other: Cell | null): boolean {
  if (!other || cell.kind !== other.kind || cell.layer !== other.layer) return false
  return other.span.start >= cell.span.start && other.span.start < cell.span.end
}

/** A rectangle in pixels. */
export interface Box {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

/** The masks of a column. */
export interface CellMasks {
  readonly mask: UnitMask
  readonly oracle: UnitMask | null
  /** The number of dense layers. */
  readonly denseLayers: number
}

const parts = ['both', 'extra', 'missed'] as const

/** Draws a cell of a few pixels: in the colour of its largest part, paler for a smaller part. */
export function drawDot(
  context: CanvasRenderingContext2D,
  given: CellMasks,
  cell: Cell,
  box: Box,
  colours: Palette,
): void {
  if (drawGround(context, given, cell, box, colours)) return
  const tally = tallySpan(given.mask, given.oracle, cell, cell.span)
  const part = parts.reduce((most, one) => (tally[one] > tally[most] ? one : most))
  if (tally[part] === 0) return
  const share = tally[part] / (cell.span.end - cell.span.start)
  const alpha = context.globalAlpha
  if (cell.kind === 'neurons') context.globalAlpha = alpha * (0.15 + 0.85 * share)
  drawPart(context, part, box, colours)
  context.globalAlpha = alpha
}

/** Draws a head as a disc, hollow where only the oracle keeps it. */
export function drawDisc(
  context: CanvasRenderingContext2D,
  given: CellMasks,
  cell: Cell,
  box: Box,
  colours: Palette,
): void {
  const tally = tallySpan(given.mask, given.oracle, cell, cell.span)
  const part = parts.find((one) => tally[one] > 0) ?? 'neither'
  const isMissed = part === 'missed'
  const radius = box.width / 2 - (isMissed ? 1 : 0)
  context.fillStyle =
    cell.layer < given.denseLayers ? colours.dense : isMissed ? colours.neither : colours[part]
  context.beginPath()
  context.arc(box.x + box.width / 2, box.y + box.height / 2, radius, 0, 2 * Math.PI)
  context.fill()
  if (!isMissed) return
  context.strokeStyle = colours.missed
  context.lineWidth = 2
  context.stroke()
}

/** Draws the background of a cell; true if nothing is drawn on it. */
function drawGround(
  context: CanvasRenderingContext2D,
  { denseLayers }: CellMasks,
  { layer }: Cell,
  { x, y, width, height }: Box,
  colours: Palette,
): boolean {
  const isDense = layer < denseLayers
  context.fillStyle = isDense ? colours.dense : colours.neither
  context.fillRect(x, y, width, height)
  return isDense
}

function drawPart(
  context: CanvasRenderingContext2D,
  part: Exclude<keyof Tally, 'neither'>,
  { x, y, width, height }: Box,
  colours: Palette,
): void {
  if (part !== 'missed') {
    context.fillStyle = colours[part]
    context.fillRect(x, y, width, height)
    return
  }
  context.fillStyle = context.strokeStyle = colours.missed
  // Too small for a hollow shape: a line through it.
  const isThin = Math.min(width, height) < 3.5
  if (isThin) return context.fillRect(x, y + height / 3, width, height / 3)
  context.lineWidth = 1.5
  context.strokeRect(x + 0.75, y + 0.75, width - 1.5, height - 1.5)
}

/** Arms of the mark of a switched unit, at least, in pixels: it stands out of the smallest squares. */
const LEAST_ARM = 3

/** Marks a unit that is switched by hand, with a cross where it is off and a plus where it is on. */
export function drawSwitch(
  context: CanvasRenderingContext2D,
  { x, y, width, height }: Box,
  on: boolean,
  { paper, ink }: Palette,
): void {
  const arm = Math.max(LEAST_ARM, 0.3 * Math.min(width, height))
  const [centreX, centreY] = [x + width / 2, y + height / 2]
  context.beginPath()
  for (const [dx, dy] of on
    ? [
        [arm, 0],
        [0, arm],
      ]
    : [
        [arm, arm],
        [arm, -arm],
      ]) {
    context.moveTo(centreX - dx, centreY - dy)
    context.lineTo(centreX + dx, centreY + dy)
  }
  for (const [colour, lineWidth] of [
    [paper, 4],
    [ink, 1.75],
  ] as const) {
    context.strokeStyle = colour
    context.lineWidth = lineWidth
    context.stroke()
  }
}

/** Marks a cell as the chosen one. */
export function outline(
  context: CanvasRenderingContext2D,
  { x, y, width, height }: Box,
  colour: string,
): void {
  context.strokeStyle = colour
  context.lineWidth = 2
  context.strokeRect(x - 1.5, y - 1.5, width + 3, height + 3)
}
