/**
 * Methods on texts: every text under every method, method by method.
 *
 *   perplexity   texts are windows, one by one, beside the dense model's logits
 *   tasks        texts are questions: answers behind one context, or several
 *   experiments  texts are windows in batches, whose scores are kept by method
 */
import type { LanguageModel } from '../engine/language_model.ts'
import { pause } from '../platform/pause.ts'
import type { MaskPlanner } from '../masks/planner.ts'
import { isPlannerObject, type Method, type MethodInputs } from '../results/method.ts'
import {
  WindowEvaluator,
  type EvaluatedText,
  type MethodScore,
  type EvaluatorOptions,
} from './window_evaluator.ts'

/** How methods are evaluated. */
export interface EvaluateOptions extends EvaluatorOptions {
  /** The inputs of a method; called when its turn comes. */
  readonly inputsOf: (method: Method) => MethodInputs | Promise<MethodInputs>
  /** Called with the number of scored texts, under all methods together. */
  readonly onScore?: (done: number, total: number) => void
  readonly signal?: AbortSignal
}

/**
 * The scores of each method or planner object in turn: for each text, of each of its windows.
 * @throws the signal's reason; what planners throw
 */
export async function* evaluate(
  model: LanguageModel,
  methods: readonly (Method | MaskPlanner)[],
  texts: readonly EvaluatedText[],
  { inputsOf, onScore, signal, ...options }: EvaluateOptions,
): AsyncGenerator<MethodScore[][], void, void> {
  const evaluators = texts.map((text) => new WindowEvaluator(model, text, options))
  for (const [turn, method] of methods.entries()) {
    const score = await scorerOf(method, inputsOf)
    const scores: MethodScore[][] = []
    for (const evaluator of evaluators) {
      await pause(signal)
      scores.push(score(evaluator))
      onScore?.(turn * texts.length + scores.length, methods.length * texts.length)
    }
    yield scores
  }
}

/** What scores a text under a method, whose inputs are read first, or under a planner object. */
async function scorerOf(
  method: Method | MaskPlanner,
  inputsOf: EvaluateOptions['inputsOf'],
): Promise<(evaluator: WindowEvaluator) => MethodScore[]> {
  if (isPlannerObject(method)) return (evaluator) => evaluator.scoreUnder(method)
  const inputs = await inputsOf(method)
  return (evaluator) => evaluator.score(method, inputs)
}
