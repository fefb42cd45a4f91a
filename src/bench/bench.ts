/**
 * The bench: models in storages, planners at sparsities, tests. Everything measured of one model runs in the same
 * interleaved rounds, the speed of reading memory included. A bench that is stopped keeps what was measured.
 */
import type { Backend, BackendName } from '../backends/backend.ts'
import { backendOption, threadsOption } from '../backends/backend.ts'
import { createBackend } from '../backends/select.ts'
import type { UnitMask, UnitShape } from '../masks/mask.ts'
import type { TopK } from '../masks/selection.ts'
import { everyOption } from '../masks/planner.ts'
import { modeOption, type MaskMode } from '../engine/active_layer.ts'
import { cacheOption, type CacheStorage } from '../engine/layer_cache.ts'
import { checkOption } from '../engine/next_tokens.ts'
import { storageOption, type Storage } from '../engine/storages/index.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import type { PredictorKind } from '../predictor/predictor_config.ts'
import type { Predictor } from '../predictor/predictor_file.ts'
import { kindsNeeded, plannerOption, type PlannerName } from '../planners/index.ts'
import { predictorFor } from '../predictor/suitable.ts'
import { pause } from '../platform/pause.ts'
import { hashTexts, makeProvenance, modelSource, type Provenance } from '../results/provenance.ts'
import { interleave } from '../results/interleaved_rounds.ts'
import { sparsitiesOption } from '../results/method.ts'
import {
  checkOptions,
  expectListener,
  kinds,
  listOption,
  recordOption,
  required,
  seedOption,
  wholeOption,
  type Kinds,
} from '../tensor/option.ts'
import { benchMethods, planOf, type BenchInputs } from './methods.ts'
import { measureDepths, type DepthRow, type Depths } from './depths.ts'
import { Job, randomIds, type Threads } from './job.ts'
import { predictorBytes, randomPredictor } from './predictors.ts'
import { profileDecode, type Profile } from './profile.ts'
import { ReadSpeed } from './read_speed.ts'
import { rowsOf, type BenchRow } from './rows.ts'
import { loadSubject, type BenchSubject } from './subject.ts'
import { checkFits, parseTest, type BenchTest } from './tests.ts'

/** The options of a benchmark. */
export interface BenchOptions {
  readonly subjects: readonly BenchSubject[]
  readonly storages: readonly Storage[]
  /** The planners that are measured. */
  readonly planners: readonly PlannerName[]
  /** Shares of the ranked units that are skipped, from 0 to 1. */
  readonly sparsities: readonly number[]
  readonly tests: readonly BenchTest[]
  /** How often each is measured, in interleaved rounds. */
  readonly rounds: number
  /** What computes; each of several has its own rows. */
  readonly backends: readonly BackendName[]
  /** How many may compute; each of several has its own rows. */
  readonly threads: readonly Threads[]
  readonly mode: MaskMode
  /** The storage of keys and values; default `int8` with weights that round activations, else `f32`. */
  readonly cache?: CacheStorage
  /** When planners decide again; default: as each does by itself. */
  readonly every?: number | 'auto'
  /** Tokens from one dense check of what is generated to the next; default: none. */
  readonly check?: number
  /** Of random masks and prompts. */
  readonly seed: number
  /** Whether a device is handed launches that come again as graphs; default true. */
  readonly graphs?: boolean
  /** Whether to find out where the time of a token goes, too. */
  readonly profile: boolean
  /** Seconds for the speed at lengths of texts, for each model in each storage; 0 for none, which is the default. */
  readonly depthSeconds?: number
  /** A mask to replay, where there is one. */
  readonly readMask?: (shape: UnitShape) => Promise<UnitMask>
  /** The predictors that were made for a checkpoint, of all these kinds. */
  readonly readPredictors?: (model: LanguageModel, kinds: readonly PredictorKind[]) => Promise<Predictor[]>
  /** Bytes that are read to measure the speed of reading. */
  readonly readBytes?: number
}

const subjectOption = recordOption<Pick<BenchSubject, 'model' | 'config' | 'open' | 'hash'>>('a subject', {
  model: required(kinds.text),
  config: required(kinds.object),
  open: required(kinds.call),
  hash: required(kinds.call),
})
const testOption = recordOption<BenchTest>('a test of parseTest', {
  name: required(kinds.text),
  kind: required(kinds.text),
  tokens: required(kinds.number),
  context: required(kinds.number),
  keepsPrompt: required(kinds.flag),
})
const benchFields: Kinds<BenchOptions> = {
  subjects: required(listOption('a list of subjects of shapeSubject or checkpointSubject', subjectOption)),
  storages: required(listOption('a list of storages', storageOption, storageOption.code)),
  planners: required(listOption('a list of planners', plannerOption, plannerOption.code)),
  sparsities: required(sparsitiesOption),
  tests: required(listOption('a list of tests of parseTest', testOption)),
  rounds: required(wholeOption('OPTION_TYPE', 1)),
  backends: required(listOption('a list of backends', backendOption, backendOption.code)),
  threads: required(listOption('a list of numbers of threads', threadsOption, threadsOption.code)),
  mode: required(modeOption),
  cache: cacheOption,
  every: everyOption,
  check: checkOption,
  seed: required(seedOption),
  graphs: kinds.flag,
  profile: required(kinds.flag),
  depthSeconds: kinds.number,
  readMask: kinds.call,
  readPredictors: kinds.call,
  readBytes: wholeOption('OPTION_TYPE', 1),
}

/** How far the bench is. */
export interface BenchProgress {
  readonly stage: string
  readonly done: number
  readonly total: number
  readonly note?: string
}

/** What it is measured on, where that is not the processor. */
export interface BenchDevice {
  readonly name: string
  /** Whether launches that come again are graphs; null where the device has no clock that is asked. */
  readonly graphs: boolean | null
}

/** Where the time of one method goes. */
export interface MethodProfile
  extends Profile, Pick<BenchRow, 'model' | 'storage' | 'threadsAsked' | 'planner' | 'test'> {
  readonly requested: number | null
}

/** What is profiled where no test decodes. */
const USUAL_DECODING = 'tg32'

/** Turns of a profile, watched and not. */
const PROFILE_ROUNDS = 3

/**
 * A measurement of speed, as `shadowllm bench` makes it: prompts and decoding, for models, storages, planners and sparsities in turns.
 * `run` it; `rows` has what was measured, also while it runs and after it was stopped.
 * @example
 * ```ts
 * import { Bench, parseTest, shapeSubject } from 'shadowllm/eval'
 *
 * const bench = new Bench({
 *   subjects: [shapeSubject('opt-125m', { seed: 1, layers: 1 })],
 *   storages: ['f32'],
 *   planners: ['random'],
 *   sparsities: [0.5],
 *   tests: [parseTest('tg8')],
 *   rounds: 2,
 *   backends: ['wasm'],
 *   threads: [1],
 *   mode: 'auto',
 *   seed: 1,
 *   profile: false,
 * })
 * await bench.run()
 * for (const { planner, tokensPerSecond, timesDense } of bench.rows) console.log(planner, tokensPerSecond, timesDense)
 * ```
 */
export class Bench {
  /** What it is measured on; null where that is the processor, and before anything is loaded. */
  device: BenchDevice | null = null
  readonly profiles: MethodProfile[] = []
  readonly #depths: DepthRow[] = []
  readonly #leftOut = new Set<number>()
  readonly #options: BenchOptions
  readonly #onProgress: (progress: BenchProgress) => void
  readonly #signal: AbortSignal | undefined
  readonly #finished: BenchRow[] = []
  readonly #reads: number[] = []
  /** Of the subject that is being measured. */
  #jobs: Job[] = []
  #readsNow: number[] = []

  /**
   * @param options what is measured
   * @param onProgress is called before each measurement
   * @param signal ends the run before the next measurement
   * @throws UsageError OPTIONS, OPTION_NAME, OPTION_TYPE and the codes of options for options of other names or types
   */
  constructor(
    options: BenchOptions,
    onProgress: (progress: BenchProgress) => void = () => {},
    signal?: AbortSignal,
  ) {
    checkOptions(options, benchFields)
    expectListener(onProgress, signal)
    this.#options = options
    this.#onProgress = onProgress
    this.#signal = signal
  }

  /** The measurements so far. */
  get rows(): BenchRow[] {
    return [...this.#finished, ...this.#rowsNow()]
  }

  #rowsNow(): BenchRow[] {
    const measured = this.#jobs.map((job) => job.measured)
    return rowsOf(measured, this.#readsNow, this.#options)
  }

  /** The speed of the dense model by the length of its text. */
  get depths(): Depths {
    return { rows: this.#depths, leftOut: [...this.#leftOut].toSorted((a, b) => a - b) }
  }

  /** How fast memory was read, in bytes per second, a number per round. */
  get reads(): number[] {
    return [...this.#reads, ...this.#readsNow]
  }

  /**
   * Measures everything, one subject after the other.
   * @throws UsageError THREADS; MissingError THREADS_MISSING, PREDICTOR_MISSING, BACKEND_MISSING, BACKEND_MEMORY; UsageError
   *   CONTEXT_LENGTH, before anything is loaded where it can be known; the signal's reason; what reading files throws
   */
  async run(): Promise<void> {
    const { subjects, tests, readBytes } = this.#options
    for (const { config } of subjects) for (const test of tests) checkFits(test, config.positions)
    const speed = await ReadSpeed.open(readBytes)
    try {
      for (const subject of subjects) {
        await this.#measure(subject, speed)
        this.#finished.push(...this.#rowsNow())
        this.#reads.push(...this.#readsNow)
        this.#jobs = []
        this.#readsNow = []
      }
    } finally {
      speed.dispose()
    }
  }

  /** Where the numbers come from, of the first backend that was measured. @param argv the command line */
  async provenance(argv: readonly string[]): Promise<Provenance> {
    const { subjects, backends, seed } = this.#options
    const hashes: { name: string; text: string }[] = []
    for (const subject of subjects) hashes.push({ name: subject.model, text: await subject.hash() })
    const [{ text: only }] = hashes
    const [{ origin }] = subjects
    const names = hashes.map(({ name }) => name).join(', ')
    return makeProvenance({
      backend: { name: this.rows[0]?.backend ?? backends[0], device: this.device?.name },
      model: modelSource(names, hashes.length === 1 ? only : await hashTexts(hashes), origin),
      data: { name: 'random prompts', hash: await hashTexts([]) },
      seed,
      argv,
    })
  }

  async #measure(subject: BenchSubject, speed: ReadSpeed): Promise<void> {
    const held: { dispose(): void }[] = []
    try {
      const { storages, threads, backends } = this.#options
      for (const storage of storages)
        for (const count of threads)
          for (const name of backends) await this.#prepare(subject, storage, count, name, held)
      await this.#interleave(subject, speed)
      await this.#measureDepths(subject)
      if (this.#options.profile) await this.#profile(subject)
    } finally {
      for (const job of this.#jobs) job.dispose()
      for (const one of held.toReversed()) one.dispose()
    }
  }

  /** Loads a subject in one storage, for so many threads of a backend, and makes its jobs; the methods of a test stand side by side. */
  async #prepare(
    subject: BenchSubject,
    storage: Storage,
    threads: Threads,
    name: BackendName,
    held: { dispose(): void }[],
  ): Promise<void> {
    const {
      planners,
      sparsities,
      tests,
      readMask,
      mode,
      cache,
      every,
      check,
      seed,
      graphs = true,
    } = this.#options
    const { layers, heads, neurons } = subject.config
    const mask = readMask ? await readMask({ layers, heads, neurons }) : null
    const backend: Backend = await createBackend(name, { threads, graphs })
    held.push(backend)
    if (backend.device !== undefined)
      this.device = { name: backend.device, graphs: backend.deviceTime === undefined ? null : graphs }
    const model = await loadSubject(subject, storage, backend, {
      signal: this.#signal,
      onProgress: ({ loadedBytes: done, totalBytes: total }) =>
        this.#onProgress({ stage: `loading ${subject.shape}`, done, total }),
    })
    held.push(model)
    const predictors = await this.#predictors(subject, model)
    held.push(...predictors)
    const inputs: BenchInputs = { predictors, mask, mode, cache, check, seed }
    const checks = check !== undefined
    const methods = benchMethods({ planners, sparsities, hasMask: mask !== null, every, checks })
    for (const test of tests)
      for (const method of methods) {
        const predictor = method.planner === 'mask' ? undefined : predictorFor(method.planner, predictors)
        this.#jobs.push(
          new Job({
            subject,
            storage,
            threads,
            method,
            test,
            predictorBytes: predictor ? predictorBytes(predictor, storage) : 0,
            model,
            makePlan: (topK?: TopK) => planOf(method, model, { ...inputs, topK }),
            seed,
          }),
        )
      }
    this.#jobs = tests.flatMap((test) => this.#jobs.filter(({ parts }) => parts.test === test))
  }

  /** The predictors that the planners ask: from files beside a checkpoint, else random. */
  #predictors(subject: BenchSubject, model: LanguageModel): Promise<Predictor[]> | Predictor[] {
    const { planners, readPredictors, seed } = this.#options
    const kinds = kindsNeeded(planners)
    if (subject.weights === 'checkpoint') return readPredictors?.(model, kinds) ?? []
    const made: Predictor[] = []
    try {
      for (const kind of kinds)
        made.push(randomPredictor(kind, model.config, model.backend, model.weights.storage, seed))
      return made
    } catch (error) {
      for (const predictor of made) predictor.dispose()
      throw error
    }
  }

  async #interleave(subject: BenchSubject, speed: ReadSpeed): Promise<void> {
    const { rounds } = this.#options
    const turns = [
      { name: 'reading', run: async () => void this.#readsNow.push(speed.measure()) },
      ...this.#jobs.map((job) => ({ name: job.name, run: () => job.run(this.#signal) })),
    ]
    speed.measure()
    for (const [done, job] of this.#jobs.entries()) {
      this.#onProgress({ stage: `warming up ${subject.shape}`, done, total: this.#jobs.length })
      await pause(this.#signal)
      await job.warmUp(this.#signal)
    }
    await interleave(rounds, turns.length, async (turn, done) => {
      const { name, run } = turns[turn]
      this.#onProgress({ stage: subject.shape, done, total: rounds * turns.length, note: name })
      await pause(this.#signal)
      await run()
    })
  }

  /** Measures each model that was loaded at each length. */
  async #measureDepths(subject: BenchSubject): Promise<void> {
    const { tests, cache, seed, depthSeconds = 0 } = this.#options
    if (depthSeconds === 0) return
    const signal = this.#signal
    const models = this.#jobs.filter(
      ({ parts }) => parts.test === tests[0] && parts.method.planner === 'dense',
    )
    for (const { parts } of models) {
      const onLength = (length: number): void =>
        this.#onProgress({
          stage: `depths of ${subject.shape}`,
          done: length,
          total: subject.config.positions,
        })
      const milliseconds = 1000 * depthSeconds
      const found = measureDepths(parts.model, { cache, seed, milliseconds, onLength, signal })
      const about = { model: subject.model, storage: parts.storage, threadsAsked: parts.threads }
      let next = await found.next()
      for (; !next.done; next = await found.next()) this.#depths.push({ ...about, ...next.value })
      for (const length of next.value) this.#leftOut.add(length)
    }
  }

  /** Profiles every method under the first test that decodes. */
  async #profile(subject: BenchSubject): Promise<void> {
    const { tests, seed } = this.#options
    const test = tests.find(({ kind }) => kind === 'decode') ?? parseTest(USUAL_DECODING)
    const jobs = this.#jobs.filter(({ parts }) => parts.test === tests[0])
    // Frees what they kept open for their turns.
    for (const job of this.#jobs) job.dispose()
    for (const [done, { parts }] of jobs.entries()) {
      const { model, storage, threads: threadsAsked, method, makePlan } = parts
      this.#onProgress({ stage: `profiling ${subject.shape}`, done, total: jobs.length })
      await pause(this.#signal)
      const prompt = randomIds(test.context, model.config.vocabulary, seed)
      const sizes = { tokens: test.tokens, rounds: PROFILE_ROUNDS }
      const profile = await profileDecode(model, prompt, makePlan, sizes, this.#signal)
      const { planner, sparsity: requested } = method
      const about = { model: subject.model, storage, threadsAsked, planner, requested, test: test.name }
      this.profiles.push({ ...about, ...profile })
    }
  }
}
