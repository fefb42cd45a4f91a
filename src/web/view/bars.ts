/**
 * The most likely next tokens as bars, without and with switched units.
 */
import type { NextToken } from '../engine/model_info.ts'
import { make, percent, visible } from './dom.ts'

/** The bars of some tokens; the second share of each is that with switches, if there are any. */
export function nextBars(tokens: readonly NextToken[]): HTMLTableElement {
  const largest = Math.max(...tokens.flatMap(({ shares }) => shares))
  const bar = (share: number, name: string): HTMLElement => {
    const element = make('span', { class: `bar ${name}` })
    element.style.width = `${(100 * share) / largest}%`
    return element
  }
  const rows = tokens.map(({ text, shares }) => {
    const after = shares.at(-1) as number
    const bars = shares.length > 1 ? [bar(shares[0], 'before'), bar(after, 'after')] : [bar(after, 'after')]
    return make(
      'tr',
      {},
      make('th', { scope: 'row', text: visible(text).replace(/^ /, '·') }),
      make('td', {}, ...bars),
      make('td', { text: percent(after, 1) }),
    )
  })
  const caption =
    tokens[0].shares.length > 1
      ? 'Next tokens: grey before switching, blue after'
      : 'Next tokens, by probability'
  return make('table', { class: 'bars' }, make('caption', { text: caption }), make('tbody', {}, ...rows))
}
