/**
 * Elements: lookup by id, and creation. Text is always set as textContent.
 */
import { avoidsMotion, pageDocument } from '../../platform/platform.ts'

/** The element with an id. @throws Error if the page has none */
export function byId<Kind extends HTMLElement>(id: string): Kind {
  const found = pageDocument().getElementById(id)
  if (found) return found as Kind
  throw new Error(`page: expected an element with the id ${id}, got none`)
}

/** Scrolls as little as brings an element into sight; the focus stays. */
export function showInSight(element: Element, block: ScrollLogicalPosition = 'nearest'): void {
  element.scrollIntoView({ block, behavior: avoidsMotion() ? 'auto' : 'smooth' })
}

/** Shows an error in one line above the slider, which it pushes down; an empty line clears it. */
export function tellProblem(line: string): void {
  byId('problem').textContent = line
  const place = byId('problem-place')
  place.hidden = line === ''
  // The slider stays in view below it.
  pageDocument().documentElement.style.setProperty('--told', `${place.getBoundingClientRect().height}px`)
}

/** A new element with classes, attributes and content. */
export function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  { text, ...attributes }: Readonly<Record<string, string>> = {},
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  const element = pageDocument().createElement(tag)
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  if (text !== undefined) element.textContent = text
  element.append(...children)
  return element
}

/** An option of a select element: its value and its label, or one text that is both. */
export type Choice = string | readonly [value: string, label: string]

/** Fills a select element; the first option is selected. */
export function fillSelect(select: HTMLSelectElement, choices: readonly Choice[]): void {
  const pairs = choices.map((choice) => (typeof choice === 'string' ? [choice, choice] : choice))
  select.replaceChildren(...pairs.map(([value, text]) => make('option', { value, text })))
}

/** A count and what is counted: `1 token`, `2 tokens`. */
export function counted(count: number, name: string): string {
  return `${count} ${name}${count === 1 ? '' : 's'}`
}

/** A share as a percentage. */
export function percent(share: number, digits = 0): string {
  return `${(100 * share).toFixed(digits)} %`
}

/** The text of a token, never empty; line breaks are visible. */
export function visible(text: string): string {
  return text.replaceAll('\n', '↵') || '∅'
}

/** A number with its significant digits. */
export function brief(value: number): string {
  if (value === 0) return '0'
  return Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5 ? value.toExponential(2) : value.toPrecision(3)
}

/**
 * The rank of a unit, or the ranks that it shares with all of its score: the order among these is that of the index, and is not told.
 * @param above how many units have a higher score
 * @param ties how many others have the same
 */
export function rankRange(above: number, ties: number, all: number): string {
  const [first, last, total] = [above + 1, above + 1 + ties, all].map((n) => n.toLocaleString('en'))
  return `${first}${ties === 0 ? '' : ` to ${last}`} of ${total}`
}

/** The same in words. */
export function rankWords(above: number, ties: number, all: number): string {
  const tied = ties === 0 ? '' : `, tied with ${ties.toLocaleString('en')}`
  return `rank ${rankRange(above, ties, all)}${tied}`
}

/** Runs at most once per frame. */
export function perFrame(work: () => void): () => void {
  let waits = false
  return () => {
    if (waits) return
    waits = true
    requestAnimationFrame(() => {
      waits = false
      work()
    })
  }
}
