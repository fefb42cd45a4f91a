/**
 * The figures of a bench, a row for each method of each model under each test: medians over rounds, ratios inside rounds.
 */
import type { BackendName } from '../backends/backend.ts'
import { type Sparsity, keyHeadMask } from '../masks/achieved.ts'
import type { UnitMask } from '../masks/mask.ts'
import { defaultCache, type CacheStorage } from '../engine/layer_cache.ts'
import type { Storage } from '../engine/storages/index.ts'
import type { CheckCounts } from '../engine/next_tokens.ts'
import type { StrategyCounts } from '../engine/sequence.ts'
import { achievedBy } from '../masks/achieved.ts'
import { countParameters, type Architecture } from '../cost/architectures.ts'
import { weightBytes, type UnitsKept } from '../cost/token_cost.ts'
import { tokensPerSecond } from '../evaluation/decode.ts'
import { deviation, median, medianRatio } from '../results/interleaved_rounds.ts'
import type { BenchMethod } from './methods.ts'
import type { Measured, Threads } from './job.ts'
import type { BenchSubject } from './subject.ts'

/** The settings that rows have in common. */
interface RowContext {
  /** Where it was not left to the storage of the weights. */
  readonly cache?: CacheStorage
}

/** One row. What is not known is null. */
export interface BenchRow extends Pick<BenchSubject, 'model' | 'shape' | 'weights'> {
  readonly parameters: number
  readonly storage: Storage
  readonly backend: BackendName
  /** How many computed by the end. */
  readonly threads: number
  readonly threadsAsked: Threads
  /** The storage of keys and values. */
  readonly cache: CacheStorage
  readonly planner: BenchMethod['planner']
  /** The share of ranked units that was to be skipped, and what was skipped of the whole model. */
  readonly sparsity: { readonly requested: number | null } & Sparsity
  /** How many halves of blocks carried out the mask in each way, at the end. */
  readonly ways: StrategyCounts
  readonly test: string
  /** How many times a mask was decided in a turn, and what dense checks did in it, if there were any: in the last turn. */
  readonly decisions: number
  readonly checked: CheckCounts | null
  /** The median over rounds. */
  readonly tokensPerSecond: number
  readonly deviation: number | null
  /** Tokens per second, a number per round. */
  readonly samples: readonly number[]
  /** Times dense of the same model, storage, backend, number of threads and test. */
  readonly timesDense: number | null
  /** Times dense of the first storage, the first backend and the first number of threads. */
  readonly timesFirst: number | null
  /** What `timesDense` would be, did decoding cost nothing but what a token reads; null for prompts and checked tokens. */
  readonly ideal: number | null
  readonly shareOfIdeal: number | null
  /** Shares of the time. */
  readonly predictorShare: number
  readonly packingShare: number
  /** What the device computed for a token, in milliseconds of its own clock; null where there is none. */
  readonly deviceMilliseconds: number | null
  /**
   * Bytes of weights, predictors included, that a token reads at most; null for prompts. Rows of fc2 whose neurons are zero
   * are among them: how many are zero after ReLU is not measured, and kernels leave them out only where that is faster.
   */
  readonly bytesPerToken: number | null
  /** Those times the rate, over the speed at which memory is read forward: an upper bound after ReLU; null for prompts. */
  readonly bandwidthFraction: number | null
}

/**
 * The rows of one subject, of those that had a turn.
 * @param reads how fast memory was read in each round, in bytes per second
 */
export function rowsOf(
  measured: readonly Measured[],
  reads: readonly number[],
  context: RowContext,
): BenchRow[] {
  return measured.filter(({ turns }) => turns.length > 0).map((one) => rowOf(one, measured, reads, context))
}

function rowOf(
  one: Measured,
  all: readonly Measured[],
  reads: readonly number[],
  { cache }: RowContext,
): BenchRow {
  const { subject, storage, backend, method, test, turns } = one
  const { mask, ways, decisions, checked } = turns[turns.length - 1]
  const { layers: _, ...achieved } = achievedBy(mask, subject.config)
  const samples = turns.map(tokensPerSecond)
  const dense = denseOf(all, one, one)
  const timesDense = ratioTo(samples, dense)
  const bytes = bytesPerToken(one)
  const denseBytes = dense ? bytesPerToken(dense) : null
  const ideal = bytes === null || denseBytes === null ? null : denseBytes / bytes
  return {
    model: subject.model,
    shape: subject.shape,
    weights: subject.weights,
    parameters: countParameters(subject.architecture),
    storage,
    backend,
    threads: one.threadsUsed,
    threadsAsked: one.threads,
    cache: cache ?? defaultCache(storage),
    planner: method.planner,
    sparsity: { requested: method.sparsity, ...achieved },
    ways,
    test: test.name,
    decisions,
    checked,
    tokensPerSecond: median(samples),
    deviation: finite(deviation(samples)),
    samples,
    timesDense,
    timesFirst: ratioTo(samples, denseOf(all, one, all[0])),
    ideal,
    shareOfIdeal: ideal === null || timesDense === null ? null : timesDense / ideal,
    predictorShare: median(turns.map(({ planning, milliseconds }) => planning / milliseconds)),
    packingShare: median(turns.map(({ preparing, milliseconds }) => preparing / milliseconds)),
    deviceMilliseconds: deviceTime(turns),
    bytesPerToken: bytes,
    bandwidthFraction: bytes === null ? null : finite(bytes * medianRatio(samples, reads)),
  }
}

/** The median over turns, per token. */
function deviceTime(turns: Measured['turns']): number | null {
  const known = turns.flatMap(({ device, tokens }) => (device === null ? [] : [device / tokens]))
  return known.length === 0 ? null : median(known)
}

/** Bytes that a token of a row reads; null where passes over many tokens share what they read. */
function bytesPerToken({
  subject,
  storage,
  test,
  turns,
  predictorBytes: bytes,
  every,
}: Measured): number | null {
  if (test.kind === 'prompt' || turns.at(-1)?.checked) return null
  const mask = turns.at(-1)?.mask ?? null
  return tokenReads(subject.architecture, storage, mask, { bytes, every, tokens: test.tokens })
}

/** How often a predictor is asked, and what that reads. */
export interface Asked {
  readonly bytes: number
  readonly every: 'once' | number
  /** Tokens generated under the first answer, where it stays. */
  readonly tokens: number
}

/**
 * Bytes that one token reads at most, which decide how fast it can come: decoding waits for memory. Counted are the model's weights
 * that are not skipped, with the first layer and the lm_head whole, and the predictor's, shared by the tokens it is asked
 * for. The cache of keys and values is left out, and what an engine reads besides.
 * @param mask null for dense
 */
export function tokenReads(
  model: Architecture,
  storage: Storage,
  mask: UnitMask | null,
  { bytes, every, tokens }: Asked,
): number {
  const predictor = bytes / (every === 'once' ? tokens : Math.min(every, tokens))
  return weightBytes(model, keptBy(model, mask), storage) + predictor
}

function keptBy({ layers, heads, keyHeads, neurons }: Architecture, mask: UnitMask | null): UnitsKept {
  const kept = (table: Float32Array): number => table.reduce((sum, value) => sum + (value === 0 ? 0 : 1), 0)
  if (!mask) return { heads: layers * heads, neurons: layers * neurons }
  const unread = (table: Float32Array): number => table.length - kept(table)
  return {
    heads: kept(mask.heads),
    neurons: kept(mask.neurons),
    keyHeads: kept(keyHeadMask(mask, keyHeads)),
    ...(mask.channels && { unreadRows: unread(mask.channels.heads) + unread(mask.channels.activations) }),
  }
}

/** Dense under the test of one row, in the storage and with the threads of another. */
function denseOf(
  all: readonly Measured[],
  { test }: Measured,
  { storage, backend, threads }: Measured,
): Measured | undefined {
  return all.find(
    (one) =>
      one.method.planner === 'dense' &&
      one.test === test &&
      one.storage === storage &&
      one.backend === backend &&
      one.threads === threads,
  )
}

function ratioTo(samples: readonly number[], base: Measured | undefined): number | null {
  return finite(medianRatio(samples, base?.turns.map(tokensPerSecond) ?? []))
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null
}
