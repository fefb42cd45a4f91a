/**
 * Methods on texts: every text under every method, method by method.
 *
 *   perplexity   texts are windows, one by one, beside the dense model's logits
 *   tasks        texts are questions: answers behind one context, or several
 *   experiments  texts are windows in batches, whose scores are kept by method
 */
import type { LanguageModel } from '../engine/language_model.ts'
import { pause } from '../platform/pause.ts'
import type { Method, MethodInputs } from '../results/method.ts'
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
 * The scores of each method in turn: for each text, of each of its windows.
 * @throws the signal's reason; what planners throw
 */
export async function* evaluate(
  model: LanguageModel,
  methods: readonly Method[],
  texts: readonly EvaluatedText[],
  { inputsOf, onScore, signal, ...options }: EvaluateOptions,
): AsyncGenerator<MethodScore[][], void, void> {
  const evaluators = texts.map((text) => new WindowEvaluator(model, text, options))
  for (const [turn, method] of methods.entries()) {
    const inputs = await inputsOf(method)
    const scores: MethodScore[][] = []
    for (const evaluator of evaluators) {
      await pause(signal)
      scores.push(evaluator.score(method, inputs))
      onScore?.(turn * texts.length + scores.length, methods.length * texts.length)
    }
    yield scores
  }
}
