/**
 * Which answer a model chooses, dense or under masks that the context decides.
 *
 * A mask is decided from the context alone, once, and every answer to that context is scored under it: a mask that
 * looked at the answer would know what it is to be asked. Answers inside of the context (WinoGrande) make contexts of
 * their own, each with its mask.
 */
import type { AchievedSparsity } from '../../masks/achieved.ts'
import type { UnitMask } from '../../masks/mask.ts'
import type { MaskPlanner } from '../../masks/planner.ts'
import type { OptModel } from '../../engine/opt_model.ts'
import type { MaskMode } from '../../engine/active_block.ts'
import { leakyMask } from '../../predictor/leaky.ts'
import { pause } from '../../platform/pause.ts'
import { achievedBy, meanAchieved } from '../achieved_mean.ts'
import type { Configurations } from '../configurations.ts'
import { scoreWindow, type WindowScore } from '../perplexity.ts'
import type { AskedTokens, Request } from '../../data/tasks/prompts.ts'
import type { Metric } from '../../data/tasks/task.ts'

/** A question answered. */
export interface Answer {
  /** Of each answer, in nats. */
  readonly logLikelihoods: readonly number[]
  /** Which one each metric takes; the first of equals. */
  readonly chosen: Readonly<Partial<Record<Metric, number>>>
  readonly gold: number
  /** What was skipped, averaged over answers. */
  readonly achieved: AchievedSparsity
}

/** Who decides for a context; null is dense. `request` goes on with the right answer if one of the context's does. */
export type PlanContext = (request: Request) => MaskPlanner | null

/** Log-likelihoods of the answers after nothing, dense, where the question asks for them: the same for every row. */
export function answersAlone(model: OptModel, { alone }: AskedTokens): number[] | null {
  return alone?.map((request) => -scoreWindow(model, { ...request, words: 0 }).nll) ?? null
}

/** Asks a question. @param alone what `answersAlone` gives, for `acc_mutual_info` */
export function answerQuestion(
  model: OptModel,
  asked: AskedTokens,
  plan: PlanContext = () => null,
  mode: MaskMode = 'auto',
  alone: readonly number[] | null = null,
): Answer {
  const { requests, lengths, gold } = asked
  const scoreRequest = makeScorer(model, requests[gold], plan, mode)
  const achieved: AchievedSparsity[] = []
  const logLikelihoods = requests.map((request) => {
    const { nll, mask } = scoreRequest(request)
    achieved.push(achievedBy(mask, model.shape, model.config.width))
    return -nll
  })
  const perByte = logLikelihoods.map((value, i) => value / lengths[i])
  return {
    logLikelihoods,
    chosen: {
      acc: highest(logLikelihoods),
      acc_norm: highest(perByte),
      ...(alone && { acc_mutual_info: highest(logLikelihoods.map((value, i) => value - alone[i])) }),
    },
    gold,
    achieved: meanAchieved(achieved),
  }
}

/** How a question is asked in every row of a table. */
export interface RowOptions {
  readonly configurations: Configurations
  /** Of the random planner, and of criteria that draw. */
  readonly maskSeed: number
  readonly mode?: MaskMode
  readonly signal?: AbortSignal
}

/** A question's answers under every configuration, in their order. @throws the signal's reason */
export async function answerInRows(
  model: OptModel,
  asked: AskedTokens,
  { configurations, maskSeed, mode, signal }: RowOptions,
): Promise<Answer[]> {
  await pause(signal)
  const alone = answersAlone(model, asked)
  const answers: Answer[] = []
  for (const row of configurations.list.keys()) {
    await pause(signal)
    const plan: PlanContext = (request) => configurations.planOne(row, request, maskSeed)
    answers.push(answerQuestion(model, asked, plan, mode, alone))
  }
  return answers
}

/** Scores answers, each under the mask of its context; a leaky planner makes one for each answer. */
function makeScorer(
  model: OptModel,
  right: Request,
  plan: PlanContext,
  mode: MaskMode,
): (request: Request) => WindowScore {
  const planners = new Map<string, MaskPlanner | null>()
  const contextOf = ({ tokens, promptLength }: Request): string => tokens.subarray(0, promptLength).join(' ')
  return (request) => {
    const context = contextOf(request)
    let planner = planners.get(context)
    if (planner === undefined) {
      const made = plan(context === contextOf(right) ? right : request)
      planners.set(context, (planner = made && decideOnce(made)))
    }
    const text = { ...request, words: 0 }
    if (!planner?.leaky) return scoreWindow(model, text, { planner, mode })
    const own = plan(request) as MaskPlanner
    return scoreWindow(model, text, { mask: leakyMask(model, own, request.tokens.slice(0, -1)), mode })
  }
}

/** The place of the highest, the first of equals. */
function highest(values: readonly number[]): number {
  return values.indexOf(Math.max(...values))
}

/** A planner that is asked for the first sequence and repeats itself for others, which must begin with the same prompt. */
export function decideOnce(planner: MaskPlanner): MaskPlanner {
  const { afterAttention, every } = planner
  // One that goes on deciding has seen more than the prompt by then.
  if (!afterAttention || every !== undefined) return planner
  let mask: UnitMask | null = null
  return { ...planner, afterAttention: (view) => (mask ??= afterAttention.call(planner, view)) }
}

/** A share of questions, and how far chance moves it. */
export interface Accuracy {
  readonly value: number
  /** Sample standard deviation over the square root of the count, as lm-evaluation-harness has it; null below two. */
  readonly error: number | null
}

/** How many were answered rightly, as a share. There must be at least one. */
export function accuracyOf(answers: readonly Answer[], metric: Metric): Accuracy {
  const n = answers.length
  const right = answers.filter(({ chosen, gold }) => chosen[metric] === gold).length
  const value = right / n
  const squares = right * (1 - value) ** 2 + (n - right) * value ** 2
  return { value, error: n < 2 ? null : Math.sqrt(squares / (n - 1) / n) }
}
