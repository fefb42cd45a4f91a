/**
 * The form: prompt, model settings and sparsity.
 */
import { criteria } from '../../criteria/index.ts'
import type { Scope } from '../../masks/budget.ts'
import type { Decision, StudyPlanner } from '../engine/study_types.ts'
import type { TraceSettings } from '../trace/trace.ts'
import { byId, fillSelect } from './dom.ts'

const planners: readonly (readonly [StudyPlanner, string])[] = [
  ['shadow', 'ShadowLLM’s predictor'],
  ['prompt-plainact', 'prompt: its own loss'],
  ['griffin', 'prompt: neurons it uses most'],
  ['coreinfer', 'prompt: neurons it uses often'],
  ['oracle', 'oracle: reads the text'],
  ['random', 'random'],
  ['dense', 'dense: skips nothing'],
]

const decisions: readonly (readonly [Decision, string])[] = [
  ['once', 'once, from the prompt'],
  ['always', 'again at every token'],
]

const scopes: readonly (readonly [Scope, string])[] = [
  ['global', 'the whole model'],
  ['per-layer', 'within each layer'],
  ['hybrid', 'the whole model, with floors'],
]

/** The events of the form. */
interface ControlEvents {
  /** A change that needs a new text. */
  write(): void
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
  readonly #sparsity = byId<HTMLInputElement>('sparsity')
  readonly #value = byId<HTMLOutputElement>('sparsity-value')
  readonly #write = byId<HTMLButtonElement>('write')
  readonly #stop = byId<HTMLButtonElement>('stop')

  constructor(events: ControlEvents) {
    fillSelect(this.#planner, planners)
    fillSelect(
      this.#criterion,
      criteria.map(({ name }) => name),
    )
    fillSelect(this.#scope, scopes)
    fillSelect(this.#decides, decisions)
    byId('settings').addEventListener('submit', (event) => {
      event.preventDefault()
      events.write()
    })
    this.#prompt.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.shiftKey) return
      event.preventDefault()
      events.write()
    })
    for (const select of [this.#planner, this.#criterion, this.#decides])
      select.addEventListener('change', () => events.write())
    this.#scope.addEventListener('change', () => events.select(true))
    this.#sparsity.addEventListener('input', () => {
      this.#showSparsity()
      events.select(false)
    })
    this.#sparsity.addEventListener('change', () => events.select(true))
    this.#stop.addEventListener('click', () => events.stop())
    this.#showSparsity()
  }

  get prompt(): string {
    return this.#prompt.value
  }

  get settings(): TraceSettings {
    return {
      planner: this.#planner.value as StudyPlanner,
      criterion: this.#criterion.value,
      scope: this.#scope.value as Scope,
      decides: this.#decides.value as Decision,
      sparsity: Number(this.#sparsity.value) / 100,
      seed: 0,
    }
  }

  /** Sets the form to the settings of a trace. */
  set settings({ planner, criterion, scope, decides, sparsity }: TraceSettings) {
    this.#planner.value = planner
    this.#criterion.value = criterion
    this.#scope.value = scope
    this.#decides.value = decides
    this.#sparsity.value = String(Math.round(100 * sparsity))
    this.#showSparsity()
  }

  /** Whether a text is being generated, and whether one could be. */
  show({ isWriting, canWrite }: { readonly isWriting: boolean; readonly canWrite: boolean }): void {
    this.#write.disabled = !canWrite
    this.#stop.disabled = !isWriting
  }

  #showSparsity(): void {
    this.#value.textContent = `${this.#sparsity.value} %`
  }
}
