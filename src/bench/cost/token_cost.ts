/**
 * What one generated token costs: weights, cache and predictor read, multiplications and additions done.
 *
 * A cost model, not a measurement. Decoding one token at a time reads every weight it uses once and waits for memory, so
 * tokens per second are the bandwidth divided by the bytes. It assumes that skipped weights are not read and that what
 * is left streams at full speed (kept units lie together); what a kernel misses of that is its own. Rows of fc2 whose neurons
 * are zero after ReLU count as read, though kernels leave them out where that is faster: no size says how many are zero.
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
import { storedBytes, storedRowBytes, type Storage } from '../../engine/matrix.ts'
import { outerStorage } from '../../engine/weight_layout.ts'
import { BLOCK, BLOCK_BYTES } from '../../tensor/int4.ts'
import type { Architecture } from './architectures.ts'

/** Bytes of a number of biases, norms, positions, keys and values. */
const FLOAT_BYTES = 4

/** Bytes of a number of a predictor. The scales of int8 rows are left out; those of int4 blocks are not. */
const predictorBytes: Readonly<Record<Storage, number>> = {
  f32: 4,
  bf16: 2,
  f16: 2,
  int8: 1,
  int4: BLOCK_BYTES / BLOCK,
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
  /** Rows of out and fc2 that are left unread though their units are computed: those of masked input channels. */
  readonly unreadRows?: number
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

/** Bytes that are held: of the matrices of a layer by their units, of the token table, and of its projections. */
function heldBytes(model: Architecture, storage: Storage) {
  const { heads, keyHeads, headSize: K, width: D, neurons: F, vocabulary: V, embeddingWidth: E } = model
  const outer = outerStorage(storage)
  return {
    heads: storedBytes(storage, heads * K, D) + storedBytes(storage, heads * K, D, 'inputs'),
    keyHeads: 2 * storedBytes(storage, keyHeads * K, D),
    fc1: (model.gated ? 2 : 1) * storedBytes(storage, F, D),
    fc2: storedBytes(storage, F, D, 'inputs'),
    table: storedBytes(outer, V, E),
    projections: E === D ? 0 : storedBytes(outer, D, E) + storedBytes(outer, E, D),
  }
}

/**
 * Bytes that a token reads of the weights when these units are kept. Scales of fc2 in int4 count as a whole: a block of 32
 * neurons has some that is kept. A head has blocks of its own.
 */
export function weightBytes(model: Architecture, kept: UnitsKept, storage: Storage): number {
  const { layers, heads, keyHeads, neurons, width } = model
  const held = heldBytes(model, storage)
  const skipped = layers * neurons - kept.neurons
  const attention = (kept.heads * held.heads) / heads + (keptKeyHeads(model, kept) * held.keyHeads) / keyHeads
  const ffn =
    (kept.neurons * held.fc1) / neurons +
    (layers * held.fc2 - (skipped + (kept.unreadRows ?? 0)) * storedRowBytes(storage, width, 'inputs'))
  return attention + ffn + held.table + held.projections + FLOAT_BYTES * weightsRead(model, kept).vector
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
  const kept = keptUnits(model, method === 'dense' ? 0 : settings.sparsity)
  const read = weightsRead(model, kept)
  // Of the sequence so far, the new token included, the mean over the tokens generated.
  const context = prompt + (tokens + 1) / 2
  const asked = method === 'shadow' ? 1 / tokens : 1
  const predicted = predictorWeights(model, method, hidden)
  const weights = weightBytes(model, kept, storage)
  const cache = 2 * keptKeyHeads(model, kept) * model.headSize * context * FLOAT_BYTES
  const predictor = asked * predicted * predictorBytes[storage]
  return {
    method,
    weights,
    cache,
    predictor,
    bytes: weights + cache + predictor,
    flops: 2 * (read.matrix + read.table) + 4 * kept.heads * model.headSize * context + 2 * asked * predicted,
    memory: modelBytes(model, storage) + cacheBytes(model, settings) + predicted * predictorBytes[storage],
  }
}

/** Bytes that a loaded model takes. */
export function modelBytes(model: Architecture, storage: Storage): number {
  const { layers, width, embeddingWidth, positionRows, tied } = model
  const { heads, keyHeads, fc1, fc2, table, projections } = heldBytes(model, storage)
  const rows = embeddingWidth + (positionRows > 0 ? width : 0)
  const vectors = weightsRead(model, keptUnits(model, 0)).vector - rows
  const tables = (tied ? 1 : 2) * table + projections
  return layers * (heads + keyHeads + fc1 + fc2) + tables + FLOAT_BYTES * (positionRows * width + vectors)
}

function cacheBytes(model: Architecture, { prompt, tokens }: CostSettings): number {
  return FLOAT_BYTES * 2 * model.layers * model.keyHeads * model.headSize * (prompt + tokens)
}
