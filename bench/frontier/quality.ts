/**
 * What each arm of the peers' bench costs: how far its distributions of the next token are from those of dense float32, over
 * windows of a text.
 *
 * Every engine reads a window in one call, with the cache that it is timed with. What is left out is the same in all windows:
 * the units with the lowest mean plainact in float32, over other windows of the text. The timed arms leave out as many,
 * chosen by a predictor for each prompt.
 */
import { ScoreAggregate } from '../../src/calibration/aggregate.ts'
import { readWikitext } from '../../src/data/wikitext.ts'
import { compensationBy } from '../../src/compensation/compensate.ts'
import type { HeldMoments } from '../../src/compensation/held_moments.ts'
import { openMoments, type MomentsOrigin } from '../../src/compensation/moments_file.ts'
import { holdMoments } from '../../src/compensation/open_moments.ts'
import type { LanguageModel } from '../../src/engine/language_model.ts'
import type { Storage } from '../../src/engine/storages/index.ts'
import { logitsDivergence } from '../../src/engine/divergence.ts'
import { achievedBy } from '../../src/masks/achieved.ts'
import { openModelFolder } from '../../src/io/load.ts'
import type { Sparsity } from '../../src/masks/achieved.ts'
import type { Compensation } from '../../src/masks/compensation.ts'
import { makeBudget } from '../../src/masks/budget.ts'
import type { UnitMask } from '../../src/masks/mask.ts'
import { selectMask, type UnitScores } from '../../src/masks/selection.ts'
import { fileNameOf, sha256File } from '../../src/platform/platform.ts'
import { scoreText } from '../../src/planners/prompt_plainact.ts'
import { makeProvenance, modelSource, type Provenance } from '../../src/results/provenance.ts'
import { ratioOf } from '../../src/results/ratio.ts'
import { MissingError, UsageError } from '../../src/tensor/errors.ts'
import { describeLlama, llamaArms, loadLlama } from '../peers/llama_cpp.ts'
import type { Subject } from '../peers/models.ts'
import { load, ourArms } from '../peers/our_arms.ts'

/** Tokens of a window. */
const WINDOW = 256
/** Distributions are compared after every so many tokens: llama.cpp takes longer to hand one over than to compute it. */
const STEP = 4

/** A mean over tokens, and its standard error over windows. */
interface Mean {
  readonly value: number
  readonly error: number
}

/** The cost of an arm. */
export interface ArmQuality {
  readonly arm: string
  /** The arm whose speed it has, if that has another name: least squares in place of zeros cost a token no time. */
  readonly timedAs?: string
  readonly engine: string
  /** A storage of this project, or the peer's own word. */
  readonly weights: string
  /** Shares that its mask leaves out of the whole model, layer 0 included. */
  readonly skipped: Sparsity
  /** KL(dense float32 || this) of the next token, in nats. */
  readonly kl: Mean
  /** The share of places where the likeliest next token is that of dense float32. */
  readonly agreement: Mean
}

/** A file of moments. */
interface MomentsFile extends Pick<MomentsOrigin, 'windows' | 'tokens'> {
  readonly name: string
  readonly hash: string
}

/** The costs of all arms. */
export interface Quality {
  readonly provenance: Provenance
  readonly peers: string
  /** Windows that are scored, as many that are calibrated on, their tokens, and the places compared in each. */
  readonly windows: number
  readonly calibrated: number
  readonly tokens: number
  readonly places: number
  /** The files of moments that compensate; absent without. */
  readonly moments?: readonly MomentsFile[]
  readonly arms: readonly ArmQuality[]
}

/** What is measured, of which model, on which text. */
export interface QualityOptions {
  readonly subject: Subject
  /** The model's own file, which has its tokenizer. */
  readonly modelFile: string
  /** WikiText, raw or parquet. */
  readonly text: string
  /** Windows that are scored. */
  readonly windows: number
  /** Files of moments, of other texts: those of several are mixed. With them every mask is measured with least squares too. */
  readonly moments: readonly string[]
  /** The command, without paths. */
  readonly argv: readonly string[]
  readonly tell: (text: string) => Promise<void>
}

/** A way to read a window: the logits, but for a constant, after every STEP tokens. */
interface Reader {
  readonly about: Omit<ArmQuality, 'kl' | 'agreement'>
  readonly read: (tokens: Int32Array) => Float32Array[] | Promise<Float32Array[]>
}

/**
 * Measures every arm of one thread.
 * @throws MissingError PEERS_MISSING without llama.cpp, TOKENIZER_MISSING; UsageError WINDOWS; InputError those of
 *   `readWikitext`
 */
export async function measureQuality(options: QualityOptions): Promise<Quality> {
  const { subject, modelFile, text, windows: count, moments, argv, tell } = options
  const peers = await describeLlama()
  const { scored, calibrated } = await windowsOf(modelFile, text, count)
  const { backend, model } = await load(subject, 'F32', 'f32', 1)
  const provenance = await makeProvenance({
    backend,
    model: modelSource(subject.name, await sha256File(modelFile)),
    data: { name: fileNameOf(text), hash: await sha256File(text) },
    seed: 0,
    argv,
  })
  await tell(`calibrating on ${calibrated.length} windows`)
  const scores = meanScores(model, calibrated)
  await tell('loading')
  const held =
    moments.length > 0 ? await holdMoments(model, { calibration: null, files: moments }, 'static') : null
  const readers = [...(await ourReaders(subject, model, scores, held)), ...(await llamaReaders(subject))]
  const found = readers.map(() => ({ kl: [] as number[], agreed: [] as number[] }))
  for (const [i, tokens] of scored.entries()) {
    await tell(`window ${i + 1} of ${scored.length}`)
    const exact = logitsOf(model, tokens, null)
    for (const [j, { about, read }] of readers.entries()) {
      const { kl, agreed } = compare(exact, about.weights === 'f32' ? exact : await read(tokens))
      found[j].kl.push(kl)
      found[j].agreed.push(agreed)
    }
  }
  backend.dispose()
  const places = scored.map(() => WINDOW / STEP)
  const arms = readers.map(({ about }, j): ArmQuality => ({
    ...about,
    kl: ratioOf(found[j].kl, places),
    agreement: ratioOf(found[j].agreed, places),
  }))
  const sizes = {
    windows: scored.length,
    calibrated: calibrated.length,
    tokens: WINDOW,
    places: WINDOW / STEP,
    ...(held && { moments: await Promise.all(moments.map(describeMoments)) }),
  }
  return { provenance, peers, ...sizes, arms }
}

async function describeMoments(path: string): Promise<MomentsFile> {
  const moments = await openMoments(path)
  const { windows, tokens } = moments.origin
  await moments.close()
  return { name: fileNameOf(path), hash: await sha256File(path), windows, tokens }
}

/** Windows spread evenly over a text, by turns to be scored and to be calibrated on. */
async function windowsOf(
  modelFile: string,
  path: string,
  count: number,
): Promise<{ readonly scored: Int32Array[]; readonly calibrated: Int32Array[] }> {
  const { tokenizer, source } = await openModelFolder(modelFile)
  await source.close()
  if (!tokenizer)
    throw new MissingError('TOKENIZER_MISSING', `${fileNameOf(modelFile)}: expected a tokenizer, got none`)
  const { stream } = await readWikitext(path)
  const ids = Int32Array.from(tokenizer.encode(stream, { prefix: false }))
  const step = Math.floor(ids.length / (2 * count))
  if (step < WINDOW)
    throw new UsageError(
      'WINDOWS',
      `--windows: expected at most ${Math.floor(ids.length / (2 * WINDOW))} of this text, got ${count}`,
    )
  const windows = Array.from({ length: 2 * count }, (_, i) => ids.slice(i * step, i * step + WINDOW))
  return {
    scored: windows.filter((_, i) => i % 2 === 0),
    calibrated: windows.filter((_, i) => i % 2 === 1),
  }
}

/** The mean plainact of every unit, each window scored by its own loss. */
function meanScores(model: LanguageModel, windows: readonly Int32Array[]): UnitScores {
  const sum = new ScoreAggregate()
  for (const tokens of windows) sum.add(scoreText(model, tokens, tokens))
  return sum.finish()
}

/**
 * Our arms; those of one storage share a model. Nothing of them is freed before the process ends. With moments, what skips units is
 * read with least squares too: then the units of each layer that least can be recovered of are kept.
 */
async function ourReaders(
  subject: Subject,
  exact: LanguageModel,
  scores: UnitScores,
  moments: HeldMoments | null,
): Promise<Reader[]> {
  const readers: Reader[] = []
  for (const group of Map.groupBy(ourArms(subject, 1), ({ weights }) => weights).values()) {
    const [{ weights: storage, format }] = group
    const model = storage === 'f32' ? exact : (await load(subject, format, storage as Storage, 1)).model
    for (const { name: arm, engine, weights, sparsity, headSparsity = sparsity } of group) {
      const add = (
        named: Pick<ArmQuality, 'arm' | 'timedAs'>,
        mask: UnitMask | null,
        by: Compensation | null,
      ): void => {
        const { heads, neurons, weights: numbers } = achievedBy(mask, subject.config)
        const about = { ...named, engine, weights, skipped: { heads, neurons, weights: numbers } }
        readers.push({ about, read: (tokens) => logitsOf(model, tokens, mask, by) })
      }
      const budget = { headSparsity }
      add({ arm }, sparsity === 0 ? null : selectMask(scores, makeBudget(sparsity, budget)), null)
      if (moments && sparsity > 0)
        add(
          { arm: `${arm}, least squares`, timedAs: arm },
          selectMask(moments.worths, makeBudget(sparsity, { ...budget, scope: 'per-layer' })),
          compensationBy(moments, { by: 'least-squares' }),
        )
    }
  }
  return readers
}

async function llamaReaders(subject: Subject): Promise<Reader[]> {
  const readers: Reader[] = []
  for (const { name: arm, engine, weights, format } of llamaArms(subject, 1)) {
    // A context that is full with the last token is shifted before that is read.
    const decoder = await loadLlama(await subject.file(format), subject.config.vocabulary, 1, 2 * WINDOW)
    const skipped = { heads: 0, neurons: 0, weights: 0 }
    readers.push({
      about: { arm, engine, weights, skipped },
      read: (tokens) => decoder.every(STEP, tokens),
    })
  }
  return readers
}

function logitsOf(
  model: LanguageModel,
  tokens: Int32Array,
  mask: UnitMask | null,
  compensation: Compensation | null = null,
): Float32Array[] {
  const { vocabulary: V } = model.config
  const sequence = model.begin({ mask, compensation, capacity: tokens.length })
  try {
    const logits = sequence.feed(tokens, 'all')
    return Array.from({ length: tokens.length / STEP }, (_, i) => {
      const at = ((i + 1) * STEP - 1) * V
      return logits.slice(at, at + V)
    })
  } finally {
    sequence.dispose()
  }
}

/** KL(exact || got) summed over places, and at how many of them the likeliest tokens are the same. */
function compare(exact: readonly Float32Array[], got: readonly Float32Array[]) {
  let kl = 0
  let agreed = 0
  for (const [i, logits] of exact.entries()) {
    kl += logitsDivergence(logits, got[i])
    if (largest(logits) === largest(got[i])) agreed++
  }
  return { kl, agreed }
}

/** The index of the largest number, the first of equals. */
function largest(values: Float32Array): number {
  let best = 0
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i
  return best
}
