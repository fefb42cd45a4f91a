/**
 * A canvas at the resolution of the screen, in the colours of the page; it is redrawn when its size or the colours change.
 */
import { onSchemeChange } from '../../platform/platform.ts'
import { recordOf } from '../../tensor/records.ts'
import { perFrame } from './dom.ts'

const colourNames = ['paper', 'ink', 'soft', 'both', 'extra', 'missed', 'neither', 'dense'] as const
/** The colours of the page by name. */
export type Palette = Readonly<Record<(typeof colourNames)[number], string>>

/** The drawing context and its size, in CSS pixels. */
export interface Drawing {
  readonly context: CanvasRenderingContext2D
  readonly width: number
  readonly height: number
  readonly colours: Palette
}

/** A canvas with a draw function. */
export class Stage {
  readonly canvas: HTMLCanvasElement
  /** Redraws in the next frame. */
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

  /** The position of an event on the canvas. */
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
  return recordOf(colourNames, (name) => style.getPropertyValue(`--${name}`).trim())
}
