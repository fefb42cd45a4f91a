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
import { unitsKept } from '../masks/budget.ts'
import type { UnitKind } from '../masks/mask.ts'
import type { ModelConfig } from '../engine/config.ts'
import { storageNamed, type Storage } from '../engine/storages/index.ts'
import { rowsFor } from '../engine/kv_cache.ts'
import { parametersOf, type ModelParameter } from '../engine/plan.ts'
import { modelParameters, modelPlan } from '../engine/program.ts'
import { parameterBytes, storageOf } from '../engine/weight_layout.ts'
import type { Architecture } from './architectures.ts'

/** Bytes of a number of biases, norms, positions, keys and values. */
const FLOAT_BYTES = 4

/** What decides which units are skipped, and how often. */
export const costMethods = ['dense', 'dejavu', 'shadow-token', 'shadow'] as const
export type CostMethod = (typeof costMethods)[number]

/** The settings of a count. */
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

/** Numbers of the matrices of layers that one token reads, of the lm_head and its projections, and of vectors. */
interface NumbersRead {
  readonly matrix: number
  readonly table: number
  readonly vector: number
}

/** Units that are counted, and the key heads that heads read. */
type CountedUnits = UnitKind | 'keyHeads'

/** A parameter that a step reads, and the units that it belongs to. */
interface Reading {
  readonly parameter: ModelParameter
  /** The units of which it has a part each; null where it is read whole. */
  readonly units: { readonly of: CountedUnits; readonly parts: number; readonly size: number } | null
  /** Whether a token reads one row of it. */
  readonly isRow: boolean
}

/** What the steps of a model read, one after the other. */
function readingsOf(model: Architecture): Reading[] {
  const { sections, parameters } = modelPlan(model)
  return sections.flatMap(({ steps }) =>
    steps.flatMap(({ value, need }) =>
      parametersOf(value).map(({ name, shape }) => {
        const parameter = parameters.get(name) as ModelParameter
        const isSum = value.op === 'combine'
        const masked = isSum && shape.length === 2 && value.of[0].op === 'units' ? value.of[0] : null
        // A norm of parts of a row has one weight for all of them.
        const isShared = value.op === 'rmsNorm' && shape[0] < value.width
        const made = isSum || isShared ? null : need
        const [at, parts] = masked ? [masked, masked.count] : [made?.at, made?.parts ?? 0]
        const of: CountedUnits | undefined = at && (parts === at.count ? at.kind : 'keyHeads')
        const units = at && of ? { of, parts, size: at.width / at.count } : null
        return { parameter, units, isRow: value.op === 'embedding' }
      }),
    ),
  )
}

/** A sum over readings when these units are kept. @param amount of a whole parameter */
function sumOf(
  model: Architecture,
  kept: UnitsKept,
  readings: readonly Reading[],
  amount: (parameter: ModelParameter) => number,
): number {
  const counts = { ...kept, keyHeads: keptKeyHeads(model, kept) }
  let whole = 0
  /** Of one unit of each layer, so that sums are whole numbers. */
  const ofUnits: Record<CountedUnits, number> = { heads: 0, keyHeads: 0, neurons: 0 }
  for (const { parameter, units } of readings)
    if (units) ofUnits[units.of] += amount(parameter) / units.parts
    else whole += amount(parameter)
  for (const kind of ['heads', 'keyHeads', 'neurons'] as const)
    whole += (ofUnits[kind] * counts[kind]) / model.layers
  return whole
}

const numbersIn = ({ shape }: ModelParameter): number => shape.reduce((size, n) => size * n, 1)

const isMatrix = ({ parameter, isRow }: Reading): boolean => !isRow && parameter.shape.length === 2

/** What a token reads of the model when these units are kept. */
export function weightsRead(model: Architecture, kept: UnitsKept): NumbersRead {
  const readings = readingsOf(model)
  const sum = (which: (reading: Reading) => boolean): number =>
    sumOf(model, kept, readings.filter(which), numbersIn)
  const rows = readings.reduce((width, { parameter, isRow }) => width + (isRow ? parameter.shape[1] : 0), 0)
  return {
    matrix: sum((reading) => isMatrix(reading) && isInLayer(reading)),
    table: sum((reading) => isMatrix(reading) && !isInLayer(reading)),
    vector: rows + sum(({ parameter }) => parameter.shape.length === 1),
  }
}

/** Whether it is read inside a layer; a tied head is not, though its table is. */
function isInLayer({ parameter }: Reading): boolean {
  return parameter.layer !== null
}

/**
 * Key heads that are computed and read. Without a mask that says which heads are kept, those of groups count as all of them:
 * a group is skipped with the last of its heads.
 */
function keptKeyHeads({ layers, heads, keyHeads }: Architecture, kept: UnitsKept): number {
  return kept.keyHeads ?? (keyHeads === heads ? kept.heads : layers * keyHeads)
}

/**
 * Bytes that a token reads of the weights when these units are kept. Scales of fc2 in blocks count as a whole: a block of
 * neurons has some that is kept. A head has blocks of its own.
 */
export function weightBytes(model: Architecture, kept: UnitsKept, storage: Storage): number {
  const { layers, neurons, width } = model
  const bytes = (parameter: ModelParameter): number =>
    parameterBytes(parameter, storageOf(parameter, storage))
  const matrices = readingsOf(model).filter(isMatrix)
  const byRows = (reading: Reading): boolean => reading.parameter.isTurned && reading.units?.size === 1
  const whole = matrices.map((reading) => (byRows(reading) ? { ...reading, units: null } : reading))
  const skipped = layers * neurons - kept.neurons + (kept.unreadRows ?? 0)
  return (
    sumOf(model, kept, whole, bytes) -
    skipped * storageNamed(storage).rowBytes(width, 'inputs') +
    FLOAT_BYTES * weightsRead(model, kept).vector
  )
}

/** Weights of a method's predictors, biases left out. */
export function predictorWeights(model: Architecture, method: CostMethod, hidden: number): number {
  const { layers, width, heads, neurons } = model
  const outputs = hidden * (layers - 1) * (heads + neurons)
  const inputs = 2 * width * hidden
  if (method === 'dense') return 0
  return outputs + (method === 'dejavu' ? (layers - 1) * inputs : inputs)
}

/** The cost of one token of one method, on average over the generated tokens. */
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
  const asked = method === 'shadow' ? 1 / tokens : 1
  const predicted = predictorWeights(model, method, hidden)
  const weights = weightBytes(model, kept, storage)
  const seen = meanOver(model, (window) => meanContext(window ?? Infinity, prompt, tokens))
  const cache = 2 * keptKeyHeads(model, kept) * model.headSize * seen * FLOAT_BYTES
  // The scales of rows are left out.
  const predictorBytes = predicted * storageNamed(storage).numberBytes
  const predictor = asked * predictorBytes
  return {
    method,
    weights,
    cache,
    predictor,
    bytes: weights + cache + predictor,
    flops: 2 * (read.matrix + read.table) + 4 * kept.heads * model.headSize * seen + 2 * asked * predicted,
    memory: modelBytes(model, storage) + cacheBytes(model, settings) + predictorBytes,
  }
}

/** How many positions a token sees, itself included, the mean over the tokens generated. */
function meanContext(window: number, prompt: number, tokens: number): number {
  const before = Math.min(tokens, Math.max(0, window - prompt)) // those that see all of the text
  const sum = before * prompt + (before * (before + 1)) / 2
  return (before < tokens ? sum + (tokens - before) * window : sum) / tokens
}

/** Bytes that a loaded model takes. */
export function modelBytes(model: ModelConfig, storage: Storage): number {
  let bytes = 0
  for (const parameter of modelParameters(model).values())
    bytes += parameterBytes(parameter, storageOf(parameter, storage))
  return bytes
}

function cacheBytes(model: Architecture, { prompt, tokens }: CostSettings): number {
  const rows = meanOver(model, (window) => rowsFor(window, prompt + tokens))
  return FLOAT_BYTES * 2 * model.layers * model.keyHeads * model.headSize * rows
}

/** The mean over layers of an amount that follows from their windows, null where there is none. */
function meanOver({ layers, layerWindow }: ModelConfig, amount: (window: number | null) => number): number {
  const all = Array.from({ length: layers }, (_, l) => amount(layerWindow?.[l] ?? null))
  return all.reduce((sum, one) => sum + one, 0) / layers
}
