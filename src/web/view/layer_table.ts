/**
 * One token as a table, for screen readers and for exact numbers.
 */
import { unitKinds } from '../../masks/mask.ts'
import { tallySpan, type Tally } from '../trace/bins.ts'
import type { CellMasks } from './cells.ts'
import { make } from './dom.ts'

const heading = ['Layer', 'heads kept', 'as the oracle', 'neurons kept', 'as the oracle']

/** The table of a column. */
export function layerTable({ mask, oracle, denseLayers }: CellMasks): HTMLTableElement {
  const { shape } = mask
  const row = (layer: number): HTMLElement => {
    const cells = unitKinds.flatMap((kind) => {
      const units = shape[kind]
      return words(tallySpan(mask, oracle, { kind, layer }, { start: 0, end: units }), units, oracle !== null)
    })
    const name = layer < denseLayers ? `${layer}, dense` : String(layer)
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
    make('tbody', {}, ...Array.from({ length: shape.layers }, (_, layer) => row(layer))),
  )
}

function words({ both, extra }: Tally, units: number, isCompared: boolean): string[] {
  const kept = both + extra
  return [`${kept} of ${units}`, isCompared ? `${both} of ${kept}` : '–']
}
