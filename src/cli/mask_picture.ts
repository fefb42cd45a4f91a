/**
 * A mask as a table for the terminal: per layer the heads that stay, one block each, and the neurons, a row of blocks
 * that are the darker the more of their share stays.
 */
import { achievedSparsity, type AchievedSparsity, type LayerSizes, type Sparsity } from '../masks/achieved.ts'
import { channelSites, maskedShare, type ChannelMask } from '../masks/channels.ts'
import type { UnitMask } from '../masks/mask.ts'
import { GAP, wrapLines } from '../results/fold.ts'
import { dim, type Screen, type Text } from './screen.ts'
import { formatColumns, formatCount, formatPercent, countOf } from './words.ts'

/** Blocks of a row at most. */
const CELLS = 32
/** Fewer, for narrow terminals. */
const FEWER_CELLS = [24, 16, 8]
const shades = ['·', '░', '▒', '▓', '█']

/** Numbers in ascending order, runs shortened: 0-3 7 9-10. */
export function formatRuns(numbers: readonly number[]): string {
  const runs: string[] = []
  for (let i = 0; i < numbers.length; i++) {
    const start = i
    while (numbers[i + 1] === numbers[i] + 1) i++
    runs.push(start === i ? `${numbers[i]}` : `${numbers[start]}-${numbers[i]}`)
  }
  return runs.join(' ')
}

/** Units as blocks in their order, several to a block where there are more units than blocks. */
export function formatBlocks(units: Float32Array, most: number = CELLS): string {
  const cells = Math.min(most, units.length)
  let row = ''
  for (let cell = 0; cell < cells; cell++) {
    const part = units.subarray(
      Math.floor((cell * units.length) / cells),
      Math.floor(((cell + 1) * units.length) / cells),
    )
    const kept = part.reduce((sum, value) => sum + value, 0) / part.length
    // Empty and full blocks are wholly so.
    row += kept === 0 ? shades[0] : kept === 1 ? shades[4] : shades[1 + Math.min(2, Math.floor(kept * 3))]
  }
  return row
}

/** The units of a table's row that stay. */
export function keptUnits(row: Float32Array): number[] {
  return [...row.keys()].filter((unit) => row[unit] !== 0)
}

/** One layer's row of a mask of either kind. */
export function maskRow(mask: UnitMask, kind: 'heads' | 'neurons', layer: number): Float32Array {
  const units = mask.shape[kind]
  return mask[kind].subarray(layer * units, (layer + 1) * units)
}

/** How a picture is drawn. */
interface Drawing {
  /** Blocks of a row at most. */
  readonly cells: number
  /** Whether the heads that stay are listed too; blocks of one head each say the same. */
  readonly listsHeads: boolean
}

/**
 * The table and its legend: as much as fits into a line, at least eight blocks.
 * @param sizes of a layer, by which weights are counted
 */
export function formatMask(mask: UnitMask, sizes: LayerSizes, { columns }: Screen): Text {
  if (mask.channels) return formatChannels(mask, mask.channels, achievedSparsity(mask, sizes), columns)
  const { heads, neurons } = mask.shape
  const drawings: Drawing[] = [
    { cells: CELLS, listsHeads: true },
    ...[CELLS, ...FEWER_CELLS].map((cells) => ({ cells, listsHeads: heads > cells })),
  ]
  const fits = (drawing: Drawing): boolean => widthOf(pictureRows(mask, sizes, drawing)) <= columns
  const drawing = drawings.find(fits) ?? drawings[drawings.length - 1]
  const rows = pictureRows(mask, sizes, drawing)
  const right = drawing.listsHeads ? [0, 4, 5, 6, 7] : [0, 3, 4, 5, 6]
  const table = formatColumns(rows, right, { columns })
  const unit = (units: number, name: string): string => {
    const each = units / Math.min(drawing.cells, units)
    return each === 1
      ? `a ${name}`
      : `${Number.isInteger(each) ? '' : 'about '}${countOf(Math.round(each), name)}`
  }
  const [none, ...kept] = shades
  const all = kept.pop()
  const legend = `A block is ${unit(heads, 'head')} or ${unit(neurons, 'neuron')}: ${all} all kept, ${kept.toReversed().join(' ')} in part, ${none} none. Columns with - are shares skipped.`
  return [`${table}\n`, dim(wrapLines(legend, columns))]
}

function widthOf(rows: readonly (readonly string[])[]): number {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)))
  return widths.reduce((total, width) => total + width + GAP, -GAP)
}

/** Headings, a row for each layer, and the whole model. */
function pictureRows(mask: UnitMask, sizes: LayerSizes, { cells, listsHeads }: Drawing): string[][] {
  const achieved = achievedSparsity(mask, sizes)
  const skipped = ({ heads, neurons, weights }: Sparsity): string[] =>
    [heads, neurons, weights].map(formatPercent)
  const list = (text: string): string[] => (listsHeads ? [text] : [])
  const rows = achieved.layers.map((layer, index) => {
    const heads = maskRow(mask, 'heads', index)
    const neurons = maskRow(mask, 'neurons', index)
    return [
      `${index}`,
      formatBlocks(heads, cells),
      ...list(layer.heads === 0 ? 'all' : formatRuns(keptUnits(heads)) || 'none'),
      formatBlocks(neurons, cells),
      formatCount(keptUnits(neurons).length),
      ...skipped(layer),
    ]
  })
  const headings = ['layer', 'heads', ...list('kept'), 'neurons', 'kept', 'heads -', 'neurons -', 'weights -']
  return [headings, ...rows, ['all', '', ...list(''), '', '', ...skipped(achieved)]]
}

/** The table of a mask of input channels: the shares that are masked of each site, and by the weights they meet. */
function formatChannels(
  { shape }: UnitMask,
  mask: ChannelMask,
  { layers, channels, weights }: AchievedSparsity,
  columns: number,
): string {
  const row = (name: string, first: number, count: number, all: Sparsity): string[] => [
    name,
    ...channelSites.map((site) => formatPercent(maskedShare(mask, site, shape.layers, first, count))),
    formatPercent(all.channels ?? 0),
    formatPercent(all.weights),
  ]
  const rows = layers.map((layer, index) => row(`${index}`, index, 1, layer))
  const headings = ['layer', ...channelSites.map((site) => `${site} -`), 'channels -', 'weights -']
  const total = row('all', 0, shape.layers, { heads: 0, neurons: 0, channels, weights })
  return formatColumns([headings, ...rows, total], [0, 1, 2, 3, 4, 5, 6], { columns }).trimEnd()
}
