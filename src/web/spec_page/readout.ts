/**
 * What the pointer or the keyboard is at: the unit, its value, its rank, and where the value came from.
 */
import type { UnitKind } from '../../spec/program.ts'
import { pageDocument } from '../../platform/platform.ts'
import { brief, rankWords } from '../view/dom.ts'
import { bestFirst, sources } from './figures.ts'
import type { SomeSteps } from './method.ts'
import type { ScoreSource } from './settings.ts'

/** A cell of a map. */
interface Cell {
  readonly row: number
  readonly column: number
}

/** What is shown: the values, and which scores decide. */
interface Shown {
  readonly steps: SomeSteps
  readonly source: ScoreSource
}

/** Follows pointer and keys on the maps of the page. @param shown what is shown now */
export function startReadouts(shown: () => Shown): void {
  const page = pageDocument()
  const at = new WeakMap<Element, Cell>()
  const show = (map: SVGSVGElement, cell: Cell): void => {
    at.set(map, cell)
    const [key] = (map.dataset.map ?? '').split('.')
    const line = page.querySelector(`[data-readout="${key}"]`)
    const words = wordsOf(map.dataset.map ?? '', cell, shown())
    if (!line || words === null) return
    line.textContent = words
    mark(map, cell)
  }
  const point = ({ target, clientX, clientY }: PointerEvent): void => {
    const map = mapOf(target)
    if (map === null) return
    const { left, top, width, height } = map.getBoundingClientRect()
    const { width: columns, height: rows } = map.viewBox.baseVal
    show(map, {
      row: clamp(Math.floor(((clientY - top) / height) * rows), rows),
      column: clamp(Math.floor(((clientX - left) / width) * columns), columns),
    })
  }
  // A finger that taps does not move.
  for (const kind of ['pointermove', 'pointerdown'] as const) page.addEventListener(kind, point)
  page.addEventListener('keydown', (event) => {
    const map = mapOf(event.target)
    const move = moves[event.key]
    if (map === null || move === undefined) return
    event.preventDefault()
    const { row, column } = at.get(map) ?? { row: 0, column: 0 }
    const { width: columns, height: rows } = map.viewBox.baseVal
    show(map, { row: clamp(row + move[0], rows), column: clamp(column + move[1], columns) })
  })
}

/** Outlines a cell: a finger hides what it hits, and cells are narrower than a pointer. */
function mark(map: SVGSVGElement, { row, column }: Cell): void {
  const there = pageDocument().querySelector('.map .hit')
  const hit = there ?? pageDocument().createElementNS(map.namespaceURI, 'rect')
  for (const [name, value] of Object.entries({ class: 'hit', x: column, y: row, width: 1, height: 1 }))
    hit.setAttribute(name, String(value))
  map.append(hit)
}

const moves: Readonly<Record<string, readonly [number, number]>> = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
}

const clamp = (value: number, size: number): number => Math.min(size - 1, Math.max(0, value))

function mapOf(target: EventTarget | null): SVGSVGElement | null {
  return target instanceof Element ? target.closest<SVGSVGElement>('svg.map') : null
}

/** A cell in words; null where its values are not there. @param key as `predicted.neurons.sorted` */
function wordsOf(key: string, { row, column }: Cell, { steps, source }: Shown): string | null {
  const [name, kind, order] = key.split('.') as [string, UnitKind, string | undefined]
  const units = name === 'predicted' ? steps.predicted : name === 'plainact' ? steps.plainact : undefined
  if (units === undefined) return null
  const l = row + 1
  const scores = units[kind][l]
  const unit = order === 'sorted' ? bestFirst(scores)[column] : column
  const others = units[kind].slice(1)
  const countOf = (isCounted: (score: number) => boolean): number =>
    others.reduce((sum, own) => sum + own.filter(isCounted).length, 0)
  const rank = rankWords(
    countOf((score) => score > scores[unit]),
    countOf((score) => score === scores[unit]) - 1,
    scores.length * others.length,
  )
  const state = steps.mask && (steps.mask[kind][l][unit] === 1 ? 'kept' : 'skipped')
  const isRanked = source === (name === 'predicted' ? 'predicted' : 'oracle')
  const kept = state ? `; ${state}${isRanked ? '' : ` by the mask of ${sources[source]}`}` : ''
  const place = `layer ${l}, ${kind === 'heads' ? 'head' : 'neuron'} ${unit}`
  const neighbours = [unit - 1, unit + 1]
    .filter((other) => other in scores)
    .map((other) => `${other}: ${brief(scores[other])}`)
    .join(', ')
  const origin =
    name === 'predicted'
      ? `row ${(l - 1) * scores.length + unit} of W2 times the hidden numbers, plus b2`
      : `Σ over the tokens of |${kind === 'heads' ? 'Σ over its numbers of ' : ''}a g|`
  return `${place}: ${brief(scores[unit])}, ${rank}${kept}. It is ${origin}. Beside it ${neighbours}.`
}
