/**
 * A mask as a table for the terminal: per layer the heads that stay, one block each, and the neurons, a row of blocks
 * that are the darker the more of their share stays.
 */
import { achievedSparsity, type AchievedSparsity, type LayerSizes, type Sparsity } from '../masks/achieved.ts'
import { channelSites, maskedShare, type ChannelMask } from '../masks/channels.ts'
import type { UnitMask } from '../masks/mask.ts'
import { formatColumns, formatCount, formatPercent } from './words.ts'

/** Blocks of a row at most. */
const CELLS = 32
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
export function formatBlocks(units: Float32Array): string {
  const cells = Math.min(CELLS, units.length)
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

/** The table. @param sizes of a layer, by which weights are counted */
export function formatMask(mask: UnitMask, sizes: LayerSizes): string {
  const achieved = achievedSparsity(mask, sizes)
  if (mask.channels) return formatChannels(mask, mask.channels, achieved)
  const skipped = ({ heads, neurons, weights }: Sparsity): string[] =>
    [heads, neurons, weights].map(formatPercent)
  const rows = achieved.layers.map((layer, index) => {
    const heads = maskRow(mask, 'heads', index)
    const neurons = maskRow(mask, 'neurons', index)
    return [
      `${index}`,
      formatBlocks(heads),
      layer.heads === 0 ? 'all' : formatRuns(keptUnits(heads)) || 'none',
      formatBlocks(neurons),
      formatCount(keptUnits(neurons).length),
      ...skipped(layer),
    ]
  })
  const headings = ['layer', 'heads', 'kept', 'neurons', 'kept', 'heads -', 'neurons -', 'weights -']
  const total = ['all', '', '', '', '', ...skipped(achieved)]
  return formatColumns([headings, ...rows, total], [0, 4, 5, 6, 7])
}

/** The table of a mask of input channels: the shares that are masked of each site, and by the weights they meet. */
function formatChannels(
  { shape }: UnitMask,
  mask: ChannelMask,
  { layers, channels, weights }: AchievedSparsity,
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
  return formatColumns([headings, ...rows, total], [0, 1, 2, 3, 4, 5, 6])
}
