/**
 * Perplexity of a text, both ways, dense and under masks: per word of its pages as lm-evaluation-harness counts, and per
 * token of its stream as Hugging Face's guide does (windows.ts). Numbers of the two are never comparable.
 *
 * A planner sees the first `prompt` tokens of each window, and only what comes after them is scored - in every row, so
 * that all score the same. A page's words and bytes are shared evenly among its tokens: where all of them are scored,
 * that is the harness's own count. `whole` has the dense numbers over everything, as others publish them.
 *
 * A leaky planner sees all that is fed; then everything is scored.
 */
import { achievedBy, type AchievedSparsity } from '../masks/achieved.ts'
import type { Scope } from '../masks/budget.ts'
import type { MaskPlanner, Prefill } from '../masks/planner.ts'
import { modeOption } from '../engine/active_layer.ts'
import type { SequenceOptions } from '../engine/sequence.ts'
import type { Storage } from '../engine/storages/index.ts'
import { cacheOption, defaultCache, type CacheStorage } from '../engine/layer_cache.ts'
import { now } from '../platform/platform.ts'
import { UsageError } from '../tensor/errors.ts'
import {
  checkOptions,
  expectListener,
  kinds,
  listOption,
  nameOption,
  required,
  seedOption,
  type Kinds,
} from '../tensor/option.ts'
import { Random } from '../tensor/random.ts'
import { pause } from '../platform/pause.ts'
import { evaluate } from './evaluate.ts'
import {
  inputsFrom,
  isPlannerObject,
  measuredMethodsOption,
  methodRow,
  prefillOf,
  sourcesOption,
  type Method,
  type MethodRow,
  type MethodSources,
} from '../results/method.ts'
import {
  hashFiles,
  hashTexts,
  makeProvenance,
  measuredFields,
  modelSource,
  type MeasuredModel,
  type Provenance,
} from '../results/provenance.ts'
import { DenseLogits, readLogits, type ComparedCost } from './score_window.ts'
import { perplexityOf, Tally, type Measured, type UnitCost } from './tally.ts'
import type { MethodScore } from './window_evaluator.ts'
import { expectText, textOption, type PagedText } from '../data/texts.ts'
import { pageWindows, streamWindows, withPrefix, type TextWindow } from '../data/windows.ts'

export const protocols = ['page', 'stream'] as const
/** Per word of a page, or per token of the stream. */
export type Protocol = (typeof protocols)[number]

export const prefixes = ['start', 'window', 'none'] as const
/** Where the stream has the tokens that the model expects before a text: at its start, at that of every window, or nowhere. */
export type Prefix = (typeof prefixes)[number]

/** A text, and how it is measured. */
export interface TextPerplexityOptions extends MeasuredModel, Pick<SequenceOptions, 'mode'> {
  /** The text, as one stream and as pages; a text without pages may be given as it is. */
  readonly text: PagedText | string
  /**
   * A table row each, dense first: methods of `makeMethod` or `compareMethods`, and planner objects as `generate` takes them, whose row has
   * the planner's own name.
   */
  readonly methods: readonly (Method | MaskPlanner)[]
  /** The inputs of planners. */
  readonly sources?: MethodSources
  /** Default: both; the stream alone of a text without pages. */
  readonly protocols?: readonly Protocol[]
  /** How many tokens a window has; default the model's context. */
  readonly context?: number
  /** How many windows of each protocol are read, spread evenly over the text; default all. */
  readonly windows?: number
  /** Of the stream's windows; default `context`. */
  readonly stride?: number
  /** Default: start, as Hugging Face's tokenizers do; none for a model that expects nothing before a text. */
  readonly prefix?: Prefix
  /** How many tokens planners see; default a quarter of the context, at most 128. */
  readonly prompt?: number
  /**
   * The storage of keys and values in every row; the dense logits that rows are compared with have `f32`. Default: `int8` if
   * weights are int8, else `f32`.
   */
  readonly cache?: CacheStorage
  /** Of random masks; default 0. */
  readonly seed?: number
}

const perplexityFields: Kinds<TextPerplexityOptions> = {
  ...measuredFields,
  text: required(textOption),
  methods: required(measuredMethodsOption),
  sources: sourcesOption,
  protocols: listOption(`a list of ${protocols.join(', ')}`, nameOption('OPTION_TYPE', protocols)),
  context: { ...kinds.number, code: 'CONTEXT_LENGTH' },
  windows: { ...kinds.number, code: 'WINDOWS' },
  stride: { ...kinds.number, code: 'STRIDE' },
  prefix: nameOption('OPTION_TYPE', prefixes),
  prompt: { ...kinds.number, code: 'PROMPT' },
  mode: modeOption,
  cache: cacheOption,
  seed: seedOption,
}

/** Perplexities with their standard errors. What was not measured is null. */
export interface Perplexities {
  /** Of the stream. */
  readonly tokenPerplexity: number | null
  readonly tokenPerplexityError: number | null
  /** Of the pages. */
  readonly wordPerplexity: number | null
  readonly wordPerplexityError: number | null
  readonly bytePerplexity: number | null
  readonly bitsPerByte: number | null
}

/** One method or planner object. */
export interface TextPerplexityRow extends Perplexities, Pick<MethodRow, 'criterion'> {
  /** The name of the planner. */
  readonly planner: string
  /**
   * Whether the planner is an object that the caller gave. Its name is the caller's own: it says nothing of how the planner decides, and the
   * row cannot be made again by it.
   */
  readonly isGiven?: true
  /** Null for a planner object, which decides that itself. */
  readonly scope: Scope | null
  /** The share that was asked for, `achieved` what was skipped; null for a planner object, which is asked for none. */
  readonly sparsity: number | null
  readonly leaky: boolean
  /** Whether the prompt ran dense, or under the mask. */
  readonly prefill: Prefill
  readonly seed: number
  /** The skipped shares of the whole model and of each layer, dense layers included, averaged over windows. */
  readonly achieved: AchievedSparsity
  /** How many times a mask was decided, averaged over windows. */
  readonly decisions: number
  /** KL(dense over an f32 cache || this) in nats per token; of the stream, or of the pages if they alone were read. */
  readonly klPerToken: number
  readonly klPerTokenError: number | null
  /** Share of tokens whose likeliest successor is the dense one. */
  readonly agreement: number
  /** Which scored token is the first where it is not, counted from 0 through the text; null if none is. */
  readonly firstDifference: number | null
  /** By how much `klPerToken` is more than that of static at the same sparsity; null where there is no such row. */
  readonly klOverStatic: Measured | null
  /** Of each window of the stream or each page, so that rows of several reports on one text can be compared window by window. */
  readonly units: readonly UnitCost[]
}

/** The dense model on everything, the way others publish it. */
export interface WholeText extends Perplexities {
  /** Tokens scored in the stream and in the pages. */
  readonly streamTokens: number
  readonly pageTokens: number
}

/** The results, of a finished run or of a stopped one. */
export interface TextPerplexityReport {
  readonly rows: readonly TextPerplexityRow[]
  readonly whole: WholeText
  readonly text: {
    readonly name: string
    readonly pages: number
    readonly words: number
    readonly bytes: number
  }
  readonly protocol: {
    readonly context: number
    readonly stride: number | null
    readonly prefix: Prefix | null
    /** The storage of the model's matrices. */
    readonly storage: Storage
    /** The storage of keys and values in the rows. */
    readonly cache: CacheStorage
    /** Null where nothing was planned, or a planner saw everything. */
    readonly prompt: number | null
    /** Windows that every row has scored. */
    readonly windows: Readonly<Partial<Record<Protocol, number>>>
  }
  readonly provenance: Provenance
  /** False if the run was stopped; the rows then cover the windows that all of them have scored. */
  readonly complete: boolean
  readonly seconds: number
}

/** The progress of a run: windows that are done, of how many, and the tokens in all of them, each of which every row reads. */
export type TextProgress = (protocol: Protocol, done: number, total: number, tokens: number) => void

/**
 * Measures how well a model predicts a text, dense and under each of `methods`: perplexity, KL to the dense model, and the share that was
 * skipped, a row for each, as `shadowllm perplexity` does. `compareMethods` makes methods of planners by name; a planner of your own stands
 * in the list itself. For one number of the dense model there is `ShadowModel.perplexity`.
 * @param signal stops it; what was finished is reported
 * @param onProgress is called before the first window of a protocol and after each
 * @throws UsageError CONTEXT_LENGTH for a `context` that is no whole number from 2 to the model's positions; WINDOWS for fewer than one window;
 *   PROMPT for a `prompt` that leaves no token of the context, or of any window, to score; STRIDE for a `stride` below 1, or longer than what a window adds;
 *   OPTIONS, OPTION_NAME, OPTION_TYPE for other names or types; InputError TEXT_EMPTY for an empty text; what planners throw
 * @example
 * ```ts
 * import { makeBudget, randomPlanner, ShadowModel, type MaskPlanner } from 'shadowllm'
 * import { compareMethods, textPerplexity } from 'shadowllm/eval'
 *
 * const opt = await ShadowModel.fromPretrained()
 * // A planner of your own is any object of this type; this one changes the name of another.
 * const mine: MaskPlanner = { ...randomPlanner(opt.model.shape, makeBudget(0.25), 1), name: 'mine' }
 * const methods = [...compareMethods(opt.model, { planners: ['griffin'], sparsities: [0.5] }), mine]
 * const text = 'Once upon a time, there was a little dog who liked to play in the park. '.repeat(20)
 * const { rows } = await textPerplexity({ ...opt.measured, text, methods, context: 64, windows: 2 })
 * for (const { planner, tokenPerplexity, klPerToken } of rows)
 *   console.log(planner, tokenPerplexity?.toFixed(2), klPerToken.toFixed(2))
 * await opt.dispose()
 * ```
 */
export async function textPerplexity(
  options: TextPerplexityOptions,
  onProgress: TextProgress = () => {},
  signal?: AbortSignal,
): Promise<TextPerplexityReport> {
  checkOptions(options, perplexityFields)
  expectListener(onProgress, signal)
  const started = now()
  const settings = withDefaults(options)
  const usual = settings.text.pages.length > 0 ? protocols : (['stream'] as const)
  const parts = protocols
    .filter((protocol) => (options.protocols ?? usual).includes(protocol))
    .map((protocol) => makePart(protocol, settings))
  expectScored(parts, settings)
  let complete = false
  try {
    for (const part of parts) await readPart(part, settings, onProgress, signal)
    complete = true
  } catch (error) {
    if (!signal?.aborted || error !== signal.reason) throw error
  }
  const report = await makeReport(parts, settings)
  return { ...report, complete, seconds: (now() - started) / 1000 }
}

/** Options with their defaults. */
interface PerplexitySettings extends TextPerplexityOptions {
  readonly text: PagedText
  readonly context: number
  readonly stride: number
  readonly prefix: Prefix
  readonly cache: CacheStorage
  readonly seed: number
  /** How many tokens planners see; null where everything is scored. */
  readonly seen: number | null
}

/** @throws UsageError PROMPT, CONTEXT_LENGTH, WINDOWS; InputError TEXT_EMPTY */
function withDefaults(options: TextPerplexityOptions): PerplexitySettings {
  const { model, methods } = options
  const { positions } = model.config
  const { context = positions, windows } = options
  if (!(Number.isInteger(context) && context >= 2 && context <= positions))
    throw new UsageError('CONTEXT_LENGTH', `context: expected 2 to ${positions} tokens, got ${context}`)
  if (windows !== undefined && !(Number.isInteger(windows) && windows >= 1))
    throw new UsageError('WINDOWS', `windows: expected at least 1, got ${windows}`)
  const { prompt = Math.max(1, Math.min(128, context >> 2)), seed = 0, prefixIds } = options
  const prefix = prefixIds.length > 0 ? (options.prefix ?? 'start') : 'none'
  if (!(prompt >= 1 && prompt < context))
    throw new UsageError('PROMPT', `prompt: expected 1 to ${context - 1} tokens, got ${prompt}`)
  const text =
    typeof options.text === 'string' ? { name: 'text', pages: [], stream: options.text } : options.text
  if (text.pages.length === 0) expectText(text.name, [{ text: text.stream }])
  return {
    ...options,
    text,
    context,
    prefix,
    seed,
    stride: options.stride ?? context - (prefix === 'window' ? prefixIds.length : 0),
    cache: options.cache ?? defaultCache(model.weights.storage),
    seen: methods.some(isPlanned) && !methods.some(({ leaky }) => leaky) ? prompt : null,
  }
}

/** Whether a planner is shown the prompt. */
function isPlanned(method: Method | MaskPlanner): boolean {
  return isPlannerObject(method) || method.planner !== 'dense'
}

/** The windows of one protocol, and what each row has scored in them. */
interface Part {
  readonly protocol: Protocol
  readonly windows: readonly (TextWindow & { readonly unit: number })[]
  /** Tokens of each unit. */
  readonly sizes: readonly number[]
  readonly rows: readonly Tally[]
  readonly whole: Tally
  done: number
}

/** Encodes and cuts. @throws UsageError STRIDE */
function makePart(protocol: Protocol, settings: PerplexitySettings): Part {
  const { text, encode, model, methods, stride, prefix, prefixIds } = settings
  const { context } = settings
  const { bosId } = model.config
  const ids = (part: string): Int32Array => Int32Array.from(encode(part))
  const pages = protocol === 'page' ? text.pages.map((page) => ids(page.text)) : []
  const cutStream = (): TextWindow[] => {
    const stream = withPrefix(prefix === 'start' ? prefixIds : [], ids(text.stream))
    return streamWindows(stream, context, stride, prefix === 'window' ? prefixIds : [])
  }
  const windows =
    protocol === 'page'
      ? pages.flatMap((page, unit) =>
          pageWindows(page, context, bosId).map((window) => ({ ...window, unit })),
        )
      : cutStream().map((window, unit) => ({ ...window, unit }))
  return {
    protocol,
    windows: spreadEvenly(windows, settings.windows ?? windows.length),
    sizes: pages.map((page) => page.length),
    rows: methods.map(() => new Tally()),
    whole: new Tally(),
    done: 0,
  }
}

/** Refuses windows of which planners are shown every token, so that none is left to score. @throws UsageError PROMPT */
function expectScored(parts: readonly Part[], { seen }: PerplexitySettings): void {
  const windows = parts.flatMap((part) => part.windows)
  if (seen === null || windows.some(({ from, tokens }) => Math.max(from, seen) < tokens.length)) return
  const longest = Math.max(0, ...windows.map(({ tokens }) => tokens.length))
  throw new UsageError(
    'PROMPT',
    `prompt: expected fewer tokens than the longest window of the text has, which are ${longest}, got ${seen}`,
    { option: 'prompt' },
  )
}

/** So many of a list, at equal distances; all if there are no more. */
function spreadEvenly<T>(list: readonly T[], count: number): readonly T[] {
  if (count >= list.length) return list
  return Array.from({ length: count }, (_, i) => list[Math.floor(((i + 0.5) * list.length) / count)])
}

/** Scores every row on every window. */
async function readPart(
  part: Part,
  settings: PerplexitySettings,
  tell: TextProgress,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { model, mode, methods, sources = {}, cache, seen } = settings
  const { config } = model
  const options = { inputsOf: inputsFrom(sources), mode, cache, signal }
  const seeds = new Random(settings.seed)
  const count = part.windows.reduce((sum, { tokens }) => sum + tokens.length, 0)
  const progress = (): void => tell(part.protocol, part.done, part.windows.length, count)
  progress()
  for (const { tokens, from, unit } of part.windows) {
    const seed = seeds.uint32()
    await pause(signal)
    const read = readLogits(model, { tokens, promptLength: from, words: 0 }, { cache: 'f32' })
    const dense = new DenseLogits(read, tokens, config.vocabulary)
    const prompt = seen ?? from
    const start = Math.max(from, prompt)
    const scores: MethodScore[] = []
    if (start < tokens.length) {
      const window = { tokens, promptLength: Math.min(prompt, start), start, words: 0 }
      for await (const [[score]] of evaluate(model, methods, [{ windows: [window], seed, dense }], options))
        scores.push(score)
    }
    // Counted only now, when every row has its score.
    part.whole.add(unit, dense.scoreFrom(from), achievedBy(read.mask, config))
    // Beside dense logits, each of them is compared.
    scores.forEach((score, i) => part.rows[i].add(unit, score as MethodScore & ComparedCost, score.achieved))
    part.done++
    progress()
  }
}

async function makeReport(
  parts: readonly Part[],
  settings: PerplexitySettings,
): Promise<Omit<TextPerplexityReport, 'complete' | 'seconds'>> {
  const { model, modelName, modelFiles, modelOrigin, text, methods, seed, argv = [] } = settings
  const page = parts.find(({ protocol }) => protocol === 'page')
  const stream = parts.find(({ protocol }) => protocol === 'stream')
  const sum = (kind: 'words' | 'bytes'): number => text.pages.reduce((total, one) => total + one[kind], 0)
  const numbersOf = (tallyOf: (part: Part) => Tally): Perplexities =>
    perplexities(page && tallyOf(page), stream && tallyOf(stream), page?.sizes ?? [], text)
  return {
    rows: methods.flatMap((method, i): TextPerplexityRow[] => {
      // A row that has scored nothing is left out.
      const measured = parts.findLast(({ rows }) => rows[i].tokens > 0)
      if (!measured) return []
      const main = measured.rows[i]
      const peer = methods.findIndex(
        (one) =>
          !isPlannerObject(one) &&
          !isPlannerObject(method) &&
          one.planner === 'static' &&
          one.sparsity === method.sparsity,
      )
      const { tokenPerplexityError, wordPerplexityError, ...numbers } = numbersOf(({ rows }) => rows[i])
      return [
        {
          ...(isPlannerObject(method) ? plannerRow(method) : methodRow(method)),
          leaky: method.leaky ?? false,
          prefill: prefillOf(method),
          seed,
          achieved: main.achieved,
          decisions: main.decisions,
          ...numbers,
          tokenPerplexityError,
          wordPerplexityError,
          klPerToken: main.kl.value,
          klPerTokenError: main.kl.error,
          agreement: main.agreement,
          firstDifference: main.firstDifference,
          klOverStatic: peer === -1 || peer === i ? null : main.klOver(measured.rows[peer]),
          units: main.units,
        },
      ]
    }),
    whole: {
      ...numbersOf(({ whole }) => whole),
      streamTokens: stream?.whole.tokens ?? 0,
      pageTokens: page?.whole.tokens ?? 0,
    },
    text: { name: text.name, pages: text.pages.length, words: sum('words'), bytes: sum('bytes') },
    protocol: {
      context: settings.context,
      stride: stream ? settings.stride : null,
      prefix: stream ? settings.prefix : null,
      storage: model.weights.storage,
      cache: settings.cache,
      prompt: settings.seen,
      windows: Object.fromEntries(parts.map(({ protocol, done }) => [protocol, done])),
    },
    provenance: await makeProvenance({
      backend: model.backend,
      model: modelSource(modelName, await hashFiles(modelFiles), modelOrigin),
      data: {
        name: text.name,
        hash: await hashTexts(text.pages.length > 0 ? text.pages : [{ name: text.name, text: text.stream }]),
      },
      seed,
      argv,
    }),
  }
}

/** The first cells of the row of a planner object. */
function plannerRow({
  name,
}: MaskPlanner): Pick<TextPerplexityRow, 'planner' | 'isGiven' | 'criterion' | 'scope' | 'sparsity'> {
  return { planner: name, isGiven: true, criterion: 'none', scope: null, sparsity: null }
}

/** Perplexities of what was scored. @param sizes tokens of each page */
function perplexities(
  page: Tally | undefined,
  stream: Tally | undefined,
  sizes: readonly number[],
  { pages }: PagedText,
): Perplexities {
  const per = (kind: 'words' | 'bytes') => (unit: number) => pages[unit][kind] / sizes[unit]
  const nothing = { value: null, error: null }
  const word = page?.tokens ? perplexityOf(page.natsPer(per('words'))) : nothing
  const token = stream?.tokens ? perplexityOf(stream.natsPer()) : nothing
  const nats = page?.tokens ? page.natsPer(per('bytes')).value : null
  return {
    tokenPerplexity: token.value,
    tokenPerplexityError: token.error,
    wordPerplexity: word.value,
    wordPerplexityError: word.error,
    bytePerplexity: nats === null ? null : Math.exp(nats),
    bitsPerByte: nats === null ? null : nats / Math.LN2,
  }
}
