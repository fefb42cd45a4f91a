/**
 * How series of a figure are told apart: by colour, by mark and by dash, so that two of the three may fail the reader.
 *
 * The colours are those of Okabe and Ito (2008), made for all kinds of colour vision, without the yellow, which white
 * paper swallows. Well-known planners have the same looks in every figure of a report.
 */

/** The looks of one series. */
interface SeriesStyle {
  /** On light paper; this is what figures are drawn with. */
  readonly colour: string
  /** On dark paper; the page's style puts it in the place of `colour`. */
  readonly darkColour: string
  /** An SVG path around the origin, from -1 to 1. */
  readonly mark: string
  /** Lengths of strokes and gaps. */
  readonly dash: readonly number[]
}

/** Every colour that series have, on light paper and on dark. */
export const seriesColours = [
  ['#0072b2', '#4aa8e8'], // blue
  ['#d55e00', '#f58a3c'], // vermilion
  ['#009e73', '#35c79b'], // bluish green
  ['#cc79a7', '#e39cc3'], // reddish purple
  ['#e69f00', '#e8b13a'], // orange
  ['#56b4e9', '#9ad4fb'], // sky blue
  ['#7d8790', '#98a3ad'], // grey
  ['#1d2329', '#eceff1'], // black
] as const satisfies (readonly [light: string, dark: string])[]

const marks = [
  'M0,-1A1,1,0,1,1,0,1A1,1,0,1,1,0,-1Z', // circle
  'M-.9,-.9H.9V.9H-.9Z', // square
  'M0,-1.1L1.1,.85H-1.1Z', // triangle
  'M0,-1.25L1.25,0L0,1.25L-1.25,0Z', // diamond
  'M0,1.1L1.1,-.85H-1.1Z', // triangle on its tip
  'M-.4,-1.1H.4V-.4H1.1V.4H.4V1.1H-.4V.4H-1.1V-.4H-.4Z', // plus
  'M-1.1,-.6L-.6,-1.1L0,-.5L.6,-1.1L1.1,-.6L.5,0L1.1,.6L.6,1.1L0,.5L-.6,1.1L-1.1,.6L-.5,0Z', // cross
  'M-1.2,-.4H1.2V.4H-1.2Z', // bar
] as const

const dashes = [
  [1, 0],
  [7, 3],
  [2, 2],
  [9, 3, 2, 3],
  [5, 2],
  [3, 4],
  [1, 3],
  [12, 3],
] as const

/** The place of planners in the lists above. */
const places: Readonly<Record<string, number>> = {
  shadow: 0,
  'dejavu-style': 1,
  oracle: 2,
  static: 3,
  'prompt-plainact': 4,
  dejavu: 5,
  random: 6,
  dense: 7,
}

function styleAt(place: number): SeriesStyle {
  const round = Math.floor(place / seriesColours.length)
  const [colour, darkColour] = seriesColours[place % seriesColours.length]
  const other = (place + round) % marks.length
  return { colour, darkColour, mark: marks[other], dash: dashes[other] }
}

/**
 * Looks for the series of one figure, in their order. Up to eight differ in colour, mark and dash each; up to 64 in
 * the pair of colour and mark.
 */
export function seriesStyles(names: readonly string[]): SeriesStyle[] {
  const taken = new Set(names.flatMap((name) => (Object.hasOwn(places, name) ? [places[name]] : [])))
  let next = 0
  return names.map((name) => {
    if (Object.hasOwn(places, name)) return styleAt(places[name])
    while (taken.has(next)) next++
    return styleAt(next++)
  })
}
