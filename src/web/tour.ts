/**
 * The guided tour: six steps beside the page, which stays usable. Arrow keys turn its pages, Escape ends it.
 */
import { pageDocument } from '../platform/platform.ts'
import { byId, make, showInSight } from './view/dom.ts'

/** A step: what it is about, its heading and its words. */
export interface TourStep {
  /** The id of the element that it is about. */
  readonly about: string
  readonly title: string
  readonly words: string
  /** Whether it stands above the tour, with what precedes it in view, and not at the top of the window. */
  readonly isBelow?: true
  /** The id of what is to be seen instead, where the element stays in view beside it. */
  readonly beside?: string
}

/** The steps. */
export const tourSteps: readonly TourStep[] = [
  {
    about: 'layers',
    title: 'This is the whole network',
    words:
      'Each tower (on a small screen, each row) is a layer: the discs are its attention heads, the small squares its neurons. Usually a model computes all of them for every word that it writes.',
  },
  {
    about: 'settings',
    title: 'The prompt is read once',
    words:
      'Layer 0 reads your prompt and is computed in full. From what its heads give out at the last token, the predictor (the diamond ◆) scores every head and neuron of the later layers, unless the settings let something else decide.',
  },
  {
    about: 'skip',
    beside: 'layers',
    title: 'Only the best are computed',
    words:
      'Drag the slider to skip more or fewer units. Blue units are computed; of the pale ones not even the weights are read, which saves time.',
  },
  {
    about: 'texts',
    title: 'Does it still write well?',
    words:
      'The model writes two texts with the same random numbers: one with units skipped, one in full. A line marks the first word that differs; from there on the texts drift apart, even after a small difference.',
  },
  {
    about: 'compare-place',
    isBelow: true,
    title: 'Was the choice right?',
    words:
      'Tick “Compare with the oracle”, which scores the units on the finished text. Orange units were kept, but not by the oracle; hollow ones (dashes, where squares are small) were skipped, but the oracle keeps them.',
  },
  {
    about: 'layers',
    title: 'What does one unit do?',
    words:
      'Choose any head or neuron to see its score and its rank. Switch it off to see how much the next word changes: often very little.',
  },
]

/** Wires the tour. @param onStart called when it begins */
export function startTour(onStart: () => void): void {
  const tour = new Tour()
  byId('tour-start').addEventListener('click', () => {
    onStart()
    tour.start()
  })
}

class Tour {
  readonly #box = byId('tour')
  readonly #count = make('p', { class: 'count' })
  readonly #title = make('h2', { id: 'tour-title', tabindex: '-1' })
  readonly #words = make('p', { id: 'tour-words' })
  readonly #back = make('button', { type: 'button', text: 'Back' })
  readonly #next = make('button', { type: 'button', class: 'primary', text: 'Next' })
  readonly #opener = byId('tour-start')
  #step = 0

  constructor() {
    const close = make('button', { type: 'button', class: 'quiet', text: 'End the tour' })
    const buttons = make('div', { class: 'actions' }, close, this.#back, this.#next)
    this.#box.replaceChildren(this.#count, this.#title, this.#words, buttons)
    close.addEventListener('click', () => this.#end())
    this.#back.addEventListener('click', () => this.#show(this.#step - 1))
    this.#next.addEventListener('click', () =>
      this.#step + 1 < tourSteps.length ? this.#show(this.#step + 1) : this.#end(),
    )
    pageDocument().addEventListener('keydown', ({ key }) => {
      if (key === 'Escape' && !this.#box.hidden) this.#end()
    })
    this.#box.addEventListener('keydown', ({ key }) => {
      if (key === 'ArrowRight' && this.#step + 1 < tourSteps.length) this.#show(this.#step + 1)
      if (key === 'ArrowLeft' && this.#step > 0) this.#show(this.#step - 1)
    })
  }

  start(): void {
    this.#show(0)
  }

  #show(step: number): void {
    this.#step = step
    const { title, words } = tourSteps[step]
    this.#mark(tourSteps[step])
    this.#count.textContent = `Step ${step + 1} of ${tourSteps.length}`
    this.#title.textContent = title
    this.#words.textContent = words
    this.#back.disabled = step === 0
    this.#next.textContent = step + 1 < tourSteps.length ? 'Next' : 'Done'
    this.#box.hidden = false
    // A screen reader reads the heading and then its description.
    this.#title.focus({ preventScroll: true })
  }

  /** Outlines the element of a step and brings it into view; null removes the outline. */
  #mark(step: TourStep | null): void {
    for (const old of pageDocument().querySelectorAll('.toured')) old.classList.remove('toured')
    if (step === null) return
    byId(step.about).classList.add('toured')
    showInSight(byId(step.beside ?? step.about), step.isBelow ? 'end' : 'start')
  }

  #end(): void {
    this.#box.hidden = true
    this.#mark(null)
    this.#opener.focus()
  }
}
