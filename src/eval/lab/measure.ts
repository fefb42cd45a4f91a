/**
 * Arms on windows: what each continuation costs under the mask each arm decides from the prompt.
 *
 * Windows are scored in blocks, and a block counts once every arm has scored it; so whatever is reported compares arms
 * on the same windows, a stopped run included. A block of an arm is one part of the store. What several arms ask of a
 * window (true scores, a dense pass) is computed once.
 */
import { criterionByName } from '../../criteria/index.ts'
import type { AchievedSparsity } from '../../masks/achieved.ts'
import { makeBudget, type Budget } from '../../masks/budget.ts'
import type { MaskPlanner } from '../../masks/planner.ts'
import { backendTopK, type UnitScores } from '../../masks/selection.ts'
import { traceForward } from '../../model/opt/trace.ts'
import { denseLayers } from '../../predictor/card.ts'
import { leakyMask } from '../../predictor/leaky.ts'
import { lastHeadOutputs, scoreText } from '../../predictor/pass_planners.ts'
import { makePlanner, oraclePlanner, type PlannerSources } from '../../predictor/planners.ts'
import type { Predictor } from '../../predictor/predictor_file.ts'
import { Random } from '../../tensor/random.ts'
import { achievedBy } from '../achieved_mean.ts'
import { hashWindows } from '../calibration/manifest.ts'
import { scoreWindow } from '../perplexity.ts'
import { continuationLabels, type Window } from '../windows.ts'
import { predictorKindOf, type Arm } from './arm.ts'
import { ExpectedScores } from './expected.ts'
import type { Lab } from './lab.ts'

/** What one window costs under one arm. */
export interface ScoredWindow {
  /** Negative log-likelihood of the continuation, in nats. */
  readonly nll: number
  readonly tokens: number
  readonly words: number
  /** Shares skipped, of the whole model and layer by layer. */
  readonly achieved: AchievedSparsity
}

/** An arm and its windows, in the order of the windows. */
export interface MeasuredArm {
  readonly arm: Arm
  readonly scores: readonly ScoredWindow[]
}

/** Windows of one part of the store. Without a store nothing is kept, and every window is a block. */
const storedBlock = 8

/**
 * Scores every arm on the first `count` evaluation windows of a seed.
 * @throws the signal's reason; what was finished is kept in `onBlock` and in the store
 */
export async function measureArms(
  lab: Lab,
  arms: readonly Arm[],
  count: number,
  seed: number,
  onBlock: (measured: readonly MeasuredArm[]) => void = () => {},
): Promise<MeasuredArm[]> {
  const windows = lab.windows('evaluate', count, seed)
  const found: ScoredWindow[][] = arms.map(() => [])
  const total = arms.length * windows.length
  const seeds = new Random(seed)
  const blockSize = lab.options.store ? storedBlock : 1
  for (let start = 0; start < windows.length; start += blockSize) {
    const block = windows.slice(start, start + blockSize).map((window) => ({ window, seed: seeds.uint32() }))
    const scored = await scoreBlock(lab, arms, block, seed, (done) =>
      lab.tell('evaluate', start * arms.length + done, total),
    )
    scored.forEach((scores, i) => found[i].push(...scores))
    onBlock(arms.map((arm, i) => ({ arm, scores: found[i] })))
  }
  lab.tell('evaluate', total, total)
  return arms.map((arm, i) => ({ arm, scores: found[i] }))
}

interface SeededWindow {
  readonly window: Window
  /** Of the window's random mask; the same for every sparsity, so that those masks are nested. */
  readonly seed: number
}

async function scoreBlock(
  lab: Lab,
  arms: readonly Arm[],
  block: readonly SeededWindow[],
  seed: number,
  onWindow: (done: number) => void,
): Promise<ScoredWindow[][]> {
  const subjects = block.map(({ window, seed: own }) => new Subject(lab, window, own))
  const windows = await hashWindows(block.map(({ window }) => window))
  const results: ScoredWindow[][] = []
  let done = 0
  for (const arm of arms) {
    const score = async (): Promise<ScoredWindow[]> => {
      const decider = await prepareArm(lab, arm, seed)
      const scores: ScoredWindow[] = []
      for (const subject of subjects) {
        await lab.pause()
        scores.push(subject.score(arm, decider))
        onWindow(done + scores.length)
      }
      return scores
    }
    const { store } = lab.options
    const calibrated = arm.examples ? await lab.examplesHash(arm.examples, seed) : null
    const seeds = arm.planner === 'random' ? block.map((one) => one.seed) : null
    const description = {
      ...lab.identity('scores'),
      windows,
      arm,
      seed: calibrated ? seed : null,
      calibrated,
      seeds,
    }
    results.push(store ? await store.json(description, score) : await score())
    done += block.length
    onWindow(done)
  }
  return results
}

/** What an arm decides by that is the same for every window. */
export interface Decider {
  readonly budget: Budget
  readonly mean?: UnitScores
  readonly predictor?: Predictor
}

/** Makes what an arm decides by: its mean scores, its predictor. */
export async function prepareArm(lab: Lab, arm: Arm, seed: number): Promise<Decider> {
  const predictor = predictorKindOf(arm) ? (await lab.predictor(arm, seed)).predictor : undefined
  const whole = arm.denseLayers ?? (predictor ? denseLayers(predictor.card) : 1)
  const budget = makeBudget(arm.sparsity, { scope: arm.scope, denseLayers: whole })
  const mean = arm.planner === 'static' ? await lab.mean(arm, seed) : undefined
  return { budget, mean, predictor }
}

/** A window, and what was found out about it so far. */
export class Subject {
  readonly #lab: Lab
  readonly #window: Window
  readonly #seed: number
  readonly #truths = new Map<string, UnitScores>()
  readonly #expected = new Map<string, ExpectedScores>()
  #lastHeads: Float32Array | null = null

  constructor(lab: Lab, window: Window, seed: number) {
    this.#lab = lab
    this.#window = window
    this.#seed = seed
  }

  /** The continuation under an arm. */
  score(arm: Arm, decider: Decider): ScoredWindow {
    const { model } = this.#lab
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
    const { model } = this.#lab
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
      this.#expected.get(key) ?? new ExpectedScores(this.#lab.model, this.#window, criterion, this.#seed)
    this.#expected.set(key, known)
    return known.mean(samples)
  }

  #promptScores(arm: Arm, predictor: Predictor | undefined): UnitScores | null {
    if (arm.planner === 'prompt-plainact') return this.#truth(arm.criterion, null)
    if (arm.planner !== 'dejavu-style' || predictor?.kind !== 'dejavu-style') return null
    if (!this.#lastHeads) {
      const trace = traceForward(this.#lab.model, this.#prompt())
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
      truth = scoreText(this.#lab.model, tokens, labels ?? tokens, found, this.#seed)
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
