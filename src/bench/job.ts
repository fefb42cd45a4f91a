/**
 * One row of a bench in the making: a method on a model under a test, run turn by turn.
 */
import type { BackendName } from '../backends/backend.ts'
import type { TopK } from '../masks/selection.ts'
import type { Storage } from '../engine/storages/index.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import { Random } from '../tensor/random.ts'
import { Decoding, decodeTurn, promptTurn, type Plan, type Turn } from '../evaluation/decode.ts'
import { methodName, type BenchName } from './methods.ts'
import type { BenchSubject } from './subject.ts'
import { USUAL_PROMPT, type BenchTest } from './tests.ts'

/** How many threads may compute. */
export type Threads = number | 'auto'

/** The work of a job. */
export interface JobParts {
  readonly subject: BenchSubject
  readonly storage: Storage
  /** How many may compute. */
  readonly threads: Threads
  readonly method: BenchName
  readonly test: BenchTest
  /** Bytes of the method's predictor; 0 for none. */
  readonly predictorBytes: number
  readonly model: LanguageModel
  /** How the model is run by the method, units chosen by what is given here, or as the method does. */
  readonly makePlan: (topK?: TopK) => Plan
  readonly seed: number
}

/** The measurements of one row. */
export interface Measured extends Omit<JobParts, 'model' | 'makePlan' | 'seed'> {
  readonly backend: BackendName
  /** How many threads there were by the last turn. */
  readonly threadsUsed: number
  /** After how many tokens its planner was asked again; the mean where it waited for a shift. */
  readonly every: 'once' | number
  /** One for each round that was finished. */
  readonly turns: readonly Turn[]
}

/** Tokens generated before the clock runs: what compiles kernels while they run has done so then. */
const WARM_UP = 4

/** A row that has turns. Dispose it before its model. */
export class Job {
  readonly parts: JobParts
  readonly turns: Turn[] = []
  readonly #plan: Plan
  readonly #prompt: Int32Array
  #threadsUsed = 1
  #kept: Decoding | null = null

  constructor(parts: JobParts) {
    const { test, model, makePlan, seed } = parts
    this.parts = parts
    this.#plan = makePlan()
    const length = test.kind === 'prompt' ? test.tokens : test.context
    this.#prompt = randomIds(length, model.config.vocabulary, seed)
  }

  /** The measurements so far. */
  get measured(): Measured {
    const { every = 'once', shift } = this.#plan.planner ?? {}
    const decisions = this.turns.at(-1)?.decisions ?? 1
    // A planner that is asked where attention shifts was asked so often.
    const asked = shift === undefined ? every : this.parts.test.tokens / decisions
    const backend = this.parts.model.backend.name
    return { ...this.parts, backend, every: asked, threadsUsed: this.#threadsUsed, turns: this.turns }
  }

  /** Shown as progress. */
  get name(): string {
    const { method, model, storage, test, threads } = this.parts
    return `${test.name} ${model.backend.name} ${storage} ${threads === 1 ? '' : `${threads} threads `}${methodName(method)}`
  }

  /** Runs what the turns will run, if only a little of it. */
  async warmUp(signal?: AbortSignal): Promise<void> {
    const { model, test } = this.parts
    if (test.kind === 'prompt') promptTurn(model, this.#prompt, this.#plan)
    else {
      const prompt = this.#prompt.subarray(0, USUAL_PROMPT)
      await decodeTurn(model, prompt, Math.min(WARM_UP, test.tokens), this.#plan, signal)
    }
  }

  /** One turn. @throws the signal's reason if it is aborted; the turn does not count then */
  async run(signal?: AbortSignal): Promise<void> {
    this.turns.push(await this.#turn(signal))
    this.#threadsUsed = this.parts.model.backend.threads.threads
  }

  dispose(): void {
    this.#kept?.dispose()
    this.#kept = null
  }

  #turn(signal?: AbortSignal): Turn | Promise<Turn> {
    const { model, test } = this.parts
    if (test.kind === 'prompt') return promptTurn(model, this.#prompt, this.#plan)
    const { every = 1, shift } = this.#plan.planner ?? {}
    // What decides now and then cannot be rewound to the prompt.
    const isRewound = test.keepsPrompt && every === 1 && shift === undefined
    if (!isRewound) return decodeTurn(model, this.#prompt, test.tokens, this.#plan, signal)
    this.#kept ??= new Decoding(model, this.#prompt, test.tokens, this.#plan)
    return this.#kept.decode(signal)
  }
}

/** A prompt of any words. */
export function randomIds(length: number, vocabulary: number, seed: number): Int32Array {
  const random = new Random(seed)
  return Int32Array.from({ length }, () => random.below(vocabulary))
}
