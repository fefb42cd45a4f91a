/**
 * What ShadowLLM sees of a model: its units, and what they compute. `opt.ts` and `llama.ts` define the two families.
 *
 * A unit is an attention head or a neuron of a feed-forward network. Every unit contributes one term to a sum that the
 * next matrix forms. A unit times zero contributes a zero, and a zero changes no sum; so a unit that is skipped and a
 * unit that is multiplied by zero give the same bits.
 *
 * Letters: L layers, H heads, G key heads, K head size, D width, F neurons, V vocabulary, T tokens.
 */
import type { Factors, Matrix, Tensor } from './arrays.ts'
import type { Channels, Site } from './channels.ts'

/** One number per unit: a score, or a mask with 1 to compute the unit and 0 to skip it. */
export interface Units {
  readonly heads: readonly Float32Array[] // [L] of [H]
  readonly neurons: readonly Float32Array[] // [L] of [F]
}
export type UnitKind = keyof Units

/** A mask for a whole text, as ShadowLLM has it, or one for each token [T]; null computes every unit. */
export type Mask = Units | readonly Units[] | null

/** The factors of a layer's units. */
export function factorsOf(mask: Mask, kind: UnitKind, l: number): Factors {
  if (mask === null) return null
  return 'heads' in mask ? mask[kind][l] : mask.map((own) => own[kind][l])
}

/** What the units of one layer compute, before any mask. */
export interface UnitOutputs {
  readonly context: Tensor // [T, H K], softmax(q kᵀ) v of every head
  readonly activation: Tensor // [T, F]
}

/** The derivatives of the loss in the units of a layer, after the mask, and before the activation function. */
export interface UnitGradients extends UnitOutputs {
  readonly preActivation: Tensor // [T, F], in fc1(n) or gate(n)
}

/** A text [T] through a model. */
interface Pass {
  readonly layers: readonly (UnitOutputs & { readonly input: Tensor })[] // [L]; the stream that enters it: [T, D]
  readonly logits: Tensor // [T, V]
  /**
   * The derivatives of the loss in every head and neuron: [L].
   * @param labels [T], the token that follows each position, or -100 where none is scored
   */
  backward(labels: Int32Array): UnitGradients[]
}

/** A model of any family: what the method asks of it. */
export interface Model {
  readonly heads: number // H
  readonly neurons: number // F
  /** The whole model over tokens [T], under a mask of its units, or of input channels. */
  forward(tokens: Int32Array, mask: Mask, channels?: Channels): Pass
  /** Layer 0 over tokens [T], up to the context of its heads: [T, H K]. */
  look(tokens: Int32Array): Tensor
  /** The norms of the columns that the channels of a site of layer l meet: [C]. */
  norms(l: number, site: Site): Float32Array
}

/** A matrix and its bias, if it has one. */
export interface Linear {
  readonly weight: Matrix
  readonly bias: Tensor | null
}
