/**
 * The two texts, token by token: the prompt is pale, and the first difference is marked in both. A click on a token selects its
 * column.
 */
import type { Trace } from '../trace/trace.ts'
import { make } from './dom.ts'

/** Shows the texts in two elements. */
export class TextsView {
  readonly #sparse: HTMLElement
  readonly #dense: HTMLElement
  #shown: Trace | null = null

  constructor(sparse: HTMLElement, dense: HTMLElement, choose: (column: number) => void) {
    this.#sparse = sparse
    this.#dense = dense
    for (const element of [sparse, dense])
      element.addEventListener('click', ({ target }) => {
        const column = (target as HTMLElement).dataset.column
        if (column !== undefined) choose(Number(column))
      })
  }

  /** Shows a trace; existing elements of tokens are kept. */
  show(trace: Trace | null, column: number): void {
    const goesOn = trace && this.#shown?.prompt === trace.prompt
    if (!goesOn)
      for (const element of [this.#sparse, this.#dense])
        element.replaceChildren(make('span', { class: 'given', text: trace?.pieces.join('') ?? '' }))
    this.#shown = trace
    if (!trace) return
    this.#extend(this.#sparse, trace, ({ text }) => text)
    this.#extend(this.#dense, trace, ({ dense }) => dense?.text ?? null)
    for (const element of [this.#sparse, this.#dense])
      for (const token of element.querySelectorAll<HTMLElement>('.token')) {
        const index = Number(token.dataset.column)
        token.classList.toggle('first', index === trace.divergence)
        token.classList.toggle('differs', trace.divergence !== null && index >= trace.divergence)
        token.classList.toggle('chosen', index === column)
      }
  }

  #extend(
    element: HTMLElement,
    { columns }: Trace,
    textOf: (column: Trace['columns'][number]) => string | null,
  ): void {
    const there = element.querySelectorAll('.token').length
    for (const [index, column] of columns.entries()) {
      const text = textOf(column)
      if (index >= there && text !== null)
        element.append(make('span', { class: 'token', 'data-column': String(index), text }))
    }
  }
}
