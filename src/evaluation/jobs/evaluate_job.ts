/**
 * Evaluation as jobs: some texts under some methods. The result is JSON: for each method, for each text, what each of its
 * windows costs.
 *
 *   settings   model, ...   what both sides agree on, see shard_model.ts
 *              methods      each with the name of the file that it decides by, or null
 *              mode         how a mask is carried out
 *              seeds        of each text's random masks
 *   files      texts        windows, and which of them an oracle may look at
 *              by-0, ...    a predictor, or a static method's mean scores
 *
 * Settings, files and results are untrusted: anybody may have written them. A window is scored from the end of its prompt,
 * and compared with no dense logits. Where a text is from, and what it is like, is left out: equal texts have equal bytes,
 * and a score depends on nothing else.
 */
import { criteria } from '../../criteria/index.ts'
import { canonicalJson, type PlainJson } from '../../io/canonical_json.ts'
import { describeJson, parseJson, toPlain, type JsonValue } from '../../io/json.ts'
import { refusal } from '../../io/refusal.ts'
import type { ShardRunner } from '../../jobs/runner.ts'
import type { Shard, ShardContext } from '../../jobs/shard.ts'
import { agreementOf, checkAgreement, type ShardModel } from '../../jobs/shard_model.ts'
import type { ShardStore } from '../../jobs/shard_store.ts'
import type { Sparsity } from '../../masks/achieved.ts'
import { scopes } from '../../masks/budget.ts'
import { maskModes, type MaskMode } from '../../engine/active_block.ts'
import type { OptConfig } from '../../engine/config.ts'
import type { OptModel } from '../../engine/opt_model.ts'
import { plannerNames } from '../../predictor/planners.ts'
import { encodePredictor, parsePredictor, type Predictor } from '../../predictor/predictor_file.ts'
import { checkPredictor } from '../../predictor/suitable.ts'
import { isObject } from '../../tensor/arguments.ts'
import { encodeUnits, parseUnits } from '../../calibration/job_inputs.ts'
import { evaluate } from '../evaluate.ts'
import { predictorKindOf, type Method, type MethodInputs } from '../../results/method.ts'
import type { ScoredText } from '../score_window.ts'
import { windowsUnder, type EvaluatedText, type MethodScore } from '../window_evaluator.ts'

/** What such a job is called where jobs are listed: windows are scored, questions are asked. */
export const evaluateKinds = ['score', 'ask'] as const

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
  /** Default: score. */
  readonly kind?: (typeof evaluateKinds)[number]
}

/** The shards of these jobs; their files are put into the store. */
export async function evaluateShards(
  jobs: readonly EvaluateJob[],
  { model, inputsOf, mode = 'auto', kind = 'score' }: JobOptions,
  store: ShardStore,
): Promise<Shard[]> {
  const shards: Shard[] = []
  for (const { methods, texts } of jobs) {
    const packed = await packMethods(methods, inputsOf, store)
    const seeds = texts.map(({ seed }) => seed)
    shards.push({
      kind,
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

// ---- Methods --------------------------------------------------------------------------------------------------------

/** What a shard says of its methods. */
export interface PackedMethods {
  readonly methods: PlainJson
  /** Their files in the store. */
  readonly files: Readonly<Record<string, string>>
}

/** Puts what methods decide by into a store, each file once. */
export async function packMethods(
  methods: readonly Method[],
  inputsOf: (method: Method) => MethodInputs,
  store: ShardStore,
): Promise<PackedMethods> {
  const names = new Map<string, string>()
  const entries: PlainJson[] = []
  for (const method of methods) {
    const bytes = bytesOf(inputsOf(method))
    const file = bytes && (await store.add(bytes))
    if (file && !names.has(file)) names.set(file, `by-${names.size}`)
    entries.push({
      method: method as unknown as PlainJson,
      by: file ? (names.get(file) as string) : null,
    })
  }
  return { methods: entries, files: Object.fromEntries([...names].map(([file, name]) => [name, file])) }
}

/** Encoded once: many shards are done with the same. */
const encoded = new WeakMap<object, Uint8Array>()

function bytesOf({ mean, predictor }: MethodInputs): Uint8Array | null {
  const source = predictor ?? mean
  if (!source) return null
  let bytes = encoded.get(source)
  if (!bytes) {
    bytes = predictor ? encodePredictor(predictor) : encodeUnits(mean as NonNullable<typeof mean>)
    encoded.set(source, bytes)
  }
  return bytes
}

/** The methods of a shard, and what each decides by, which is read when it is asked for. */
export interface UnpackedMethods {
  readonly methods: readonly Method[]
  readonly inputsOf: (method: Method) => Promise<MethodInputs>
}

/**
 * Works with the methods of a shard, and gives back what was read for them.
 * @throws InputError SHARD_FORMAT, PREDICTOR_MODEL and the like for settings or files that are not what they should be
 */
export async function withMethods<T>(
  { settings }: Shard,
  { read }: ShardContext,
  model: OptModel,
  work: (unpacked: UnpackedMethods) => Promise<T>,
): Promise<T> {
  const entries = Array.isArray(settings.methods) ? settings.methods : []
  if (entries.length === 0 || !entries.every(isEntry))
    throw refusal('SHARD_FORMAT', 'shard methods', 'methods and what they decide by', 'something else')
  const places = new Map(entries.map(({ method, by }) => [method, by]))
  const predictors = new Map<string, Promise<Predictor>>()
  const openPredictor = async (by: string, method: Method): Promise<Predictor> => {
    const predictor = await parsePredictor(await read(by), model.backend)
    try {
      const kind = predictorKindOf(method)
      if (predictor.kind !== kind)
        throw refusal('SHARD_FORMAT', 'shard predictor', `one of the kind ${kind}`, predictor.kind)
      checkPredictor(predictor, model.config, `shard predictor ${kind}`)
      return predictor
    } catch (error) {
      predictor.dispose()
      throw error
    }
  }
  const inputsOf = async (method: Method): Promise<MethodInputs> => {
    const by = places.get(method) ?? null
    if (by === null) return {}
    if (method.planner === 'static') return { mean: await parseUnits(await read(by), model.shape) }
    const known = predictors.get(by) ?? openPredictor(by, method)
    predictors.set(by, known)
    return { predictor: await known }
  }
  try {
    return await work({ methods: [...places.keys()], inputsOf })
  } finally {
    for (const opening of predictors.values()) (await opening.catch(() => null))?.dispose()
  }
}

interface Entry {
  readonly method: Method
  readonly by: string | null
}

/** Whether each field of a method is what it must be. What it learnt from is in its file, and not looked at. */
function isEntry(value: unknown): value is Entry {
  const { method, by = null } = isObject(value) ? (value as Partial<Entry>) : {}
  if (!isObject(method)) return false
  const found: Partial<Method> = method
  const isCount = (count: unknown, least: number): boolean =>
    Number.isInteger(count) && Number(count) >= least
  const isShare = (share: unknown): boolean => typeof share === 'number' && share >= 0 && share <= 1
  const isMissingOr = (field: unknown, holds: (field: unknown) => boolean): boolean =>
    field === undefined || holds(field)
  const isFlag = (flag: unknown): boolean => typeof flag === 'boolean'
  const { planner, criterion, sparsity, headSparsity, neuronSparsity, scope, every, samples } = found
  const { leaky, paperCompatible, denseLayers } = found
  const scores = planner === 'oracle' || planner === 'prompt-plainact'
  return (
    plannerNames.some((name) => name === planner) &&
    (scores ? criteria.some(({ name }) => name === criterion) : typeof criterion === 'string') &&
    isShare(sparsity) &&
    isMissingOr(headSparsity, isShare) &&
    isMissingOr(neuronSparsity, isShare) &&
    scopes.some((name) => name === scope) &&
    (every === 'once' || isCount(every, 1)) &&
    isMissingOr(samples, (count) => isCount(count, 1)) &&
    isMissingOr(denseLayers, (count) => isCount(count, 0)) &&
    isMissingOr(leaky, isFlag) &&
    isMissingOr(paperCompatible, isFlag) &&
    (by === null ? !asksFile(found as Method) : typeof by === 'string' && asksFile(found as Method))
  )
}

function asksFile(method: Method): boolean {
  return method.planner === 'static' || predictorKindOf(method) !== null
}

// ---- Texts and scores -----------------------------------------------------------------------------------------------

/** Texts as bytes; their seeds are not in them. */
export function encodeTexts(texts: readonly EvaluatedText[]): Uint8Array<ArrayBuffer> {
  const rows = texts.map(({ windows, known = 0, denseOnly = false }) => [
    known,
    denseOnly,
    windows.map(({ tokens, promptLength, words }) => [promptLength, words, [...tokens]]),
  ])
  return new TextEncoder().encode(canonicalJson(rows))
}

/** What a model takes. */
type Limits = Pick<OptConfig, 'vocabulary' | 'positions'>

/** A text without its seed. */
export type UnseededText = Omit<EvaluatedText, 'seed'>

/** The texts of such bytes. @throws InputError SHARD_FORMAT, JSON_* for anything that a model of these limits cannot score */
export function parseTexts(bytes: Uint8Array, limits: Limits): UnseededText[] {
  const json = parseJson(bytes, 'shard texts', { numbers: 'integers' })
  if (!Array.isArray(json)) throw refusal('SHARD_FORMAT', 'shard texts', 'a list', describeJson(json))
  return json.map((row, i) => parseText(row, limits, `shard text ${i}`))
}

function parseText(row: JsonValue, limits: Limits, subject: string): UnseededText {
  const [known, denseOnly, list] = Array.isArray(row) && row.length === 3 ? row : []
  const windows = Array.isArray(list) ? list.map((window) => parseWindow(window, limits)) : []
  const isText =
    typeof known === 'number' &&
    typeof denseOnly === 'boolean' &&
    known < windows.length &&
    windows.every((window) => window !== null)
  if (isText) return { windows, known, ...(denseOnly && { denseOnly }) }
  const expected = `windows of at most ${limits.positions + 1} of ${limits.vocabulary} tokens, and which is known`
  throw refusal('SHARD_FORMAT', subject, expected, 'something else')
}

/** Null for what is no window. */
function parseWindow(json: JsonValue, { vocabulary, positions }: Limits): ScoredText | null {
  const [promptLength, words, list] = Array.isArray(json) && json.length === 3 ? json : []
  const tokens = Array.isArray(list) ? list : []
  const isWindow =
    typeof promptLength === 'number' &&
    typeof words === 'number' &&
    promptLength >= 1 &&
    promptLength < tokens.length &&
    // The last token is scored and never fed.
    tokens.length <= positions + 1 &&
    tokens.every((id) => typeof id === 'number' && id < vocabulary)
  return isWindow ? { tokens: Int32Array.from(tokens as number[]), promptLength, words } : null
}

/** Scores by method, text and window. */
export type ScoreTable = readonly (readonly (readonly MethodScore[])[])[]

/**
 * Scores as bytes.
 * @throws InputError LIKELIHOOD for one that is not finite, which JSON has no word for
 */
export function encodeScores(scores: ScoreTable): Uint8Array<ArrayBuffer> {
  const wrong = scores.flat(2).find(({ nll }) => !Number.isFinite(nll))
  if (wrong !== undefined)
    throw refusal('LIKELIHOOD', 'scores', 'finite log-likelihoods of the model', String(wrong.nll))
  return new TextEncoder().encode(JSON.stringify(scores))
}

/**
 * The scores of such bytes.
 * @param layers L of the model
 * @throws InputError SHARD_FORMAT, JSON_* for anything but scores of these texts under these methods
 */
export function parseScores(
  bytes: Uint8Array,
  { methods, texts }: EvaluateJob,
  layers: number,
): MethodScore[][][] {
  const scores = toPlain(parseJson(bytes, 'scores'))
  const isList = <T>(list: unknown, of: readonly T[], holds: (value: unknown, one: T) => boolean): boolean =>
    Array.isArray(list) && list.length === of.length && of.every((one, i) => holds(list[i], one))
  const isTable = isList(scores, methods, (row, method) =>
    isList(row, texts, (list, text) =>
      isList(list, windowsUnder(text, method), (score, window) => isScore(score, window, layers)),
    ),
  )
  if (isTable) return scores as MethodScore[][][]
  const expected = `those of ${texts.length} texts under ${methods.length} methods`
  throw refusal('SHARD_FORMAT', 'scores', expected, 'others')
}

function isScore(value: unknown, window: ScoredText, layers: number): boolean {
  if (!isObject(value)) return false
  const { nll, tokens, words, achieved } = value as Partial<MethodScore>
  return (
    typeof nll === 'number' &&
    tokens === window.tokens.length - window.promptLength &&
    words === window.words &&
    isSparsity(achieved) &&
    Array.isArray(achieved?.layers) &&
    achieved.layers.length === layers &&
    achieved.layers.every(isSparsity)
  )
}

function isSparsity(value: unknown): boolean {
  const isShare = (share: unknown): boolean => typeof share === 'number' && share >= 0 && share <= 1
  return (
    isObject(value) &&
    (['heads', 'neurons', 'weights'] as const).every((key) => isShare((value as Sparsity)[key]))
  )
}
