/**
 * Evaluation as jobs: some texts under some methods. The result is JSON: for each method, for each text, what each of its
 * windows costs.
 *
 *   settings   model, ...   what both sides agree on, see job_model.ts
 *              methods      each with the names of the file that it decides by and of the moments that it reads, or null
 *              mode         how a mask is carried out
 *              compared     true where scores are compared with the dense model's logits
 *              seeds        of each text's random masks
 *   files      texts        windows, and which of them an oracle may look at
 *              by-0, ...    a predictor, a static method's mean scores, or moments
 *
 * Settings, files and results are untrusted input. A window is scored from the end of its prompt; dense logits that it is
 * compared with are the worker's own. The name of a text and its genre are left out: equal texts have equal bytes, and a score depends on nothing else.
 */
import * as v from 'valibot'
import { criteria } from '../../criteria/index.ts'
import { canonicalJson, type PlainJson } from '../../io/canonical_json.ts'
import { parseJson, toPlain } from '../../io/json.ts'
import { refusal } from '../../io/refusal.ts'
import {
  checkSchema,
  numberBetween,
  seedNumber,
  valueThat,
  wholeNumber,
  type SchemaSubject,
} from '../../io/schema.ts'
import type { JobRunner } from '../../jobs/runner.ts'
import type { Job, JobContext } from '../../jobs/job.ts'
import { agreementOf, checkAgreement, type JobModel } from '../../jobs/job_model.ts'
import type { JobStore } from '../../jobs/job_store.ts'
import type { HeldMoments } from '../../compensation/held_moments.ts'
import { encodeHeld, parseHeld } from '../../compensation/moments_file.ts'
import { scopes } from '../../masks/budget.ts'
import { compensations, ridgeOption } from '../../masks/compensation.ts'
import { prefills } from '../../masks/planner.ts'
import { maskModes } from '../../engine/active_layer.ts'
import type { ModelConfig } from '../../engine/config.ts'
import type { LanguageModel } from '../../engine/language_model.ts'
import { needs, plannerNames, predictorKindOf, type Every } from '../../planners/index.ts'
import { encodePredictor, parsePredictor, type Predictor } from '../../predictor/predictor_file.ts'
import { checkPredictor } from '../../predictor/suitable.ts'
import { encodeUnits, parseUnits } from '../../calibration/job_inputs.ts'
import { evaluate, type EvaluateOptions } from '../evaluate.ts'
import { learns, readsMoments, type Method, type MethodInputs } from '../../results/method.ts'
import type { ScoredText } from '../score_window.ts'
import { windowsUnder, type EvaluatedText, type MethodScore } from '../window_evaluator.ts'
import { remembered } from '../../tensor/records.ts'

/** The kinds of such jobs, as lists of jobs show them: windows that are scored, questions that are asked. */
export const evaluateKinds = ['score', 'ask'] as const

/** What one job evaluates: some texts under some methods. */
export interface EvaluateJob {
  readonly methods: readonly Method[]
  readonly texts: readonly EvaluatedText[]
}

/** Options that all jobs of a run have in common, and their listeners. */
interface EvaluateJobOptions extends Pick<EvaluateOptions, 'inputsOf' | 'mode' | 'compared' | 'signal'> {
  /** Default: score. */
  readonly kind?: (typeof evaluateKinds)[number]
  /** Called with the number of jobs that are done; a runner finishes them in any order. */
  readonly onJob?: (done: number) => void
  /** Called with the number of texts that are scored, under all methods together. */
  readonly onScore?: (done: number) => void
}

/** A runner that does jobs in place of this thread, and the model that they name. */
interface Distributed {
  readonly runner: JobRunner
  readonly model: JobModel
}

/**
 * The scores of each job under each of its methods, in the order of jobs and methods: computed in this thread, or by a
 * runner, which changes no number.
 * @throws the signal's reason; as `evaluate`, or as the runner; InputError SHARD_FORMAT for a result of a runner that is not
 *   the scores of its job
 */
export async function* evaluateJobs(
  model: LanguageModel,
  jobs: readonly EvaluateJob[],
  options: EvaluateJobOptions,
  distributed: Distributed | null = null,
): AsyncGenerator<MethodScore[][], void, void> {
  const { inputsOf, mode = 'auto', compared = false, signal, onJob, onScore } = options
  let next = 0
  if (distributed) {
    const { runner, model: named } = distributed
    const total = jobs.reduce((sum, { methods, texts }) => sum + methods.length * texts.length, 0)
    const onDone = (done: number): void => {
      onJob?.(done)
      onScore?.(Math.round((total * done) / jobs.length))
    }
    const encodedJobs = await encodeJobs(jobs, named, options, runner.store)
    for await (const result of runner.run(encodedJobs, { signal, onDone }))
      yield* parseScores(result, jobs[next++], model.shape.layers, compared)
    return
  }
  let before = 0
  for (const { methods, texts } of jobs) {
    const onText = (done: number): void => onScore?.(before + done)
    yield* evaluate(model, methods, texts, { inputsOf, mode, compared, signal, onScore: onText })
    before += methods.length * texts.length
    onJob?.(++next)
  }
}

/** Evaluations as jobs of a model. Their files are added to the store. */
export async function encodeJobs(
  evaluations: readonly EvaluateJob[],
  model: JobModel,
  { inputsOf, mode = 'auto', compared = false, kind = 'score' }: EvaluateJobOptions,
  store: JobStore,
): Promise<Job[]> {
  const jobs: Job[] = []
  for (const { methods, texts } of evaluations) {
    const packed = await packMethods(methods, inputsOf, store)
    const seeds = texts.map(({ seed }) => seed)
    const agreed = agreementOf(model, 'all')
    jobs.push({
      kind,
      settings: { ...agreed, methods: packed.methods, mode, seeds, ...(compared && { compared }) },
      files: { ...packed.files, texts: await store.add(encodeTexts(texts)) },
    })
  }
  return jobs
}

/**
 * Does such a job.
 * @throws InputError SHARD_MODEL for another model, method, bits or storage; SHARD_FORMAT, PREDICTOR_MODEL and others for
 *   invalid settings or files; LIKELIHOOD as `encodeScores`; the signal's reason
 */
export async function doEvaluate(
  { settings }: Job,
  { read, signal, onProgress }: JobContext,
  ours: JobModel,
): Promise<Uint8Array<ArrayBuffer>> {
  checkAgreement(ours, 'all', settings)
  const { model } = ours
  const { methods: entries, mode, compared, seeds } = checkSchema(settingsSchema, settings, about('job'))
  const unseeded = parseTexts(await read('texts'), model.config)
  if (seeds.length !== unseeded.length)
    throw refusal('SHARD_FORMAT', 'job seeds', `one for each of ${unseeded.length} texts`, `${seeds.length}`)
  const texts = unseeded.map((text, i) => ({ ...text, seed: seeds[i] }))
  const files = openMethodFiles(entries, read, model)
  const scores: MethodScore[][][] = []
  try {
    const { inputsOf } = files
    const onScore = (done: number, total: number): void => onProgress?.({ done, total })
    const methods = entries.map(({ method }) => method)
    for await (const row of evaluate(model, methods, texts, { inputsOf, mode, compared, onScore, signal }))
      scores.push(row)
  } finally {
    await files.dispose()
  }
  return encodeScores(scores)
}

function about(subject: string): SchemaSubject {
  return { code: 'SHARD_FORMAT', subject }
}

// ---- Methods --------------------------------------------------------------------------------------------------------

/** Puts what methods decide by into a store, each file once. */
async function packMethods(
  methods: readonly Method[],
  inputsOf: EvaluateOptions['inputsOf'],
  store: JobStore,
): Promise<{ methods: PlainJson; files: Record<string, string> }> {
  const names = new Map<string, string>()
  const entries: PlainJson[] = []
  for (const method of methods) {
    const inputs = await inputsOf(method)
    const nameOf = async (bytes: Uint8Array | null): Promise<string | null> => {
      const file = bytes && (await store.add(bytes))
      if (file && !names.has(file)) names.set(file, `by-${names.size}`)
      return file ? (names.get(file) as string) : null
    }
    const by = await nameOf(bytesOf(inputs))
    const moments = await nameOf(momentsOf(inputs))
    entries.push({ method: method as unknown as PlainJson, by, ...(moments !== null && { moments }) })
  }
  return { methods: entries, files: Object.fromEntries([...names].map(([file, name]) => [name, file])) }
}

/** Encoded once: many jobs are done with the same. */
const encoded = new WeakMap<object, Uint8Array>()

function bytesOf({ mean, predictor }: MethodInputs): Uint8Array | null {
  if (predictor) return remembered(encoded, predictor, () => encodePredictor(predictor))
  return mean ? remembered(encoded, mean, () => encodeUnits(mean)) : null
}

function momentsOf({ moments }: MethodInputs): Uint8Array | null {
  return moments ? remembered(encoded, moments, () => encodeHeld(moments)) : null
}

const count = (least: number): v.GenericSchema<number> => wholeNumber(least, Number.MAX_SAFE_INTEGER)
const share = numberBetween(0, 1)

/** The examples and the predictor settings of a method are not read: its file holds what it learnt. */
const methodSchema: v.GenericSchema<unknown, Method> = v.object({
  planner: v.picklist(plannerNames),
  criterion: v.string(),
  sparsity: share,
  headSparsity: v.optional(share),
  neuronSparsity: v.optional(share),
  scope: v.picklist(scopes),
  every: valueThat<Every>(
    (value) => value === 'once' || value === 'auto' || (Number.isInteger(value) && Number(value) >= 1),
    'once, auto or a whole number from 1',
  ),
  prefill: v.optional(v.picklist(prefills)),
  samples: v.optional(count(1)),
  halves: v.optional(v.boolean()),
  leaky: v.optional(v.boolean()),
  paperCompatible: v.optional(v.boolean()),
  compensate: v.optional(v.picklist(compensations)),
  ridge: v.optional(valueThat<number>(ridgeOption.holds, ridgeOption.words)),
  promptShare: v.optional(share),
  denseLayers: v.optional(count(0)),
})

/** A method and the name of the file that it decides by, or null. */
interface MethodEntry {
  readonly method: Method
  readonly by: string | null
  readonly moments?: string
}

const settingsSchema = v.object({
  methods: v.pipe(
    v.array(
      v.pipe(
        v.object({ method: methodSchema, by: v.nullable(v.string()), moments: v.optional(v.string()) }),
        v.check(({ method: { planner, criterion } }) => {
          const isScored = needs(planner, 'continuation') || needs(planner, 'prompt-loss')
          return !isScored || criteria.some(({ name }) => name === criterion)
        }, 'a criterion that there is'),
        v.check(
          ({ method, by }) => (by !== null) === learns(method),
          'a file for a method that decides by one, and none for another',
        ),
        v.check(
          ({ method, moments }) => (moments !== undefined) === readsMoments(method),
          'moments for a method that reads them, and none for another',
        ),
      ),
    ),
    v.minLength(1, 'one method or more'),
  ),
  mode: v.picklist(maskModes),
  compared: v.optional(v.boolean()),
  seeds: v.array(seedNumber),
})

/** The files that methods decide by, each read when it is first asked for; `dispose` frees what was read. */
function openMethodFiles(
  entries: readonly MethodEntry[],
  read: JobContext['read'],
  model: LanguageModel,
): { inputsOf: (method: Method) => Promise<MethodInputs>; dispose: () => Promise<void> } {
  const fileOf = new Map(entries.map((entry) => [entry.method, entry]))
  const held = new Map<string, Promise<HeldMoments>>()
  const openMoments = (name: string): Promise<HeldMoments> =>
    remembered(held, name, async () => parseHeld(await read(name), model))
  const predictors = new Map<string, Promise<Predictor>>()
  const openPredictor = async (by: string, method: Method): Promise<Predictor> => {
    const predictor = await parsePredictor(await read(by), model.backend)
    try {
      const kind = predictorKindOf(method.planner)
      if (predictor.kind !== kind)
        throw refusal('SHARD_FORMAT', 'job predictor', `one of the kind ${kind}`, predictor.kind)
      checkPredictor(predictor, model.config, `job predictor ${kind}`)
      return predictor
    } catch (error) {
      predictor.dispose()
      throw error
    }
  }
  return {
    async inputsOf(method) {
      const { by = null, moments: name } = fileOf.get(method) ?? {}
      const moments = name === undefined ? undefined : await openMoments(name)
      if (by === null) return { moments }
      if (needs(method.planner, 'calibration'))
        return { mean: await parseUnits(await read(by), model.shape), moments }
      return { predictor: await remembered(predictors, by, () => openPredictor(by, method)), moments }
    },
    async dispose() {
      for (const opening of predictors.values()) (await opening.catch(() => null))?.dispose()
    },
  }
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

/** The limits of a model on windows. */
type Limits = Pick<ModelConfig, 'vocabulary' | 'positions'>
type UnseededText = Omit<EvaluatedText, 'seed'>

/** Parses texts. @throws InputError SHARD_FORMAT, JSON_* for anything that a model of these limits cannot score */
export function parseTexts(bytes: Uint8Array, { vocabulary, positions }: Limits): UnseededText[] {
  const windowSchema = v.pipe(
    v.strictTuple([
      count(1),
      count(0),
      v.pipe(
        v.array(wholeNumber(0, vocabulary - 1)),
        // The last token is scored and never fed.
        v.maxLength(positions + 1, `at most ${positions + 1} tokens`),
      ),
    ]),
    v.check(([promptLength, , tokens]) => promptLength < tokens.length, 'more tokens than the prompt has'),
    v.transform(([promptLength, words, tokens]): ScoredText => {
      return { tokens: Int32Array.from(tokens), promptLength, words }
    }),
  )
  const textSchema = v.pipe(
    v.strictTuple([count(0), v.boolean(), v.array(windowSchema)]),
    v.check(([known, , windows]) => known < windows.length, 'the number of a window, and windows'),
    v.transform(([known, denseOnly, windows]): UnseededText => {
      return { windows, known, ...(denseOnly && { denseOnly }) }
    }),
  )
  const json = toPlain(parseJson(bytes, 'job texts', { numbers: 'integers' }))
  return checkSchema(v.array(textSchema), json, about('job texts'))
}

/**
 * Scores as bytes.
 * @param scores by method, text and window
 * @throws InputError LIKELIHOOD for one that is not finite, which JSON has no word for
 */
export function encodeScores(
  scores: readonly (readonly (readonly MethodScore[])[])[],
): Uint8Array<ArrayBuffer> {
  const wrong = scores.flat(2).find(({ nll }) => !Number.isFinite(nll))
  if (wrong !== undefined)
    throw refusal('LIKELIHOOD', 'scores', 'finite log-likelihoods of the model', String(wrong.nll))
  return new TextEncoder().encode(JSON.stringify(scores))
}

/**
 * Parses scores.
 * @param layers L of the model
 * @param compared whether each is compared with dense logits
 * @throws InputError SHARD_FORMAT, JSON_* for anything but scores of these texts under these methods
 */
export function parseScores(
  bytes: Uint8Array,
  { methods, texts }: EvaluateJob,
  layers: number,
  compared = false,
): MethodScore[][][] {
  const shares = { heads: share, neurons: share, weights: share, channels: v.optional(share) }
  const achieved = v.object({
    ...shares,
    layers: v.pipe(v.array(v.object(shares)), v.length(layers, `a list of ${layers}`)),
  })
  const score = ({ tokens, promptLength, words }: ScoredText): v.GenericSchema<unknown, MethodScore> => {
    const scored = tokens.length - promptLength
    const cost = { nll: v.number(), tokens: v.literal(scored), words: v.literal(words), achieved }
    if (!compared) return v.object(cost)
    return v.object({
      ...cost,
      kl: v.number(),
      agreed: wholeNumber(0, scored),
      firstDifference: v.nullable(wholeNumber(0, scored - 1)),
      decisions: v.optional(count(0)),
    })
  }
  const table = v.strictTuple(
    methods.map((method) =>
      v.strictTuple(texts.map((text) => v.strictTuple(windowsUnder(text, method).map(score)))),
    ),
  )
  return checkSchema(table, toPlain(parseJson(bytes, 'scores')), about('scores'))
}
