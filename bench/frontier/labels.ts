/**
 * Places for labels beside marks, so that speeds that are measured anew need nobody to move them.
 *
 * One label after the other takes the side on which it covers least of the marks, of the lines and of the labels before it. A
 * tie goes to the first of the sides.
 */

/** A point of the plot, in pixels from its upper left corner. */
export interface Point {
  readonly x: number
  readonly y: number
}

/** A label to be placed beside a point. */
export interface Label extends Point {
  readonly text: string
  /** Of its letters, in pixels. */
  readonly size: number
}

/** Where a label stands: the point that its text is aligned to, in the middle of its height. */
export interface Placed extends Point {
  readonly align: 'left' | 'center' | 'right'
}

interface Box {
  readonly left: number
  readonly right: number
  readonly top: number
  readonly bottom: number
}

/** Sides by the directions in which they lie. */
const sides = [
  [1, 0],
  [-1, 0],
  [0, -1],
  [0, 1],
  [1, -1],
  [-1, -1],
  [1, 1],
  [-1, 1],
] as const

/** The mean width of a letter, of its size. */
const LETTER = 0.56
/** Pixels between the middle of a mark and its label, and half the size of a mark. */
const [GAP, MARK] = [9, 6]
/** Pixels between the points of a line that labels avoid. */
const STEP = 4

/** @param lines their corners, from end to end @param right where the paper ends */
export function placeLabels(
  labels: readonly Label[],
  marks: readonly Point[],
  lines: readonly (readonly Point[])[],
  right: number,
): Placed[] {
  const taken = [
    ...marks.map((one) => around(one, MARK)),
    ...lines.flatMap(pointsOf).map((one) => around(one, 1)),
  ]
  return labels.map((label) => {
    const candidates = sides.map((side) => placeAt(label, side))
    const costs = candidates.map(({ box }) =>
      taken.reduce((sum, one) => sum + overlap(one, box), outside(box, right)),
    )
    const { place, box } = candidates[costs.indexOf(Math.min(...costs))]
    taken.push(box)
    return place
  })
}

function placeAt({ x, y, text, size }: Label, [across, down]: readonly [number, number]) {
  const width = LETTER * size * text.length
  const at = { x: x + across * GAP, y: y + down * (across === 0 ? GAP + size / 2 : GAP) }
  const left = at.x - ((1 - across) / 2) * width
  const box = { left, right: left + width, top: at.y - size / 2, bottom: at.y + size / 2 }
  const align = across === 0 ? 'center' : across === 1 ? 'left' : 'right'
  return { place: { ...at, align } as const, box }
}

function around({ x, y }: Point, distance: number): Box {
  return { left: x - distance, right: x + distance, top: y - distance, bottom: y + distance }
}

function pointsOf(corners: readonly Point[]): Point[] {
  return corners.slice(1).flatMap((to, i) => {
    const from = corners[i]
    const steps = Math.ceil(Math.hypot(to.x - from.x, to.y - from.y) / STEP)
    return Array.from({ length: steps }, (_, k) => ({
      x: from.x + ((to.x - from.x) * k) / steps,
      y: from.y + ((to.y - from.y) * k) / steps,
    }))
  })
}

/** The area that two boxes share. */
function overlap(a: Box, b: Box): number {
  const width = Math.min(a.right, b.right) - Math.max(a.left, b.left)
  const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)
  return width > 0 && height > 0 ? width * height : 0
}

/** The area of a box beyond the plot, counted many times: what is cut off cannot be read. */
function outside({ left, right: end, top, bottom }: Box, right: number): number {
  return 100 * (bottom - top) * (Math.max(0, -left) + Math.max(0, end - right))
}
