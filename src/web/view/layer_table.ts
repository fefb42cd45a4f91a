/**
 * One token as a table, for screen readers and for exact numbers.
 */
import type { Tally } from '../trace/bins.ts'
import { tallySpan } from '../trace/bins.ts'
import type { CellMasks } from './cells.ts'
import { make } from './dom.ts'

const heading = ['Layer', 'heads kept', 'as the oracle', 'neurons kept', 'as the oracle']

/** The table of a column. */
export function layerTable({ mask, truth, denseLayers }: CellMasks): HTMLTableElement {
  const { layers, heads, neurons } = mask.shape
  const row = (layer: number): HTMLElement => {
    const cells = (['heads', 'neurons'] as const).flatMap((kind) => {
      const units = kind === 'heads' ? heads : neurons
      return words(tallySpan(mask, truth, { kind, layer }, { start: 0, end: units }), units, truth !== null)
    })
    const name = layer < denseLayers ? `${layer}, runs whole` : String(layer)
    return make(
      'tr',
      {},
      make('th', { scope: 'row', text: name }),
      ...cells.map((text) => make('td', { text })),
    )
  }
  return make(
    'table',
    {},
    make('thead', {}, make('tr', {}, ...heading.map((text) => make('th', { scope: 'col', text })))),
    make('tbody', {}, ...Array.from({ length: layers }, (_, layer) => row(layer))),
  )
}

function words({ both, extra }: Tally, units: number, isCompared: boolean): string[] {
  const kept = both + extra
  return [`${kept} of ${units}`, isCompared ? `${both} of ${kept}` : '–']
}
