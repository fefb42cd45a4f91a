/**
 * The form: the prompt, examples, the settings and the sparsity.
 */
import { criteria } from '../../criteria/index.ts'
import { scopes, type Scope } from '../../masks/budget.ts'
import { decisions, neuronStudyPlanners, type Decision, type StudyPlanner } from '../engine/study_types.ts'
import { criterionPlanners, encodeState, pagePlanners, refusalOf, type PageState } from '../page_state.ts'
import { presets } from '../presets.ts'
import type { TraceSettings } from '../trace/trace.ts'
import { byId, fillSelect, make, showInSight } from './dom.ts'
import { emptyPrompt } from './glossary.ts'
import { plannerNames } from './planner_words.ts'

const decisionWords: Readonly<Record<Decision, string>> = {
  once: 'once, from the prompt',
  always: 'again at every token',
}

const scopeWords: Readonly<Record<Scope, string>> = {
  global: 'global: all layers compete',
  'per-layer': 'per-layer: each on its own',
  hybrid: 'hybrid: global, with floors',
}

/** The events of the form. */
interface ControlEvents {
  /** A change that needs a new text. */
  write(): void
  /** An example was chosen: what was done to the text before does not belong to it. */
  chooseExample(): void
  /** Another prompt, for which nothing is generated yet. */
  type(): void
  /** A change that needs only new masks; `isFinal` when a slider is released. */
  select(isFinal: boolean): void
  stop(): void
}

/** The form. */
export class Controls {
  readonly #prompt = byId<HTMLTextAreaElement>('prompt')
  readonly #planner = byId<HTMLSelectElement>('planner')
  readonly #criterion = byId<HTMLSelectElement>('criterion')
  readonly #scope = byId<HTMLSelectElement>('scope')
  readonly #decides = byId<HTMLSelectElement>('decides')
  readonly #temperature = byId<HTMLInputElement>('temperature')
  readonly #seed = byId<HTMLInputElement>('text-seed')
  readonly #sparsity = byId<HTMLInputElement>('sparsity')
  readonly #value = byId<HTMLOutputElement>('sparsity-value')
  readonly #write = byId<HTMLButtonElement>('write')
  readonly #again = byId<HTMLButtonElement>('again')
  readonly #stop = byId<HTMLButtonElement>('stop')
  readonly #presets: readonly HTMLButtonElement[]
  readonly #yours = make('button', {
    type: 'button',
    text: 'Yours',
    title: 'The prompt that you typed, with its settings',
  })
  /** What was typed, with its settings, while an example is shown in its place. */
  #typed: PageState | null = null

  constructor(events: ControlEvents) {
    const choices = <Name extends string>(names: readonly Name[], words: Readonly<Record<Name, string>>) =>
      names.map((name) => [name, words[name]] as const)
    this.#prompt.placeholder = emptyPrompt
    fillSelect(this.#planner, choices(pagePlanners, plannerNames))
    fillSelect(
      this.#criterion,
      criteria.map(({ name }) => name),
    )
    fillSelect(this.#scope, choices(scopes, scopeWords))
    fillSelect(this.#decides, choices(decisions, decisionWords))
    // What is asked for is seen, also in a low window.
    const write = (): void => {
      events.write()
      showInSight(byId('texts'))
    }
    byId('settings').addEventListener('submit', (event) => {
      event.preventDefault()
      write()
    })
    this.#prompt.addEventListener('input', () => events.type())
    this.#prompt.addEventListener('keydown', (event) => {
      // Enter that ends a composition (of Chinese or Japanese, say) belongs to it.
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
      event.preventDefault()
      write()
    })
    for (const field of [this.#planner, this.#criterion, this.#decides, this.#temperature, this.#seed])
      field.addEventListener('change', write)
    this.#scope.addEventListener('change', () => events.select(true))
    this.#sparsity.addEventListener('input', () => {
      this.#showSparsity()
      events.select(false)
    })
    this.#sparsity.addEventListener('change', () => events.select(true))
    this.#stop.addEventListener('click', () => events.stop())
    this.#again.addEventListener('click', () => {
      this.#seed.value = String((this.state.seed + 1) % 2 ** 32 || 1)
      write()
    })
    const choose = (state: PageState): void => {
      this.#keepTyped()
      this.state = state
      events.chooseExample()
      write()
    }
    this.#presets = presets.map(({ name, state }) => {
      const button = make('button', { type: 'button', text: name })
      button.addEventListener('click', () => choose(state))
      return button
    })
    this.#yours.addEventListener('click', () => this.#typed && choose(this.#typed))
    byId('presets').replaceChildren(...this.#presets, this.#yours)
  }

  /** Keeps a prompt that was typed, as an example is about to take its place. */
  #keepTyped(): void {
    const { state } = this
    if (state.prompt !== '' && presets.every(({ state: { prompt } }) => prompt !== state.prompt))
      this.#typed = state
  }

  /** The prompt and the settings. A number that is none is NaN; whoever uses it refuses it. */
  get state(): PageState {
    const planner = this.#planner.value as StudyPlanner
    return {
      prompt: this.#prompt.value,
      planner,
      criterion: this.#criterion.value,
      scope: this.#scope.value as Scope,
      decides: neuronStudyPlanners.includes(planner) ? 'once' : (this.#decides.value as Decision),
      sparsity: Number(this.#sparsity.value) / 100,
      temperature: numberOf(this.#temperature),
      seed: numberOf(this.#seed),
    }
  }

  set state(state: PageState) {
    this.#prompt.value = state.prompt
    this.settings = state
  }

  /** The settings alone, as a trace has them. */
  get settings(): TraceSettings {
    const { prompt: _, ...settings } = this.state
    return settings
  }

  set settings({ planner, criterion, scope, decides, sparsity, temperature, seed }: TraceSettings) {
    this.#planner.value = planner
    this.#criterion.value = criterion
    this.#scope.value = scope
    this.#decides.value = decides
    this.#sparsity.value = String(Math.round(100 * sparsity))
    this.#temperature.value = String(temperature)
    this.#seed.value = String(seed)
    this.#showSparsity()
  }

  /** Whether the numbers of the settings fit. One that does not is marked and told beside its field, and the settings open. */
  check(): boolean {
    const fields = [
      ['temperature', this.#temperature],
      ['seed', this.#seed],
    ] as const
    const told = fields.flatMap(([name, field]) => {
      const refusal = refusalOf(name, field.value)
      field.setAttribute('aria-invalid', String(refusal !== null))
      return refusal ?? []
    })
    const problem = byId('settings-problem')
    problem.textContent = told.join('; ')
    const wrong = fields.find(([name, { value }]) => refusalOf(name, value) !== null)
    if (!wrong) return true
    const panel = byId('more')
    if (!panel.matches(':popover-open')) {
      panel.showPopover()
      wrong[1].focus()
    }
    showInSight(problem)
    return false
  }

  /** Whether a text is being generated, and whether one could be. */
  show({ isWriting, canWrite }: { readonly isWriting: boolean; readonly canWrite: boolean }): void {
    this.#write.disabled = this.#again.disabled = !canWrite
    this.#stop.disabled = !isWriting
    const { planner, criterion } = this.state
    const isDense = planner === 'dense'
    for (const field of [this.#criterion, this.#sparsity]) field.disabled = isDense
    // They decide from the whole prompt, which later words do not change, and within each layer.
    const isOnce = neuronStudyPlanners.includes(planner)
    this.#scope.disabled = isDense || isOnce
    if (isOnce) this.#decides.value = 'once'
    this.#decides.disabled = isDense || isOnce
    byId('decides-help').textContent = isDense
      ? 'Nobody decides.'
      : isOnce
        ? 'This one decides once, from the whole prompt, within each layer.'
        : 'Deciding again takes a pass over the whole text.'
    const isOfOracle = !criterionPlanners.includes(planner)
    byId('criterion-words').textContent = isOfOracle ? 'Criterion of the oracle' : 'Criterion'
    const help = criteria.find(({ name }) => name === criterion)?.help ?? ''
    byId('criterion-help').textContent = isDense
      ? 'Nobody decides, so these settings and the sparsity change nothing.'
      : isOfOracle
        ? `It changes only the comparison with the oracle. ${help}`
        : help
    // An address leaves out a prompt that is too long for it.
    const { prompt } = this.state
    const encoded = encodeState(this.state)
    const isShown = (one: PageState): boolean => one.prompt === prompt && encodeState(one) === encoded
    const shown = presets.findIndex(({ state }) => isShown(state))
    byId('example').textContent =
      presets[shown]?.words ?? 'Your own prompt or settings: compare the two texts.'
    const typed = this.#typed
    this.#yours.disabled = !canWrite
    this.#yours.hidden = typed === null
    this.#yours.setAttribute('aria-pressed', String(typed !== null && isShown(typed)))
    for (const [i, button] of this.#presets.entries()) {
      button.disabled = !canWrite
      button.setAttribute('aria-pressed', String(i === shown))
    }
  }

  #showSparsity(): void {
    this.#value.textContent = `${this.#sparsity.value} %`
  }
}

function numberOf({ value }: HTMLInputElement): number {
  return value.trim() === '' ? NaN : Number(value)
}
