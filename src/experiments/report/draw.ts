/**
 * Specifications to SVG, with Vega, in any runtime: no browser, no canvas, no network.
 *
 * The same plot gives the same bytes everywhere: text is measured by Vega's estimate, never by a canvas that happens to
 * be installed, and coordinates are rounded to hundredths of a pixel.
 */
import type { TopLevelSpec } from 'vega-lite'
import type { Plot } from '../../results/experiment_result.ts'
import { passOn, withPackages } from '../../tensor/packages.ts'
import { GUARD, plotSpec, type FigureSize } from './plot_spec.ts'

/** A figure, without the element around it. */
export interface Drawing {
  readonly width: number
  readonly height: number
  /** The inside of an svg element; everything that came from outside is escaped. */
  readonly content: string
}

/** Draws a plot in a given size. */
export function drawPlot(plot: Plot, size: FigureSize): Promise<Drawing> {
  return drawSpec(plotSpec(plot, size))
}

/** Draws a specification. */
export async function drawSpec(chart: TopLevelSpec): Promise<Drawing> {
  // Vega takes a third of a second to load, so only a run that draws waits for it.
  const [vega, lite] = await withPackages('figures', 'vega vega-lite', () =>
    Promise.all([import('vega').catch(passOn), import('vega-lite').catch(passOn)]),
  )
  ;(vega as unknown as { textMetrics: { canvas(use: boolean): void } }).textMetrics.canvas(false)
  const { spec } = lite.compile(chart, { logger: vega.logger(vega.Error) as never })
  const view = new vega.View(vega.parse(spec), { renderer: 'none', logLevel: vega.Error })
  try {
    return unwrap(await view.toSVG())
  } finally {
    view.finalize()
  }
}

/** Takes the drawing out of its svg element, which the page makes itself, and leaves away what shows nothing. */
function unwrap(svg: string): Drawing {
  const found = /^<svg [^>]*viewBox="0 0 ([\d.]+) ([\d.]+)"[^>]*>(.*)<\/svg>$/s.exec(svg)
  if (found === null) throw new Error(`expected an svg element, got ${svg.slice(0, 60)}`)
  const [, width, height, inside] = found
  // In text < and > are escaped: whatever stands between them is a tag of Vega's.
  const content = inside
    .replaceAll(GUARD, '')
    .replace(/<path class="(?:back|fore)ground"[^>]*\/>/g, '')
    .replace(/<[^>]*>/g, (tag) =>
      tag
        .replace(/ (?:role|aria-[a-z]+|class|pointer-events|stroke-miterlimit)="[^"]*"/g, '')
        .replace(/-?\d+\.\d{3,}(?:e-?\d+)?/g, (number) => String(Math.round(Number(number) * 100) / 100)),
    )
  return { width: Math.ceil(Number(width)), height: Math.ceil(Number(height)), content }
}
