/**
 * Figures that stand in README files, which may be shown on light or dark paper: each has the colours of both, and paper of
 * its own below them. Labels stand beside what they name, on a seam of paper that parts them from what lies below.
 */
import type { TopLevelSpec } from 'vega-lite'
import { drawSpec } from '../src/experiments/report/draw.ts'
import { markup, trusted } from '../src/experiments/report/markup.ts'
import { figureLooks, titleAbove } from '../src/experiments/report/plot_spec.ts'
import { darkFigures } from '../src/experiments/report/style.ts'
import type { Label, Placed } from './frontier/labels.ts'

/** Light paper. */
export const PAPER = '#ffffff'
const DARK_PAPER = '#0d1117'

/** What lies around the plot, and how far labels stay from the edge. */
const MARGIN = { left: 60, right: 50, top: 50, bottom: 70 }
const SEAM = 6

/** Where labels of a plot must end. @param width of the plot, in pixels */
export function edgeOf(width: number): number {
  return width + MARGIN.right - SEAM
}

/** What the colours of light paper become on dark paper. */
const darkRules = [
  ...['fill', 'stroke'].map((of) => `svg [${of}="${PAPER}"]{${of}:${DARK_PAPER}}`),
  ...darkFigures.split('\n').map((rule) => rule.trim()),
].join('')

/** A part of a Vega-Lite specification. */
export type Part = Readonly<Record<string, unknown>>

/** The data of a figure, and its layers. */
export interface FigureParts {
  readonly values: readonly object[]
  readonly layer: readonly Part[]
}

/** What a figure is of; the sizes are those of the plot inside its axes, in pixels. */
interface AboutFigure {
  readonly width: number
  readonly height: number
  readonly title: string
  /** What it shows, for those who do not see it. */
  readonly description: string
}

/** A figure, as an SVG file. */
export async function figureFile(
  { values, layer }: FigureParts,
  { width, height, title, description }: AboutFigure,
): Promise<string> {
  // Vega-Lite's type of a specification is a union of all of them, which tells nothing about this one.
  const chart = {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    width,
    height,
    padding: MARGIN,
    autosize: 'none',
    background: null,
    data: { values },
    layer,
    config: figureLooks({ label: 12, title: 13, labelPadding: 8, titlePadding: 12 }),
  } as unknown as TopLevelSpec
  const { content } = await drawSpec(chart)
  const [right, bottom] = [MARGIN.left + width + MARGIN.right, MARGIN.top + height + MARGIN.bottom]
  const svg = markup`<svg xmlns="http://www.w3.org/2000/svg" width="${right}" height="${bottom}" viewBox="0 0 ${right} ${bottom}" role="img" aria-labelledby="title" aria-describedby="text">
<title id="title">${title}</title>
<desc id="text">${description}</desc>
<style>@media (prefers-color-scheme:dark){${trusted(darkRules)}}</style>
<rect width="${right}" height="${bottom}" fill="${PAPER}"/>
${trusted(content)}
</svg>
`
  return svg.html
}

/** The title of the second axis. */
export const axisTitle: Part = titleAbove(14)

/** Powers of ten as people write them. */
export const powerLabels = `datum.value >= 0.001 ? format(datum.value, '~g') : '10⁻' + slice('⁰¹²³⁴⁵⁶⁷⁸⁹', -round(log(datum.value) / LN10), 1 - round(log(datum.value) / LN10))`

/** A label with its place and its colour. */
export type Text = Label & Placed & { readonly colour: string }

/** The layers of a label: large ones are bold. */
export function textLayers({ x, y, text, size, colour, align }: Text): Part[] {
  const fixed = {
    type: 'text',
    text,
    align,
    baseline: 'middle',
    fontSize: size,
    fontWeight: size > 12 ? 600 : 400,
    x,
    y,
  }
  const seam = { stroke: PAPER, strokeWidth: SEAM / 2, strokeJoin: 'round', color: PAPER }
  return [seam, { color: colour }].map((look) => ({ data: { values: [{}] }, mark: { ...fixed, ...look } }))
}
