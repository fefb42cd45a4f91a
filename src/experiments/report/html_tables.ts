/**
 * Tables of the page: headings belong to columns and to rows, numbers lean to the right, and a table wider than the page
 * scrolls by itself.
 */
import type { Column, LayerSparsity, Plot, Row } from '../../results/experiment_result.ts'
import { cell, figure, groupStarts, isNumeric, NOTHING } from '../../results/cells.ts'
import { place } from './figure_words.ts'
import { markup, type Markup } from './markup.ts'

/** Rows under a caption; the first column names the row where it holds words. */
export function htmlTable(
  columns: readonly Column[],
  rows: readonly Row[],
  caption: string,
  source: string | null,
): Markup {
  const numeric = columns.map((column) => isNumeric(column, rows))
  const heads = columns.map(
    ({ label, unit }, i) =>
      markup`<th scope="col"${numeric[i] ? NUMBER : null}>${label}${unit === undefined ? null : markup` <small>${unit}</small>`}</th>`,
  )
  const starts = groupStarts(columns, rows)
  const body = rows.map((row, r) => {
    const cells = columns.map((column, i) => {
      const text = cell(row, column)
      if (i === 0) return markup`<th scope="row"${numeric[i] ? NUMBER : null}>${text}</th>`
      return markup`<td${numeric[i] ? NUMBER : null}>${text === NOTHING ? nothing : text}</td>`
    })
    return markup`<tr${starts[r] ? GROUP : null}>${cells}</tr>
`
  })
  return scrolling(
    caption,
    markup`<table>
<caption>${caption}${source === null ? null : markup`<small>${source}</small>`}</caption>
<thead><tr>${heads}</tr></thead>
<tbody>
${body}</tbody>
</table>`,
  )
}

const NUMBER: Markup = markup` class="number"`
const GROUP: Markup = markup` class="group"`
const nothing: Markup = markup`<span class="none">${NOTHING}</span>`

/** A region that scrolls must be reachable by the keyboard, and then it needs a name. */
function scrolling(name: string, table: Markup): Markup {
  return markup`<div class="table" role="region" tabindex="0" aria-label="${name}">${table}</div>
`
}

/** The points of a figure: places down, series across. */
export function pointsTable(plot: Plot): Markup {
  const places = [...new Set(plot.series.flatMap(({ points }) => points.map(place)))]
  const columns: Column[] = [
    { key: 'x', label: plot.x.label },
    ...plot.series.map(({ name }, i) => ({ key: `series ${i}`, label: name })),
  ]
  const rows = places.map((x): Row => {
    const values = plot.series.map(({ points }, i) => {
      const point = points.find((one) => place(one) === x)
      if (point === undefined) return [`series ${i}`, null]
      const { y, error } = point
      return [`series ${i}`, error === undefined ? y : `${figure(y)} ± ${figure(error)}`]
    })
    return Object.fromEntries([['x', x], ...values])
  })
  return htmlTable(columns, rows, plot.y.label, null)
}

/** What one method skips: a column per layer, in percent, the darker the more. */
export function layerTable({ name, heads, neurons }: LayerSparsity): Markup {
  const numbers = heads.map((_, layer) => markup`<th scope="col">${layer}</th>`)
  const kinds: readonly (readonly [string, readonly number[]])[] = [
    ['heads', heads],
    ['neurons', neurons],
  ]
  const body = kinds.map(([kind, shares]) => {
    const cells = shares.map(
      (share) => markup`<td class="share-${shade(share)}">${figure(100 * share, 0)}</td>`,
    )
    return markup`<tr><th scope="row">${kind}</th>${cells}</tr>
`
  })
  return scrolling(
    `${name}: units skipped, layer by layer`,
    markup`<table class="shares">
<caption>${name}<small>% skipped</small></caption>
<thead><tr><th scope="col">layer</th>${numbers}</tr></thead>
<tbody>
${body}</tbody>
</table>`,
  )
}

function shade(share: number): number {
  return Number.isFinite(share) ? Math.min(10, Math.max(0, Math.round(10 * share))) : 0
}
