/**
 * A canvas as sharp as the screen, in the colours of the page, drawn again when its size or the colours change.
 */
import { onSchemeChange } from '../../platform/platform.ts'
import { perFrame } from './dom.ts'

const colourNames = [
  'paper',
  'ink',
  'soft',
  'rule',
  'accent',
  'both',
  'extra',
  'missed',
  'neither',
  'dense',
] as const
/** The colours of the page by name. */
export type Palette = Readonly<Record<(typeof colourNames)[number], string>>

/** What is drawn on: sizes are in pixels of the page. */
export interface Drawing {
  readonly context: CanvasRenderingContext2D
  readonly width: number
  readonly height: number
  readonly colours: Palette
}

/** A canvas that draws itself when told. */
export class Stage {
  readonly canvas: HTMLCanvasElement
  /** Draws again, soon. */
  readonly refresh: () => void
  #colours: Palette | null = null

  constructor(canvas: HTMLCanvasElement, draw: (drawing: Drawing) => void) {
    this.canvas = canvas
    this.refresh = perFrame(() => this.#draw(draw))
    new ResizeObserver(this.refresh).observe(canvas)
    onSchemeChange(() => {
      this.#colours = null
      this.refresh()
    })
  }

  /** Where on the canvas an event is. */
  pointOf({ clientX, clientY }: MouseEvent): { x: number; y: number } {
    const { left, top } = this.canvas.getBoundingClientRect()
    return { x: clientX - left, y: clientY - top }
  }

  get size(): { width: number; height: number } {
    const { clientWidth: width, clientHeight: height } = this.canvas
    return { width, height }
  }

  #draw(draw: (drawing: Drawing) => void): void {
    const { canvas } = this
    const { width, height } = this.size
    const scale = globalThis.devicePixelRatio || 1
    canvas.width = Math.round(width * scale)
    canvas.height = Math.round(height * scale)
    const context = canvas.getContext('2d')
    if (!context || width === 0) return
    context.scale(scale, scale)
    this.#colours ??= readColours(canvas)
    draw({ context, width, height, colours: this.#colours })
  }
}

function readColours(canvas: HTMLCanvasElement): Palette {
  const style = getComputedStyle(canvas)
  return Object.fromEntries(
    colourNames.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]),
  ) as Record<keyof Palette, string>
}
