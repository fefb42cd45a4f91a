/**
 * One window under any arm: what its continuation costs under the mask that the arm decides from the prompt. What several
 * arms ask of a window (true scores, a dense pass) is computed once.
 */
import { criterionByName } from '../../criteria/index.ts'
import type { AchievedSparsity } from '../../masks/achieved.ts'
import { makeBudget, type Budget } from '../../masks/budget.ts'
import type { MaskPlanner } from '../../masks/planner.ts'
import { backendTopK, type UnitScores } from '../../masks/selection.ts'
import type { OptModel } from '../../engine/opt_model.ts'
import { traceForward } from '../../engine/trace.ts'
import { denseLayers } from '../../predictor/predictor_config.ts'
import { leakyMask } from '../../predictor/leaky.ts'
import { lastHeadOutputs, scoreText } from '../../predictor/pass_planners.ts'
import { makePlanner, oraclePlanner, type PlannerSources } from '../../predictor/planners.ts'
import type { Predictor } from '../../predictor/predictor_file.ts'
import { achievedBy } from '../achieved_mean.ts'
import { scoreWindow } from '../perplexity.ts'
import { continuationLabels, type Window } from '../../data/windows.ts'
import type { Arm } from './method.ts'
import { ExpectedScores } from './expected.ts'

/** What one window costs under one arm. */
export interface ScoredWindow {
  /** Negative log-likelihood of the continuation, in nats. */
  readonly nll: number
  readonly tokens: number
  readonly words: number
  /** Shares skipped, of the whole model and layer by layer. */
  readonly achieved: AchievedSparsity
}

/** What an arm decides by that is the same for every window. */
export interface Decider {
  readonly budget: Budget
  readonly mean?: UnitScores
  readonly predictor?: Predictor
}

/** A decider of what an arm was prepared with: its mean scores or its predictor, if it asks any. */
export function decideBy(arm: Arm, { mean, predictor }: Omit<Decider, 'budget'>): Decider {
  const whole = arm.denseLayers ?? (predictor ? denseLayers(predictor.config) : 1)
  return { budget: makeBudget(arm.sparsity, { scope: arm.scope, denseLayers: whole }), mean, predictor }
}

/** A window, and what was found out about it so far. */
export class Subject {
  readonly #model: OptModel
  readonly #window: Window
  readonly #seed: number
  readonly #truths = new Map<string, UnitScores>()
  readonly #expected = new Map<string, ExpectedScores>()
  #lastHeads: Float32Array | null = null

  constructor(model: OptModel, window: Window, seed: number) {
    this.#model = model
    this.#window = window
    this.#seed = seed
  }

  /** The continuation under an arm. */
  score(arm: Arm, decider: Decider): ScoredWindow {
    const model = this.#model
    const planner = this.plan(arm, decider)
    const mask = planner?.leaky ? leakyMask(model, planner, this.#window.tokens) : null
    const scored = scoreWindow(model, this.#window, mask ? { mask } : { planner })
    const { nll, tokens, words } = scored
    return { nll, tokens, words, achieved: achievedBy(scored.mask, model.shape, model.config.width) }
  }

  /**
   * Who decides for this window; null is dense.
   * @param fresh whether the planner runs its own passes each time it is asked, as one under the clock must
   */
  plan(arm: Arm, { budget, mean, predictor }: Decider, fresh = false): MaskPlanner | null {
    const model = this.#model
    const topK = backendTopK(model.backend)
    // These look at a pass over the prompt, whatever the budget: one pass serves them all.
    const shared = !fresh && arm.every === undefined && !arm.leaky
    const scores = shared ? this.#promptScores(arm, predictor) : null
    if (scores) return { ...oraclePlanner(scores, budget, topK), name: arm.planner }
    const sources: PlannerSources = {
      model,
      topK,
      mean,
      ...sourceOf(predictor),
      truth: arm.planner === 'oracle' ? this.#oracle(arm) : undefined,
      seed: this.#seed,
      criterion: arm.planner === 'prompt-plainact' ? criterionByName(arm.criterion) : undefined,
    }
    const { every, leaky } = arm
    return makePlanner(arm.planner, sources, budget, { leaky, ...(every !== undefined && { every }) })
  }

  #oracle({ criterion, samples }: Arm): UnitScores {
    if (samples === undefined) return this.#truth(criterion, this.#labels())
    const key = `${criterion} expected`
    const known =
      this.#expected.get(key) ?? new ExpectedScores(this.#model, this.#window, criterion, this.#seed)
    this.#expected.set(key, known)
    return known.mean(samples)
  }

  #promptScores(arm: Arm, predictor: Predictor | undefined): UnitScores | null {
    if (arm.planner === 'prompt-plainact') return this.#truth(arm.criterion, null)
    if (arm.planner !== 'dejavu-style' || predictor?.kind !== 'dejavu-style') return null
    if (!this.#lastHeads) {
      const trace = traceForward(this.#model, this.#prompt())
      this.#lastHeads = lastHeadOutputs(trace)
      trace.dispose()
    }
    return predictor.predict(this.#lastHeads)
  }

  /** A criterion's scores of the continuation's loss, or, without labels, of the prompt's own. */
  #truth(criterion: string, labels: Int32Array | null): UnitScores {
    const key = `${criterion} ${labels ? 'continuation' : 'prompt'}`
    let truth = this.#truths.get(key)
    if (!truth) {
      const tokens = labels ? this.#window.tokens : this.#prompt()
      const found = criterionByName(criterion)
      truth = scoreText(this.#model, tokens, labels ?? tokens, found, this.#seed)
      this.#truths.set(key, truth)
    }
    return truth
  }

  #prompt(): Int32Array {
    return this.#window.tokens.slice(0, this.#window.promptLength)
  }

  #labels(): Int32Array {
    return continuationLabels(this.#window)
  }
}

function sourceOf(predictor: Predictor | undefined): Partial<PlannerSources> {
  if (predictor?.kind === 'shadow') return { shadow: predictor }
  if (predictor?.kind === 'dejavu') return { dejavu: predictor }
  return predictor ? { dejavuStyle: predictor } : {}
}
