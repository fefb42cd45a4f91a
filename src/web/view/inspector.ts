/**
 * One unit: a switch and the most likely next tokens without and with switched units; its score, rank and cut-off, and those of the
 * oracle. Any unit can be chosen by its number, however small its square is in the picture.
 */
import { unitKinds, type UnitKind, type UnitShape } from '../../masks/mask.ts'
import type { NextToken } from '../engine/model_info.ts'
import { refusalOf } from '../page_state.ts'
import type { Unit, UnitFacts } from '../trace/unit_facts.ts'
import { brief, fillSelect, make, rankRange, visible } from './dom.ts'
import { undoWords } from './overview.ts'

/** The content of the inspector. */
export interface InspectorState {
  /** Such as "Head 3 of layer 5". */
  readonly title: string
  /** What such a unit does; of a bin, how many of its units are kept. */
  readonly about: string
  /** The unit, or the one that stands for its bin. */
  readonly unit: Unit
  readonly shape: UnitShape
  /** The name of the planner, and the criterion of its scores. */
  readonly planner: string
  readonly criterion: string
  readonly facts: UnitFacts
  readonly oracle: UnitFacts | null
  /** Whether it is computed, and whether it is switched by hand. */
  readonly isOn: boolean
  readonly isSwitched: boolean
  /** How many units are switched by hand. */
  readonly switches: number
  /** Whether it can be switched: not in the layers that run before a mask is decided. */
  readonly canSwitch: boolean
  /** The effect of the switch: on one unit, or on all kept units of a bin. */
  readonly switchLabel: string
  /** Which token the next tokens are for. */
  readonly nextOf: string
  /** Null without a model; empty until they are computed. */
  readonly next: readonly NextToken[] | null
}

/** What a switch changes. */
const REACH =
  'A switch stays at any sparsity and for any prompt until you undo it. It changes the next word below at once, and the text with units skipped when you generate.'
const NO_SWITCH =
  'This layer runs before units are chosen: all of it is computed, and no switch of it changes a text.'

/** The actions. */
interface InspectorActions {
  toggle(): void
  clear(): void
  choose(unit: Unit): void
}

/** Fills an element with the state of a unit. Existing elements keep their focus. */
export class Inspector {
  readonly #root: HTMLElement
  readonly #title = make('h3')
  readonly #about = make('p', { class: 'soft about' })
  readonly #verdict = make('p', { class: 'verdict' })
  readonly #facts = make('dl')
  readonly #row = make('select', { 'aria-label': 'Layer, and heads or neurons' })
  readonly #number = make('input', { inputmode: 'numeric', 'aria-label': 'Number of the unit' })
  readonly #before = make('button', { type: 'button', text: '‹', 'aria-label': 'The unit before' })
  readonly #after = make('button', { type: 'button', text: '›', 'aria-label': 'The unit after' })
  readonly #toggle = make('button', { type: 'button', id: 'switch' })
  readonly #clear = make('button', { type: 'button', text: 'Undo all' })
  readonly #reach = make('p', { class: 'soft reach' })
  readonly #next = make('div', { class: 'next' })
  readonly #close = make('button', { type: 'button', class: 'quiet close', text: 'Close' })
  #state: InspectorState | null = null
  /** Why the number that was typed is none of a unit. */
  #refusal: string | null = null

  constructor(root: HTMLElement, actions: InspectorActions) {
    this.#root = root
    const step = (by: number): void => {
      if (!this.#state) return
      const { unit } = this.#state
      actions.choose({ ...unit, index: unit.index + by })
    }
    this.#row.addEventListener('change', () => {
      if (!this.#state) return
      const { unit, shape } = this.#state
      const [kind, layer] = this.#row.value.split(' ') as [UnitKind, string]
      actions.choose({ kind, layer: Number(layer), index: Math.min(unit.index, shape[kind] - 1) })
    })
    this.#number.addEventListener('change', () => {
      if (!this.#state) return
      const { unit, shape } = this.#state
      const { value } = this.#number
      this.#refusal = refusalOf(unit.kind === 'heads' ? 'head' : 'neuron', value, shape[unit.kind] - 1)
      if (this.#refusal === null) actions.choose({ ...unit, index: Number(value) })
      this.#showVerdict(this.#state)
    })
    this.#before.addEventListener('click', () => step(-1))
    this.#after.addEventListener('click', () => step(1))
    this.#toggle.addEventListener('click', () => actions.toggle())
    this.#clear.addEventListener('click', () => actions.clear())
    this.#close.addEventListener('click', () => this.close())
  }

  /** On a small screen, shows what was chosen as a sheet at its lower edge. */
  open(): void {
    this.#root.classList.add('open')
  }

  /** Closes that sheet. */
  close(): void {
    this.#root.classList.remove('open')
  }

  /** Where the sheet begins in the window; null if there is none. */
  get sheetTop(): number | null {
    const isSheet = getComputedStyle(this.#root).position === 'fixed'
    return isSheet ? this.#root.getBoundingClientRect().top : null
  }

  /** Shows a unit, or a hint how to choose one. */
  show(state: InspectorState | null): void {
    const last = this.#state
    this.#state = state
    if (!state) {
      const text = 'Choose a head or a neuron of the picture to see its score and rank.'
      this.#root.replaceChildren(make('p', { class: 'soft', text }))
      return
    }
    this.#title.textContent = state.title
    this.#about.textContent = state.about
    this.#facts.replaceChildren(
      ...factRows(state).flatMap(([term, value]) => [
        make('dt', { text: term }),
        make('dd', { text: value }),
      ]),
    )
    this.#showPlace(state, last)
    this.#showVerdict(state)
    this.#toggle.textContent = state.switchLabel
    this.#toggle.hidden = !state.canSwitch
    this.#reach.textContent = state.canSwitch ? REACH : NO_SWITCH
    this.#clear.disabled = state.switches === 0
    this.#clear.textContent = undoWords(state.switches)
    this.#next.classList.toggle('stale', state.next?.length === 0)
    if (state.next === null)
      this.#next.replaceChildren(
        make('p', { class: 'soft', text: 'Open the model of this trace to see its next tokens.' }),
      )
    else if (state.next.length > 0) this.#next.replaceChildren(nextBars(state.next, state.nextOf))
    // Numbers of another word keep their heading, and are grey until the new ones are there.
    else if (!this.#next.querySelector('table'))
      this.#next.replaceChildren(make('p', { class: 'soft', text: 'Computing …' }))
    if (this.#title.parentElement) return
    const actions = make('div', { class: 'actions' }, this.#toggle, this.#clear)
    this.#root.replaceChildren(
      this.#close,
      this.#title,
      this.#about,
      make('div', { class: 'place' }, this.#row, this.#number, this.#before, this.#after),
      this.#verdict,
      actions,
      this.#reach,
      this.#next,
      this.#facts,
    )
  }

  /** What the planner decided of the unit; where a number was typed that is none, what is wrong with it. */
  #showVerdict(state: InspectorState): void {
    this.#verdict.textContent = this.#refusal ?? verdict(state)
    this.#verdict.classList.toggle('problem-words', this.#refusal !== null)
    this.#number.setAttribute('aria-invalid', String(this.#refusal !== null))
  }

  /** A number that is being typed stays. */
  #showPlace({ unit, shape }: InspectorState, last: InspectorState | null): void {
    const { kind, layer, index } = unit
    if (
      last === null ||
      unitKinds.some((one) => shape[one] !== last.shape[one]) ||
      shape.layers !== last.shape.layers
    )
      fillSelect(
        this.#row,
        Array.from({ length: shape.layers }, (_, i) =>
          unitKinds.map((one) => [`${one} ${i}`, `Layer ${i}, ${one}`] as const),
        ).flat(),
      )
    if (last?.unit.kind === kind && last.unit.layer === layer && last.unit.index === index) return
    this.#refusal = null
    this.#row.value = `${kind} ${layer}`
    this.#number.value = String(index)
    this.#before.disabled = index === 0
    this.#after.disabled = index === shape[kind] - 1
  }
}

function verdict({ facts, oracle, isOn, isSwitched }: InspectorState): string {
  if (isSwitched) return isOn ? 'Switched on by hand.' : 'Switched off by hand.'
  if (!facts.ranked) return 'Its layer is dense.'
  const { score, ties } = facts.ranked
  if (facts.kept && score === 0)
    return `Kept to fill the budget: its score 0 is tied with ${ties.toLocaleString('en')}.`
  if (!oracle) return facts.kept ? 'Kept.' : 'Skipped.'
  if (oracle.ranked?.score === 0) return `${facts.kept ? 'Kept' : 'Skipped'}; its oracle score is 0.`
  if (facts.kept) return oracle.kept ? 'Kept, as by the oracle.' : 'Kept, but not by the oracle.'
  return oracle.kept ? 'Skipped, but kept by the oracle.' : 'Skipped, as by the oracle.'
}

function factRows({ planner, criterion, facts, oracle }: InspectorState): [string, string][] {
  const rows: [string, string][] = [['Decided by', planner]]
  if (!facts.ranked) return rows
  rows.push(['Criterion', criterion], ...rankRows(facts, ['Score', 'Rank', 'Cut-off']))
  if (oracle?.ranked) rows.push(...rankRows(oracle, ['Oracle’s score', 'Oracle’s rank', 'Oracle’s cut-off']))
  return rows
}

function rankRows({ kept, ranked }: UnitFacts, names: readonly [string, string, string]): [string, string][] {
  if (!ranked) return []
  const { score, above, ties, of, cutOff, byFloor, keptBelow } = ranked
  const cut = cutOff === null ? 'none' : brief(cutOff)
  const why = byFloor
    ? '; kept although below, as a layer keeps its best'
    : !kept && keptBelow > 0
      ? `; ${keptBelow} of lower rank ${keptBelow === 1 ? 'is' : 'are'} kept, as each layer keeps its best`
      : ''
  const values = [brief(score), rankRange(above, ties, of), `${cut}${why}`]
  return names.map((name, i) => [name, values[i]])
}

/** The bars of some tokens; the second share of each is that with switches, if there are any. */
function nextBars(tokens: readonly NextToken[], of: string): HTMLTableElement {
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
      make('td', {
        text: shares.length > 1 ? `${inPercent(after)} (${changeOf(shares[0], after)})` : inPercent(after),
      }),
    )
  })
  const caption =
    tokens[0].shares.length > 1 ? `${of}: grey before switching, blue after` : `${of}, by probability`
  return make('table', { class: 'bars' }, make('caption', { text: caption }), make('tbody', {}, ...rows))
}

/** A share in percent, in digits that say something of a small one too. */
function inPercent(share: number): string {
  return `${digits(100 * share)} %`
}

/** A change of a share, in points; small ones with one digit. */
function changeOf(before: number, after: number): string {
  const points = 100 * (after - before)
  return points === 0 ? '±0' : `${points < 0 ? '−' : '+'}${digits(Math.abs(points))}`
}

/** A number from 0 on: one place, or one digit of a small one. */
function digits(value: number): string {
  if (value === 0) return '0'
  if (value >= 0.1) return value.toFixed(1)
  return value >= 1e-3 ? value.toPrecision(1) : value.toExponential(0).replace('-', '−')
}
