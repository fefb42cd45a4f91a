/**
 * One token: a row for each layer, with its heads on the left and its neurons in finer bins on the right, filled from below. Arrow
 * keys move between cells; Enter switches the units of a cell.
 */
import { binsOf } from '../trace/bins.ts'
import type { Masks, Trace } from '../trace/trace.ts'
import type { UnitMask } from '../../masks/mask.ts'
import { contains, drawCell, outline, type Box, type Cell } from './cells.ts'
import { Stage, type Drawing } from './stage.ts'

/** The state that is shown. */
interface LayersState {
  readonly trace: Trace
  readonly masks: Masks
  /** The mask of the token, with switches. */
  readonly mask: UnitMask
  readonly cell: Cell | null
}

const GUTTER = 34
const GAP = 5

/** The view. */
export class LayersView {
  readonly #stage: Stage
  readonly #choose: (cell: Cell) => void
  readonly #toggle: () => void
  #state: LayersState | null = null

  /** @param toggle called for the chosen cell on Enter */
  constructor(canvas: HTMLCanvasElement, choose: (cell: Cell) => void, toggle: () => void) {
    this.#choose = (cell) => {
      // Key events may be faster than frames.
      if (this.#state) this.#state = { ...this.#state, cell }
      choose(cell)
    }
    this.#toggle = toggle
    this.#stage = new Stage(canvas, (drawing) => this.#draw(drawing))
    canvas.addEventListener('pointerdown', (event) => this.#point(event))
    canvas.addEventListener('keydown', (event) => this.#key(event))
  }

  /** Shows a state; null is empty. @param words the description of the chosen cell for screen readers */
  show(state: LayersState | null, words: string): void {
    this.#state = state
    this.#stage.canvas.setAttribute('aria-label', `Units of this token. ${words}`)
    this.#stage.refresh()
  }

  /** Rows of cells with their boxes. */
  #rows({ model }: Trace, width: number, height: number): { cell: Cell; box: Box }[][] {
    const { layers, heads, neurons } = model.shape
    const rest = width - GUTTER
    const row = (height - (layers - 1) * GAP) / layers
    const headWidth = Math.min(row + 2, (0.4 * rest) / heads)
    const headsEnd = GUTTER + heads * headWidth + 8
    const bins = binsOf(neurons, Math.max(8, Math.min(64, Math.floor((width - headsEnd) / 7))))
    const binWidth = (width - headsEnd - 2) / bins.length
    return Array.from({ length: layers }, (_, layer) => {
      const y = layer * (row + GAP) + 1
      const box = (x: number, size: number): Box => ({
        x,
        y,
        width: Math.max(1, size - Math.min(2, size / 5)),
        height: row - 2,
      })
      return [
        ...Array.from({ length: heads }, (_, head) => ({
          cell: { kind: 'heads', layer, span: { start: head, end: head + 1 } } as const,
          box: box(GUTTER + head * headWidth, headWidth),
        })),
        ...bins.map((span, b) => ({
          cell: { kind: 'neurons', layer, span } as const,
          box: box(headsEnd + b * binWidth, binWidth),
        })),
      ]
    })
  }

  #draw({ context, width, height, colours }: Drawing): void {
    context.clearRect(0, 0, width, height)
    if (!this.#state) return
    const { trace, masks, mask, cell: chosen } = this.#state
    const given = { mask, oracle: masks.needed(trace), denseLayers: trace.denseLayers }
    context.font = '11px system-ui, sans-serif'
    context.textBaseline = 'middle'
    const rows = this.#rows(trace, width, height)
    for (const [layer, row] of rows.entries()) {
      context.fillStyle = colours.soft
      context.fillText(`L${layer}`, 0, row[0].box.y + row[0].box.height / 2)
      for (const { cell, box } of row) drawCell(context, given, cell, box, colours)
    }
    const at = chosen && find(rows, chosen)
    if (at) outline(context, rows[at.row][at.column].box, colours.ink)
  }

  #point(event: PointerEvent): void {
    if (!this.#state) return
    const { trace } = this.#state
    const { width, height } = this.#stage.size
    const { x, y } = this.#stage.pointOf(event)
    const row = this.#rows(trace, width, height).findLast(([{ box }]) => y >= box.y)
    const hit = row?.findLast(({ box }) => x >= box.x) ?? row?.[0]
    if (hit) this.#choose(hit.cell)
  }

  #key(event: KeyboardEvent): void {
    if (!this.#state) return
    const { trace, cell } = this.#state
    const { width, height } = this.#stage.size
    const rows = this.#rows(trace, width, height)
    const { row, column } = (cell && find(rows, cell)) ?? { row: 0, column: 0 }
    const moves: Readonly<Record<string, readonly [number, number]>> = {
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
    }
    const move = moves[event.key]
    const isSwitch = event.key === 'Enter' || event.key === ' '
    if (!move && !isSwitch) return
    event.preventDefault()
    if (isSwitch) return this.#toggle()
    const next = rows[Math.max(0, Math.min(rows.length - 1, row + move[0]))]
    this.#choose(next[Math.max(0, Math.min(next.length - 1, column + move[1]))].cell)
  }
}

/** The position of a cell, or of the cell with its first unit. */
function find(rows: { cell: Cell }[][], wanted: Cell): { row: number; column: number } | null {
  const row = rows[wanted.layer] ?? []
  const column = row.findIndex(({ cell }) => contains(cell, wanted))
  return column < 0 ? null : { row: wanted.layer, column }
}
