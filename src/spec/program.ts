/**
 * A model as a program: a value for each step, which names its operation and the values that it reads. Nothing is computed
 * here. A family is a function that writes such a program (`opt.ts`, `llama.ts`), from the tokens of a text to its logits. Read
 * these files in the order of `docs/guides/read.md`. Interpreters walk a program:
 *
 *   plain.ts                    computes it on plain arrays, by the definitions of `src/ops`
 *   gradients.ts                goes back from the loss, by one rule for each operation
 *
 * A value is a row of numbers for each of the T tokens: [T, width].
 *
 * Letters: L layers, H heads, G key heads, K head size, D width, F neurons, V vocabulary, T tokens.
 */
import type { Activation } from '../ops/activations.ts'
import type { Rotary } from '../ops/rotary.ts'

/** The two kinds of units that a mask may skip. */
export type UnitKind = 'heads' | 'neurons'

/** Numbers of a checkpoint, by the name that the Hugging Face hub gives them. A matrix is [outputs, inputs]. */
export interface Parameter {
  readonly name: string
  readonly shape: readonly number[]
  /** What is added to each of its numbers before they are used; nothing without. */
  readonly offset?: number
}

/** How attention differs from softmax(q kᵀ / √K) v over all that comes before. */
export interface AttentionForm {
  /** How many positions a token sees, its own the last of them; all of them without it. */
  readonly window?: number | undefined // W
  /** What scores are multiplied by in place of 1 / √K. */
  readonly scale?: number | undefined
  /** The cap c of scores: each score s becomes c tanh(s / c) before the softmax. */
  readonly cap?: number | undefined // c
}

/** The numbers of attention over T tokens: with the cap 0 there is none, and a window of T is no window. */
export interface Scoring {
  readonly headSize: number // K
  readonly scale: number
  readonly cap: number
  readonly window: number // W
}

/** The numbers of a step over T tokens. */
export function scoring(form: AttentionForm & { headSize: number }, T: number): Scoring {
  const { headSize, scale = headSize ** -0.5, cap = 0, window = Math.max(1, T) } = form
  return { headSize, scale, cap, window }
}

/** What a step does. */
type Operation =
  | { readonly op: 'tokens' } // the ids of the text
  | { readonly op: 'positions'; readonly offset: number } // 0, 1, … plus an offset
  | { readonly op: 'embedding'; readonly weight: Parameter } // rows of a table
  | {
      readonly op: 'layerNorm'
      readonly weight: Parameter
      readonly bias: Parameter
      readonly epsilon: number
    }
  | { readonly op: 'rmsNorm'; readonly weight: Parameter; readonly epsilon: number }
  | { readonly op: 'linear' | 'combine'; readonly weight: Parameter; readonly bias: Parameter | null }
  | { readonly op: 'rotate'; readonly rotary: Rotary; readonly headSize: number }
  | ({ readonly op: 'attention'; readonly headSize: number } & AttentionForm)
  | { readonly op: 'units'; readonly kind: UnitKind; readonly layer: number; readonly count: number }
  | { readonly op: 'gate'; readonly activation: Activation }
  | { readonly op: 'scale'; readonly factor: number }
  | { readonly op: 'cap'; readonly cap: number }
  | { readonly op: 'add' | 'relu' }

/** A step of a program and its result: [T, width]. */
export type Value = Operation & {
  readonly width: number
  readonly of: readonly Value[]
  /** The name by which others find it: `stream 3` is what enters layer 3, of a model of three layers what leaves the last. */
  readonly tap: string | null
}

/** A step of attention. */
export type AttentionStep = Extract<Value, { op: 'attention' }>

function step(operation: Operation, width: number, ...of: Value[]): Value {
  return { ...operation, width, of, tap: null }
}

/** The ids of the text: [T]. */
export const tokens: Value = step({ op: 'tokens' }, 1)

/** The positions 0 to T − 1 plus an offset: [T]. */
export function positions(offset: number): Value {
  return step({ op: 'positions', offset }, 1)
}

/** The rows of a table [rows, D] that ids name: [T, D]. */
export function embedding(ids: Value, table: string, rows: number, D: number): Value {
  return step({ op: 'embedding', weight: { name: `${table}.weight`, shape: [rows, D] } }, D, ids)
}

/** The constant under the root of layerNorm, as in every OPT. */
export const EPSILON = 1e-5

/** Each row to mean 0 and variance 1, then times a weight plus a bias: [T, D]. */
export function layerNorm(x: Value, name: string): Value {
  const [weight, bias] = ['weight', 'bias'].map((part) => ({ name: `${name}.${part}`, shape: [x.width] }))
  return step({ op: 'layerNorm', weight, bias, epsilon: EPSILON }, x.width, x)
}

/** Each row, or each part of `size` numbers of it, to a mean square of 1, then times an offset plus a weight [size]: [T, D]. */
export function rmsNorm(x: Value, name: string, epsilon: number, size = x.width, offset = 0): Value {
  const weight = { name: `${name}.weight`, shape: [size], ...(offset !== 0 && { offset }) }
  return step({ op: 'rmsNorm', weight, epsilon }, x.width, x)
}

/** W x + b, each output a dot of x with a row of W: [T, outputs]. */
export function linear(x: Value, name: string, outputs: number, hasBias = false): Value {
  return step({ op: 'linear', ...matrix(x, name, outputs, hasBias) }, outputs, x)
}

/** W x + b, as a sum over the inputs in their order of x_i times column i of W, to which an x_i of 0 adds nothing: [T, outputs]. */
export function combine(x: Value, name: string, outputs: number, hasBias = false): Value {
  return step({ op: 'combine', ...matrix(x, name, outputs, hasBias) }, outputs, x)
}

function matrix(x: Value, name: string, outputs: number, hasBias: boolean) {
  const bias = hasBias ? { name: `${name}.bias`, shape: [outputs] } : null
  return { weight: { name: `${name}.weight`, shape: [outputs, x.width] }, bias }
}

/** Each head's pairs of numbers, or those of a part of it, turned by the angles of its token's position. x: [T, heads K] */
export function rotate(x: Value, rotary: Rotary, headSize: number): Value {
  return step({ op: 'rotate', rotary, headSize }, x.width, x)
}

/**
 * Causal attention of each head, softmax(q kᵀ / √K) v over its own token and those before it. Head h of H reads key head
 * ⌊h G / H⌋ of G. q and the result: [T, H K]; k, v: [T, G K].
 */
export function attention(q: Value, k: Value, v: Value, headSize: number, form: AttentionForm = {}): Value {
  return step({ op: 'attention', headSize, ...form }, q.width, q, k, v)
}

/** The units of a layer, each times its factor: here a mask skips them. x: [T, count K] */
export function units(kind: UnitKind, layer: number, x: Value, count: number): Value {
  return step({ op: 'units', kind, layer, count }, x.width, x)
}

/** a + b. */
export function add(a: Value, b: Value): Value {
  return step({ op: 'add' }, a.width, a, b)
}

/** x times a factor, rounded to float32. */
export function scale(x: Value, factor: number): Value {
  return step({ op: 'scale', factor: Math.fround(factor) }, x.width, x)
}

/** c tanh(x / c), c the cap. */
export function cap(x: Value, c: number): Value {
  return step({ op: 'cap', cap: c }, x.width, x)
}

/** max(x, 0). */
export function relu(x: Value): Value {
  return step({ op: 'relu' }, x.width, x)
}

/** silu(g) ⊙ up, silu(z) = z / (1 + e⁻ᶻ); or max(g, 0) ⊙ up; or gelu(g) ⊙ up, gelu(z) = z (1 + tanh(√(2/π) (z + 0.044715 z³))) / 2. */
export function gate(activation: Activation, g: Value, up: Value): Value {
  return step({ op: 'gate', activation }, up.width, g, up)
}

/** The same value under a name. */
export function tap(name: string, x: Value): Value {
  return { ...x, tap: name }
}

/** The steps that a value needs, each after those that it reads, and itself as the last. */
export function stepsOf(end: Value): Value[] {
  const seen = new Set<Value>()
  const visit = (value: Value): void => {
    if (seen.has(value)) return
    value.of.forEach(visit)
    seen.add(value)
  }
  visit(end)
  return [...seen]
}
