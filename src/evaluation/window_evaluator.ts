/**
 * Texts under any method: the mask that its planner decides from the prompt, and the cost of the tokens after it. What several
 * methods need of a text (oracle scores, a dense pass) is computed once.
 */
import { ScoreAggregate } from '../calibration/aggregate.ts'
import { criterionByName } from '../criteria/index.ts'
import { achievedBy, type AchievedSparsity } from '../masks/achieved.ts'
import { wrapPlanner, type MaskPlanner } from '../masks/planner.ts'
import { backendTopK, type UnitScores } from '../masks/selection.ts'
import { defaultCache, type CacheStorage } from '../engine/layer_cache.ts'
import { withSequence, type LanguageModel } from '../engine/language_model.ts'
import { makeSampler } from '../engine/sampling.ts'
import type { SequenceOptions } from '../engine/sequence.ts'
import { traceForward } from '../engine/trace.ts'
import { NOT_SCORED } from '../ops/cross_entropy.ts'
import { lastHeadOutputs } from '../planners/dejavu_style.ts'
import { needs } from '../planners/index.ts'
import { oraclePlanner } from '../planners/oracle.ts'
import { scoreText } from '../planners/prompt_plainact.ts'
import { geometricMean } from '../planners/prompt_static.ts'
import { UsageError } from '../tensor/errors.ts'
import { Random } from '../tensor/random.ts'
import { methodBudget, planMethod, type Method, type MethodInputs } from '../results/method.ts'
import {
  DenseLogits,
  readLogits,
  scoreWindow,
  type Cost,
  type DenseDistance,
  type ScoredText,
  type WindowScore,
} from './score_window.ts'
import { meanAchieved } from './tally.ts'
import { remembered } from '../tensor/records.ts'

/** A prompt and what follows it, to plan for. */
interface PlannedText extends Pick<ScoredText, 'tokens' | 'promptLength'> {
  /** The tokens whose loss an oracle knows, from one to before another; default all after the prompt. */
  readonly seen?: readonly [start: number, end: number]
}

/** A text, and the scores that planners needed of it so far. */
export class WindowPlanner {
  readonly #model: LanguageModel
  readonly #text: PlannedText
  readonly #seed: number
  readonly #scores = new Map<string, UnitScores>()
  readonly #expected = new Map<string, (samples: number) => UnitScores>()
  #lastHeads: Float32Array | null = null

  /** @param seed of random masks, the same for every sparsity, so that those masks are nested; and of criteria that draw */
  constructor(model: LanguageModel, text: PlannedText, seed: number) {
    this.#model = model
    this.#text = text
    this.#seed = seed
  }

  /**
   * The planner of a method for this text; null is dense.
   * @param fresh whether the planner runs its own passes each time it is asked, as one under the clock must
   */
  plan(method: Method, inputs: MethodInputs, fresh = false): MaskPlanner | null {
    const { planner, every, leaky, paperCompatible } = method
    const oracleScores = needs(planner, 'continuation') ? this.#oracleScores(method) : undefined
    const own = planMethod(this.#model, method, inputs, { seed: this.#seed, oracleScores })
    // Planners that read a pass over the prompt, for any budget: they share one pass.
    const shared = !fresh && every === 'once' && !leaky && !paperCompatible
    const scores = shared ? this.#promptScores(method, inputs) : null
    if (!own || !scores) return own
    const { choose } = oraclePlanner(scores, methodBudget(method, inputs), backendTopK(this.#model.backend))
    return { ...own, choose } as MaskPlanner
  }

  #oracleScores({ criterion, samples }: Method): UnitScores {
    if (samples === undefined) return this.#scoresOf(criterion, 'continuation')
    const drawn = remembered(this.#expected, criterion, () =>
      expectedScores(this.#model, this.#text, criterion, this.#seed),
    )
    return drawn(samples)
  }

  /** The scores that a planner gets from a pass over the prompt; null for one that makes none. */
  #promptScores({ planner, criterion }: Method, { mean, predictor }: MethodInputs): UnitScores | null {
    const { tokens, promptLength } = this.#text
    // The planner itself refuses a prompt of one token.
    if (needs(planner, 'prompt-loss') && promptLength > 1) {
      const own = this.#scoresOf(criterion, 'prompt')
      if (!needs(planner, 'calibration')) return own
      // The planner itself says that its mean scores are missing.
      return mean ? geometricMean(own, mean) : null
    }
    if (planner !== 'dejavu-style' || predictor?.kind !== 'dejavu-style') return null
    if (!this.#lastHeads) {
      const trace = traceForward(this.#model, tokens.slice(0, promptLength))
      this.#lastHeads = lastHeadOutputs(trace)
      trace.dispose()
    }
    return predictor.predict(this.#lastHeads)
  }

  /** A criterion's scores of the loss of the continuation, or of the prompt's own. */
  #scoresOf(criterion: string, part: 'continuation' | 'prompt'): UnitScores {
    return remembered(this.#scores, `${criterion} ${part}`, () => {
      const { tokens, promptLength } = this.#text
      const prompt = tokens.slice(0, promptLength)
      const [read, labels] =
        part === 'prompt' ? [prompt, prompt] : continuationOf(this.#text, this.#model.config.positions)
      return scoreText(this.#model, read, labels, criterionByName(criterion), this.#seed)
    })
  }
}

/**
 * Tokens and labels of what follows the prompt. A text may have one token more than the model takes: its last one is left
 * out then, or its first one if nothing else is scored.
 */
function continuationOf(
  { tokens, promptLength, seen = [promptLength, tokens.length] }: PlannedText,
  positions: number,
): [Int32Array, Int32Array] {
  const end = promptLength < positions ? positions : tokens.length
  const start = Math.max(0, end - positions)
  const kept = tokens.slice(start, end)
  const [first, last] = seen.map((place) => Math.max(0, place - start))
  return [kept, kept.slice().fill(NOT_SCORED, 0, first).fill(NOT_SCORED, last)]
}

/**
 * The expected scores of a prompt: the mean over continuations that the model itself writes after it, each drawn token by
 * token from the model's own distribution. Samples are drawn when they are asked for; more begin with those of fewer.
 *
 * If the model were the source of the text, no predictor could say more about a continuation it has not seen. Planning by
 * it costs too much in practice (a text and a backward pass for each sample); it shows how much there is to predict.
 * @param text whose prompt is continued, by as many tokens as its own continuation has
 * @returns the mean of the first samples, as many as asked for, at least one
 */
export function expectedScores(
  model: LanguageModel,
  text: PlannedText,
  criterion: string,
  seed: number,
): (samples: number) => UnitScores {
  const seeds = new Random(seed)
  const drawn: UnitScores[] = []
  return (samples) => {
    while (drawn.length < samples) {
      const continued = continuePrompt(model, text, seeds.uint32())
      const [read, labels] = continuationOf(continued, model.config.positions)
      drawn.push(scoreText(model, read, labels, criterionByName(criterion)))
    }
    const sum = new ScoreAggregate()
    for (const scores of drawn.slice(0, samples)) sum.add(scores)
    return sum.finish()
  }
}

/** The prompt of a text with a continuation of the same length that the model draws. */
function continuePrompt(
  model: LanguageModel,
  { tokens: given, promptLength }: PlannedText,
  seed: number,
): PlannedText {
  const tokens = given.slice()
  const sampler = makeSampler({ temperature: 1, seed })
  return withSequence(model, { capacity: tokens.length }, (sequence) => {
    let logits = sequence.feed(tokens.slice(0, promptLength), 'last')
    for (let t = promptLength; ; t++) {
      tokens[t] = sampler(logits)
      if (t === tokens.length - 1) return { tokens, promptLength }
      logits = sequence.feed(tokens.slice(t, t + 1), 'last')
    }
  })
}

// ---- Windows that are planned together -------------------------------------------------------------------------------

/** One window, or several that may begin with the same prompt, as the answers to a question do. */
export interface EvaluatedText {
  readonly windows: readonly ScoredText[]
  /** The window that an oracle may look at, for all that have its prompt; default the first. */
  readonly known?: number
  /** See `WindowPlanner`. */
  readonly seed: number
  /** Whether it is scored under dense alone; default under every method. */
  readonly denseOnly?: boolean
  /** The dense logits of a single window, to compare with. */
  readonly dense?: DenseLogits
}

/** The cost of one window under one method; compared if the text has dense logits. */
export interface MethodScore extends Cost, Partial<DenseDistance> {
  readonly words: number
  /** Shares skipped, of the whole model and layer by layer. */
  readonly achieved: AchievedSparsity
  /** How many times a mask was decided; only if the text has dense logits. */
  readonly decisions?: number
}

/** The windows of a text that are scored under a method. */
export function windowsUnder(
  { windows, denseOnly }: Pick<EvaluatedText, 'windows' | 'denseOnly'>,
  { planner }: Method,
): readonly ScoredText[] {
  return denseOnly && planner !== 'dense' ? [] : windows
}

/** How windows run under every method. */
export interface EvaluatorOptions extends Pick<SequenceOptions, 'mode' | 'cache'> {
  /** Whether scores are compared with dense logits that are read here, once for all methods; a text then is a single window. */
  readonly compared?: boolean
}

/** The windows of a text, under any method. */
export class WindowEvaluator {
  readonly model: LanguageModel
  readonly text: EvaluatedText
  readonly options: EvaluatorOptions
  readonly #planners = new Map<ScoredText, WindowPlanner>()
  readonly #halves = new Map<ScoredText, readonly ScoredText[]>()
  #dense: DenseLogits | undefined

  constructor(model: LanguageModel, text: EvaluatedText, options: EvaluatorOptions = {}) {
    this.model = model
    this.text = text
    this.options = options
  }

  /** The cost of each window under a method. */
  score(method: Method, inputs: MethodInputs): MethodScore[] {
    const { known } = this.text
    const windows = windowsUnder(this.text, method)
    const dense = this.#denseLogits()
    // The dense logits are those of a cache of f32.
    if (dense && method.planner === 'dense' && this.#cache === 'f32') {
      const [{ promptLength, start = promptLength, words }] = windows
      return [{ ...dense.scoreFrom(start), words, achieved: achievedBy(null, this.model.config) }]
    }
    const plan: PlanText = (window) => this.#plannerOf(window).plan(method, inputs)
    if (!method.halves) return this.#scoreUnder({ windows, known }, plan)
    return windows.map((window) =>
      joinHalves(this.#halvesOf(window).map((half) => this.#scoreUnder({ windows: [half] }, plan)[0])),
    )
  }

  /** The cost of each window under a planner object, which decides itself. */
  scoreUnder(planner: MaskPlanner): MethodScore[] {
    return this.#scoreUnder(this.text, () => planner)
  }

  #scoreUnder(texts: Pick<EvaluatedText, 'windows' | 'known'>, plan: PlanText): MethodScore[] {
    const how = { mode: this.options.mode, cache: this.#cache, dense: this.#denseLogits() }
    return scoreTogether(this.model, texts, plan, how).map(({ mask, ...score }) => ({
      ...score,
      achieved: achievedBy(mask, this.model.config),
    }))
  }

  get #cache(): CacheStorage {
    return this.options.cache ?? defaultCache(this.model.weights.storage)
  }

  /** The halves of a window; the planner of each knows the other one. */
  #halvesOf(window: ScoredText): readonly ScoredText[] {
    return remembered(this.#halves, window, () =>
      halvesOf(window).map(({ text, planned }) => {
        this.#planners.set(text, new WindowPlanner(this.model, planned, this.text.seed))
        return text
      }),
    )
  }

  #denseLogits(): DenseLogits | undefined {
    const { windows, dense = this.#dense } = this.text
    if (dense || !this.options.compared) return dense
    const [window] = windows
    const { vocabulary } = this.model.config
    const read = readLogits(this.model, window, { cache: 'f32' })
    return (this.#dense = new DenseLogits(read, window.tokens, vocabulary))
  }

  #plannerOf(window: ScoredText): WindowPlanner {
    return remembered(this.#planners, window, () => new WindowPlanner(this.model, window, this.text.seed))
  }
}

/** The halves of what is scored of a window, each planned for by one who knows the other. @throws UsageError HALVES */
function halvesOf(window: ScoredText): { readonly text: ScoredText; readonly planned: PlannedText }[] {
  const { tokens, promptLength, start = promptLength } = window
  const end = tokens.length
  const middle = (start + end) >> 1
  if (middle === start)
    throw new UsageError(
      'HALVES',
      `window: expected two scored tokens or more, of which one half chooses for the other, got ${end - start}`,
    )
  return [
    {
      text: { ...window, tokens: tokens.slice(0, middle) },
      planned: { tokens, promptLength, seen: [middle, end] },
    },
    { text: { ...window, start: middle }, planned: { tokens, promptLength, seen: [start, middle] } },
  ]
}

/** A window from its halves. */
function joinHalves([first, second]: readonly MethodScore[]): MethodScore {
  const sum = (of: 'kl' | 'agreed'): number => Number(first[of]) + Number(second[of])
  const { firstDifference: next = null } = second
  const afterFirst = next === null ? null : first.tokens + next
  return {
    ...first,
    nll: first.nll + second.nll,
    tokens: first.tokens + second.tokens,
    achieved: meanAchieved([first.achieved, second.achieved]),
    ...(first.kl !== undefined && {
      kl: sum('kl'),
      agreed: sum('agreed'),
      firstDifference: first.firstDifference ?? afterFirst,
    }),
  }
}

/** The planner of a window; null is dense. */
export type PlanText = (window: ScoredText) => MaskPlanner | null

/**
 * Scores windows, each under the mask of its prompt. A mask is decided from a prompt alone, once, and all windows that
 * begin with it run under it. Planned for is the known window, else the first that has the prompt. A leaky planner is
 * made for each window.
 */
export function scoreTogether(
  model: LanguageModel,
  { windows, known = 0 }: Pick<EvaluatedText, 'windows' | 'known'>,
  plan: PlanText,
  options: EvaluatorOptions & { readonly dense?: DenseLogits },
): WindowScore[] {
  const planners = new Map<string, MaskPlanner | null>()
  const promptOf = ({ tokens, promptLength }: ScoredText): string =>
    tokens.subarray(0, promptLength).join(' ')
  return windows.map((window) => {
    const prompt = promptOf(window)
    let planner = planners.get(prompt)
    if (planner === undefined) {
      const made = plan(prompt === promptOf(windows[known]) ? windows[known] : window)
      planners.set(prompt, (planner = made && decideOnce(made)))
    }
    return scoreWindow(model, window, { ...options, planner: planner?.leaky ? plan(window) : planner })
  })
}

/** A planner that is asked for the first sequence and repeats itself for others, which must begin with the same prompt. */
function decideOnce(planner: MaskPlanner): MaskPlanner {
  // A planner that decides repeatedly has seen more than the prompt by then.
  if (planner.every !== undefined) return planner
  let mask: unknown = null
  return wrapPlanner(planner, (ask, question) =>
    question === 'choose' && (planner.by === 'attention' || planner.by === 'prompt')
      ? ((mask ??= ask()) as ReturnType<typeof ask>)
      : ask(),
  )
}
