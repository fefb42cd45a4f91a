/**
 * What one generated token costs: weights, cache and predictor read, multiplications and additions done.
 *
 * A cost model, not a measurement. Decoding one token at a time reads every weight it uses once and waits for memory, so
 * tokens per second are the bandwidth divided by the bytes. It assumes that skipped weights are not read and that what
 * is left streams at full speed (kept units lie together); what a kernel misses of that is its own.
 *
 * All sparse methods skip the same units, K and V of skipped heads included, so that they differ in their predictors alone:
 *
 *   dejavu        two predictors per layer, asked for every token
 *   shadow-token  one pair of predictors for the whole model, asked for every token, as the released timing code does
 *   shadow        the same pair, asked once per sequence: its cost is shared by the tokens generated
 *
 * DejaVu's look-ahead may hide part of its predictors behind other work; nothing here is hidden. The first layer runs
 * whole in all methods and has no predictor. Left out: norms and softmax (in operations), writing to the cache.
 */
import { unitsKept } from '../../masks/budget.ts'
import type { Storage } from '../../engine/matrix.ts'
import { BLOCK, BLOCK_BYTES } from '../../tensor/int4.ts'
import { countParameters, type Architecture } from './architectures.ts'

/** Bytes per number of the matrices of blocks, of those outside, of biases and norms, and of the cache. */
interface NumberBytes {
  readonly matrix: number
  readonly table: number
  readonly vector: number
  readonly cache: number
}

/** The scales of int8 rows are left out; those of int4 blocks are not. */
const bytesOf: Readonly<Record<Storage, NumberBytes>> = {
  f32: { matrix: 4, table: 4, vector: 4, cache: 4 },
  bf16: { matrix: 2, table: 2, vector: 4, cache: 4 },
  f16: { matrix: 2, table: 2, vector: 4, cache: 4 },
  int8: { matrix: 1, table: 1, vector: 4, cache: 4 },
  int4: { matrix: BLOCK_BYTES / BLOCK, table: 1, vector: 4, cache: 4 },
}

/** What decides which units are skipped, and how often. */
export const costMethods = ['dense', 'dejavu', 'shadow-token', 'shadow'] as const
export type CostMethod = (typeof costMethods)[number]

/** What is to be counted. */
export interface CostSettings {
  /** Share of the ranked heads and neurons that is skipped. */
  readonly sparsity: number
  readonly storage: Storage
  /** Tokens of the prompt, and tokens generated after it. */
  readonly prompt: number
  readonly tokens: number
  /** Hidden units of each predictor network. */
  readonly hidden: number
}

/** How many units of the whole model are computed. */
export interface UnitsKept {
  readonly heads: number
  readonly neurons: number
  /** Key heads, where it is known which heads are kept. */
  readonly keyHeads?: number
}

/** The units a global budget of this sparsity keeps, the first layer whole. */
export function keptUnits({ layers, heads, neurons }: Architecture, sparsity: number): UnitsKept {
  const ranked = layers - 1
  return {
    heads: heads + unitsKept(ranked * heads, sparsity),
    neurons: neurons + unitsKept(ranked * neurons, sparsity),
  }
}

/** Numbers of the matrices of blocks that one token reads, of the lm_head and its projections, and of vectors. */
interface NumbersRead {
  readonly matrix: number
  readonly table: number
  readonly vector: number
}

/** What a token reads of the model when these units are kept. */
export function weightsRead(model: Architecture, kept: UnitsKept): NumbersRead {
  const { layers: L, width: D, headSize: K, vocabulary: V, embeddingWidth: E, gated } = model
  const keyHeads = keptKeyHeads(model, kept)
  const attention = 2 * kept.heads * K * D + 2 * keyHeads * K * D
  const ffn = (gated ? 3 : 2) * kept.neurons * D
  const ends = V * E + (E === D ? 0 : 2 * D * E)
  const isBiased = model.biases === 'all'
  const biases =
    (model.biases === 'none' ? 0 : (kept.heads + 2 * keyHeads) * K) +
    (isBiased ? L * D + (gated ? 2 : 1) * kept.neurons + L * D : 0)
  const norms = (2 * L + (model.finalNorm ? 1 : 0)) * D * (isBiased ? 2 : 1)
  const rows = E + (model.positionRows > 0 ? D : 0)
  return { matrix: attention + ffn, table: ends, vector: biases + norms + rows }
}

/**
 * Key heads that are computed and read. Without a mask that says which heads are kept, those of groups count as all of them:
 * a group is skipped with the last of its heads.
 */
function keptKeyHeads({ layers, heads, keyHeads }: Architecture, kept: UnitsKept): number {
  return kept.keyHeads ?? (keyHeads === heads ? kept.heads : layers * keyHeads)
}

/** Bytes of these numbers as they are stored. */
export function weightBytes({ matrix, table, vector }: NumbersRead, storage: Storage): number {
  const width = bytesOf[storage]
  return matrix * width.matrix + table * width.table + vector * width.vector
}

/** Weights of a method's predictors, biases left out. */
export function predictorWeights(model: Architecture, method: CostMethod, hidden: number): number {
  const { layers, width, heads, neurons } = model
  const outputs = hidden * (layers - 1) * (heads + neurons)
  const inputs = 2 * width * hidden
  if (method === 'dense') return 0
  return outputs + (method === 'dejavu' ? (layers - 1) * inputs : inputs)
}

/** What one token of one method costs, on average over the tokens generated. */
export interface TokenCost {
  readonly method: CostMethod
  /** Bytes read. */
  readonly weights: number
  readonly cache: number
  readonly predictor: number
  readonly bytes: number
  /** Multiplications and additions. */
  readonly flops: number
  /** Bytes that must be held: all weights, skipped or not, the full cache and the predictors. */
  readonly memory: number
}

/** Counts one method. */
export function tokenCost(model: Architecture, method: CostMethod, settings: CostSettings): TokenCost {
  const { storage, prompt, tokens, hidden } = settings
  const width = bytesOf[storage]
  const kept = keptUnits(model, method === 'dense' ? 0 : settings.sparsity)
  const read = weightsRead(model, kept)
  // Of the sequence so far, the new token included, the mean over the tokens generated.
  const context = prompt + (tokens + 1) / 2
  const asked = method === 'shadow' ? 1 / tokens : 1
  const predicted = predictorWeights(model, method, hidden)
  const weights = weightBytes(read, storage)
  const cache = 2 * keptKeyHeads(model, kept) * model.headSize * context * width.cache
  const predictor = asked * predicted * width.matrix
  return {
    method,
    weights,
    cache,
    predictor,
    bytes: weights + cache + predictor,
    flops: 2 * (read.matrix + read.table) + 4 * kept.heads * model.headSize * context + 2 * asked * predicted,
    memory: modelBytes(model, storage) + cacheBytes(model, settings) + predicted * width.matrix,
  }
}

function modelBytes(model: Architecture, storage: Storage): number {
  const width = bytesOf[storage]
  const { matrix, vector: read } = weightsRead(model, keptUnits(model, 0))
  const vectors = read - model.embeddingWidth - (model.positionRows > 0 ? model.width : 0)
  const tables = countParameters(model) - matrix - vectors
  return matrix * width.matrix + tables * width.table + vectors * width.vector
}

function cacheBytes(model: Architecture, { storage, prompt, tokens }: CostSettings): number {
  const numbers = 2 * model.layers * model.keyHeads * model.headSize * (prompt + tokens)
  return numbers * bytesOf[storage].cache
}
