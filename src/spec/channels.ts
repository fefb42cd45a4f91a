/**
 * Masks of input channels. ShadowLLM has none; two methods that it is compared with do: TEAL (Liu et al. 2024, arXiv
 * 2408.14690) and WINA (Chen et al. 2025, arXiv 2505.19427).
 *
 *   y = W (m ⊙ x)         m_i = 0 leaves out channel i of x, and column i of W, at one token
 *
 *   TEAL    m_i = 1 if |x_i| > t           t: a share s of the |x| that the prompt had at this site is at most t
 *   WINA    m_i = 1 if |x_i| ‖W_i‖ is among the C − ⌊s C⌋ largest of the C channels; ties go to the first
 *
 * W_i is column i of all matrices that read x, one under the other. Matrices that round activations do so after the mask. All tokens of the prompt are dense, and all tokens in the first layers; a mask of units also holds for the prompt.
 */
import { top_k } from '../ops/top_k.ts'
import type { Model } from './model.ts'
import { tensor, type Setting, type Tensor } from './plain.ts'
import { stepsOf, type Value } from './program.ts'

/** Where a layer reads: query, key and value; out; fc1, or gate and up; fc2, or down. */
const sites = ['attention', 'heads', 'ffn', 'activations'] as const
export type Site = (typeof sites)[number]

/** What the matrices of a site of layer l read of x [T, C]. */
export type Channels = (l: number, site: Site, x: Tensor) => Tensor

/** How much is left out, and what is dense. */
export interface ChannelBudget {
  readonly sparsity: number // s, in [0, 1]
  readonly denseLayers: number
  readonly prompt: number // tokens
}

/** By the size of activations. */
export function teal(budget: ChannelBudget): Channels {
  const { sparsity, prompt } = budget
  return behind(budget, (_l, _site, row, { data }) => {
    const sizes = data
      .slice(0, prompt * row.length)
      .map(Math.abs)
      .sort()
    const threshold = sizes[countSkipped(sizes.length, sparsity) - 1] ?? -Infinity
    return row.map((value) => (Math.abs(value) > threshold ? 1 : 0))
  })
}

/** By the size of activations times the norm of their column. @param norms [C] of a site of layer l */
export function wina(budget: ChannelBudget, norms: (l: number, site: Site) => Float32Array): Channels {
  return behind(budget, (l, site, row) => {
    const columns = norms(l, site)
    const scores = row.map((value, i) => Math.abs(value) * columns[i])
    const kept = new Int32Array(row.length - countSkipped(row.length, budget.sparsity))
    top_k(kept, scores, row.length, kept.length)
    const mask = new Float32Array(row.length)
    for (const i of kept) mask[i] = 1
    return mask
  })
}

/** How many of N are left out. */
function countSkipped(N: number, sparsity: number): number {
  // A share such as 0.29 of 100 is 28.999999999999996.
  return Math.floor(sparsity * N + 1e-9)
}

/** Masks each token [C] after the prompt, in layers that are not dense. */
function behind(
  { prompt, denseLayers }: ChannelBudget,
  maskOf: (l: number, site: Site, row: Float32Array, x: Tensor) => Float32Array,
): Channels {
  return (l, site, x) => {
    if (l < denseLayers) return x
    const [T, C] = x.shape
    const y = x.data.slice()
    for (let t = prompt; t < T; t++) {
      const row = y.subarray(t * C, (t + 1) * C)
      const mask = maskOf(l, site, row, x)
      mask.forEach((kept, i) => (row[i] *= kept))
    }
    return tensor(y, T, C)
  }
}

/** Where each site is in a program: the value that its matrices read, by its layer and name. */
function sitesOf({ program }: Model): Map<Value, { readonly l: number; readonly site: Site }> {
  const found = new Map<Value, { l: number; site: Site }>()
  const read = new Map<number, number>()
  for (const step of stepsOf(program)) {
    const l = (step.op === 'linear' || step.op === 'combine') && /\.layers\.(\d+)\./.exec(step.weight.name)
    if (!l || found.has(step.of[0])) continue
    const count = read.get(Number(l[1])) ?? 0
    found.set(step.of[0], { l: Number(l[1]), site: sites[count] })
    read.set(Number(l[1]), count + 1)
  }
  return found
}

/** What the matrices of a model read under a mask of channels. */
export function reading(model: Model, channels: Channels): NonNullable<Setting['read']> {
  const places = sitesOf(model)
  return (value, x) => {
    const place = places.get(value)
    return place ? channels(place.l, place.site, x) : x
  }
}

/** The Euclidean norm of each column that the channels of a site meet: [C]. */
export function columnNorms(model: Model, l: number, site: Site): Float32Array {
  const [value] = [...sitesOf(model)].find(([, place]) => place.l === l && place.site === site) as [
    Value,
    unknown,
  ]
  const squares = new Float64Array(value.width)
  for (const step of stepsOf(model.program)) {
    if ((step.op !== 'linear' && step.op !== 'combine') || step.of[0] !== value) continue
    const isTurned = step.op === 'combine'
    const matrix = model.weights.matrix(step.weight, isTurned)
    matrix.widen().data.forEach((weight, n) => {
      squares[isTurned ? Math.floor(n / matrix.columns) : n % matrix.columns] += weight * weight
    })
  }
  return Float32Array.from(squares, Math.sqrt)
}
