/**
 * What ShadowLLM sees of a model: its units, and what they compute. `opt.ts` and `llama.ts` define the two families.
 *
 * A unit is an attention head or a neuron of a feed-forward network. Every unit contributes one term to a sum that the
 * next matrix forms. A unit times zero contributes a zero, and a zero changes no sum; so a unit that is skipped and a
 * unit that is multiplied by zero give the same bits, as long as its numbers are finite.
 */
import { cross_entropy, NOT_SCORED } from '../ops/cross_entropy.ts'
import { gradients, lossBackward } from './gradients.ts'
import { run, type Mask, type Setting, type Tensor, type Weights } from './plain.ts'
import { stepsOf, type UnitKind, type Value } from './program.ts'

/** What the units of one layer compute, before any mask. */
export interface UnitOutputs {
  readonly context: Tensor // [T, H K], what attention gives for every head
  readonly activation: Tensor // [T, F]
}

/** Derivatives of the loss in a layer: in mask ⊙ context and mask ⊙ activation, and before the activation function. */
interface UnitGradients extends UnitOutputs {
  readonly preActivation: Tensor // [T, F], in fc1(n) or gate(n)
}

/** What a layer computes. */
export interface LayerPass extends UnitOutputs {
  readonly input: Tensor // [T, D], the stream that enters it
  readonly preActivation: Tensor // [T, F], fc1(n) or gate(n)
}

/** A text [T] through a model. */
interface Pass {
  readonly layers: readonly LayerPass[] // [L]
  readonly logits: Tensor // [T, V]
  /**
   * The derivatives of the loss in every head and neuron: [L].
   * @param labels [T], the token that follows each position, or -100 where none is scored
   */
  backward(labels: Int32Array): UnitGradients[]
}

/** A model of any family: what the method asks of it. */
export interface Model {
  readonly program: Value
  readonly weights: Weights
  readonly heads: number // H
  readonly neurons: number // F
  /** The whole model over tokens [T], under a mask of its units. */
  forward(tokens: Int32Array, mask: Mask, read?: Setting['read']): Pass
  /** Layer 0 over tokens [T], up to the context of its heads: [T, H K]. */
  contextOf(tokens: Int32Array): Tensor
}

/** A program and its weights as the method asks for them. @param attention where keys and values are rounded */
export function modelOf(program: Value, weights: Weights, attention?: Setting['attention']): Model {
  const steps = stepsOf(program)
  /** The steps at which the units of a kind are masked: [L]. */
  const maskedOf = (wanted: UnitKind): Value[] =>
    steps.filter((step) => step.op === 'units' && step.kind === wanted)
  const named = (name: string): Value => steps.find(({ tap }) => tap === name) as Value
  const [heads, neurons] = [maskedOf('heads'), maskedOf('neurons')]
  const countOf = ([step]: readonly Value[]): number => (step.op === 'units' ? step.count : 0)
  return {
    program,
    weights,
    heads: countOf(heads),
    neurons: countOf(neurons),
    contextOf: (tokens) => {
      const [context] = heads[0].of
      return run(context, weights, tokens, { attention }).get(context) as Tensor
    },
    forward: (tokens, mask, read) => {
      const results = run(program, weights, tokens, { mask, attention, read })
      const at = (step: Value): Tensor => results.get(step) as Tensor
      const logits = at(program)
      return {
        logits,
        layers: heads.map((_, l) => ({
          input: at(named(`stream ${l}`)),
          context: at(heads[l].of[0]),
          activation: at(neurons[l].of[0]),
          preActivation: at(named(`preActivation ${l}`)),
        })),
        backward: (labels) => {
          const grads = gradients(program, weights, results, lossBackward(logits, labels), mask)
          const gradAt = (step: Value): Tensor => grads.get(step) as Tensor
          return heads.map((_, l) => ({
            context: gradAt(heads[l]),
            activation: gradAt(neurons[l]),
            preActivation: gradAt(named(`preActivation ${l}`)),
          }))
        },
      }
    },
  }
}

/** −(1 / N) Σ log softmax(logits[t])[label[t]] over the N tokens that have a label. logits: [T, V]; labels: [T] */
export function loss(logits: Tensor, labels: Int32Array): number {
  const [T, V] = logits.shape
  const nll = new Float32Array(T)
  cross_entropy(nll, logits.data, labels, T, V)
  return nll.reduce((sum, value) => sum + value, 0) / labels.filter((label) => label !== NOT_SCORED).length
}
