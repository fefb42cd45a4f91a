/**
 * One unit: its score, rank and cut-off, the oracle, a switch, and the most likely next tokens without and with switched units. For
 * a bin, the neuron is chosen from a list.
 */
import type { UnitKind } from '../../masks/mask.ts'
import type { NextToken } from '../engine/model_info.ts'
import type { UnitFacts } from '../trace/unit_facts.ts'
import { brief, fillSelect, make, percent, visible, type Choice } from './dom.ts'

/** The content of the inspector. */
export interface InspectorState {
  /** Such as "Head 3 of layer 5". */
  readonly title: string
  readonly kind: UnitKind
  /** The name of the planner, and the criterion of its scores. */
  readonly planner: string
  readonly criterion: string
  /** The neurons of a bin, by name; empty for a head. */
  readonly choices: readonly Choice[]
  readonly choice: string
  readonly facts: UnitFacts
  readonly oracle: UnitFacts | null
  /** Whether it is computed, and whether it is switched by hand. */
  readonly isOn: boolean
  readonly isSwitched: boolean
  /** How many units are switched by hand. */
  readonly switches: number
  /** The effect of the switch: on one unit, or on all kept units of a bin. */
  readonly switchLabel: string
  /** Which token the next tokens are for. */
  readonly nextOf: string
  /** Null without a model; empty until they are computed. */
  readonly next: readonly NextToken[] | null
}

/** The actions. */
interface InspectorActions {
  toggle(): void
  clear(): void
  choose(value: string): void
}

/** Fills an element with the state of a unit. Existing elements keep their focus. */
export class Inspector {
  readonly #root: HTMLElement
  readonly #title = make('h3')
  readonly #about = make('p', { class: 'soft about' })
  readonly #verdict = make('p', { class: 'verdict' })
  readonly #facts = make('dl')
  readonly #pick = make('select', { 'aria-label': 'Neuron' })
  readonly #toggle = make('button', { type: 'button', id: 'switch' })
  readonly #clear = make('button', { type: 'button', text: 'Undo all' })
  readonly #next = make('div')
  readonly #close = make('button', { type: 'button', class: 'quiet close', text: 'Close' })

  constructor(root: HTMLElement, actions: InspectorActions) {
    this.#root = root
    this.#pick.addEventListener('change', () => actions.choose(this.#pick.value))
    this.#toggle.addEventListener('click', () => actions.toggle())
    this.#clear.addEventListener('click', () => actions.clear())
    this.#close.addEventListener('click', () => this.#root.classList.remove('open'))
  }

  /** On a small screen, shows what was chosen as a sheet at its lower edge. */
  open(): void {
    this.#root.classList.add('open')
  }

  /** Shows a unit, or a hint how to choose one. */
  show(state: InspectorState | null): void {
    if (!state) {
      const text = 'Choose a head or a neuron of the picture to see its score and rank.'
      this.#root.replaceChildren(make('p', { class: 'soft', text }))
      return
    }
    this.#title.textContent = state.title
    this.#about.textContent = aboutKind[state.kind]
    this.#verdict.textContent = verdict(state)
    this.#facts.replaceChildren(
      ...factRows(state).flatMap(([term, value]) => [
        make('dt', { text: term }),
        make('dd', { text: value }),
      ]),
    )
    this.#fillPick(state)
    this.#toggle.textContent = state.switchLabel
    this.#clear.disabled = state.switches === 0
    this.#clear.textContent = state.switches > 1 ? `Undo all ${state.switches}` : 'Undo'
    if (state.next === null)
      this.#next.replaceChildren(
        make('p', { class: 'soft', text: 'Open the model of this trace to see its next tokens.' }),
      )
    else if (state.next.length > 0) this.#next.replaceChildren(nextBars(state.next, state.nextOf))
    else if (!this.#next.querySelector('table'))
      this.#next.replaceChildren(make('p', { class: 'soft', text: 'Computing …' }))
    if (this.#title.parentElement) return
    const actions = make('div', { class: 'actions' }, this.#toggle, this.#clear)
    this.#root.replaceChildren(
      this.#close,
      this.#title,
      this.#about,
      this.#verdict,
      this.#facts,
      actions,
      this.#pick,
      this.#next,
    )
  }

  #fillPick({ choices, choice }: InspectorState): void {
    // Its space stays reserved, so that nothing moves.
    this.#pick.classList.toggle('idle', choices.length === 0)
    fillSelect(this.#pick, choices)
    this.#pick.value = choice
  }
}

const aboutKind: Readonly<Record<UnitKind, string>> = {
  heads: 'A head looks back at the earlier words.',
  neurons: 'A neuron watches for one pattern.',
}

function verdict({ facts, oracle, isOn, isSwitched }: InspectorState): string {
  if (isSwitched) return isOn ? 'Switched on by hand.' : 'Switched off by hand.'
  if (!facts.ranked) return 'Its layer is dense.'
  if (!oracle) return facts.kept ? 'Kept.' : 'Skipped.'
  if (oracle.ranked?.score === 0) return `${facts.kept ? 'Kept' : 'Skipped'}; its oracle score is 0.`
  if (facts.kept) return oracle.kept ? 'Kept, as by the oracle.' : 'Kept, but not by the oracle.'
  return oracle.kept ? 'Skipped, but kept by the oracle.' : 'Skipped, as by the oracle.'
}

function factRows({ planner, criterion, facts, oracle }: InspectorState): [string, string][] {
  const rows: [string, string][] = [['Decided by', planner]]
  if (!facts.ranked) return rows
  const { score, rank, of, cutOff, byFloor } = facts.ranked
  rows.push(
    ['Criterion', criterion],
    ['Score', brief(score)],
    ['Rank', `${rank.toLocaleString('en')} of ${of.toLocaleString('en')}`],
  )
  const cut = cutOff === null ? 'none' : brief(cutOff)
  rows.push(['Cut-off', byFloor ? `${cut}; kept although below, as a layer keeps its best` : cut])
  if (oracle?.ranked)
    rows.push(
      ['Oracle score', brief(oracle.ranked.score)],
      ['Oracle rank', oracle.ranked.rank.toLocaleString('en')],
    )
  return rows
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
        text: shares.length > 1 ? `${percent(after, 1)} (${changeOf(shares[0], after)})` : percent(after, 1),
      }),
    )
  })
  const caption =
    tokens[0].shares.length > 1 ? `${of}: grey before switching, blue after` : `${of}, by probability`
  return make('table', { class: 'bars' }, make('caption', { text: caption }), make('tbody', {}, ...rows))
}

/** A change of a share, in points. */
function changeOf(before: number, after: number): string {
  const points = (100 * (after - before)).toFixed(1)
  return points.startsWith('-') ? points.replace('-', '−') : `+${points}`
}
