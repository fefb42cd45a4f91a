/**
 * Evaluation as jobs: some texts under some methods. The result is JSON: for each method, for each text, what each of its
 * windows costs.
 *
 *   settings   model, ...      what both sides agree on, see shard_model.ts
 *              methods         see methods.ts
 *              mode            how a mask is carried out
 *              seeds           of each text's random masks
 *   files      texts           see texts.ts
 *              by-0, ...       see methods.ts
 */
import type { PlainJson } from '../../io/canonical_json.ts'
import { refusal } from '../../io/refusal.ts'
import type { ShardRunner } from '../../jobs/runner.ts'
import type { Shard, ShardContext } from '../../jobs/shard.ts'
import { agreementOf, checkAgreement, type ShardModel } from '../../jobs/shard_model.ts'
import type { ShardStore } from '../../jobs/shard_store.ts'
import { maskModes, type MaskMode } from '../../engine/active_block.ts'
import { evaluate } from '../evaluate.ts'
import type { Method, MethodInputs } from '../method.ts'
import type { EvaluatedText, MethodScore } from '../window_evaluator.ts'
import { packMethods, withMethods } from './methods.ts'
import { encodeScores, encodeTexts, parseScores, parseTexts } from './texts.ts'

export const evaluateKind = 'score'

/** What one job is: some texts under some methods. */
export interface EvaluateJob {
  readonly methods: readonly Method[]
  readonly texts: readonly EvaluatedText[]
}

/** What all jobs of a run have in common. */
export interface JobOptions {
  readonly model: ShardModel
  readonly inputsOf: (method: Method) => MethodInputs
  readonly mode?: MaskMode
}

/** The shards of these jobs; their files are put into the store. */
export async function evaluateShards(
  jobs: readonly EvaluateJob[],
  { model, inputsOf, mode = 'auto' }: JobOptions,
  store: ShardStore,
): Promise<Shard[]> {
  const shards: Shard[] = []
  for (const { methods, texts } of jobs) {
    const packed = await packMethods(methods, inputsOf, store)
    const seeds = texts.map(({ seed }) => seed)
    shards.push({
      kind: evaluateKind,
      settings: { ...agreementOf(model, 'all'), methods: packed.methods, mode, seeds },
      files: { ...packed.files, texts: await store.add(encodeTexts(texts)) },
    })
  }
  return shards
}

/**
 * The scores of each job in their order, by whomever the runner has do them.
 * @throws as the runner; InputError SHARD_FORMAT for results that are none
 */
export async function* evaluateDistributed(
  jobs: readonly EvaluateJob[],
  options: JobOptions,
  runner: ShardRunner,
  listener: Parameters<ShardRunner['run']>[1],
): AsyncGenerator<MethodScore[][][], void, void> {
  const { layers } = options.model.model.shape
  const shards = await evaluateShards(jobs, options, runner.store)
  let next = 0
  for await (const result of runner.run(shards, listener)) yield parseScores(result, jobs[next++], layers)
}

/**
 * Does such a job.
 * @throws InputError SHARD_MODEL for one of another model, method, bits or storage; SHARD_FORMAT, PREDICTOR_MODEL and the
 *   like for settings or files that are not what they should be; LIKELIHOOD as `encodeScores`; the signal's reason
 */
export async function doEvaluate(
  shard: Shard,
  context: ShardContext,
  ours: ShardModel,
): Promise<Uint8Array<ArrayBuffer>> {
  checkAgreement(ours, 'all', shard.settings)
  const { model } = ours
  const { signal, onProgress } = context
  const mode = maskModes.find((name) => name === shard.settings.mode)
  if (mode === undefined)
    throw refusal('SHARD_FORMAT', 'shard mode', `one of ${maskModes.join(', ')}`, 'something else')
  const unseeded = parseTexts(await context.read('texts'), model.config)
  const seeds = seedsOf(shard, unseeded.length)
  const texts = unseeded.map((text, i) => ({ ...text, seed: seeds[i] }))
  return withMethods(shard, context, model, async ({ methods, inputsOf }) => {
    const onScore = (done: number, total: number): void => onProgress?.({ done, total })
    const scores: MethodScore[][][] = []
    for await (const row of evaluate(model, methods, texts, { inputsOf, mode, onScore, signal }))
      scores.push(row)
    return encodeScores(scores)
  })
}

/** Seeds of texts. @throws InputError SHARD_FORMAT unless there is one for each */
function seedsOf({ settings: { seeds } }: Shard, count: number): number[] {
  const isSeed = (seed: PlainJson): seed is number =>
    typeof seed === 'number' && Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32
  if (Array.isArray(seeds) && seeds.length === count && seeds.every(isSeed)) return seeds
  throw refusal('SHARD_FORMAT', 'shard seeds', `${count} whole numbers below 2^32`, 'something else')
}
