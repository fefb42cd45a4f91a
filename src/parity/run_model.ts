/**
 * `parity run`, the whole model: the same weights in two backends, on cases drawn from a seed.
 *
 *   tensors   everything a parity file has: logits, activations, gradients, criteria, and logits under a mask
 *   masks     half of the units by plainact, ranked by each backend itself
 *   greedy    sixteen tokens after a prompt, dense and under that mask
 *
 * A backend that owes bits must have the reference's numbers. One that does not is held to the bounds of kinds.ts: it ranks
 * the reference's scores, since near scores may change places, and its text may part from the reference's only where two
 * tokens were as near as the bound on logits.
 */
import { makeBudget } from '../masks/budget.ts'
import type { UnitMask } from '../masks/mask.ts'
import { backendTopK, referenceTopK, selectMask, type UnitScores } from '../masks/selection.ts'
import { generateTokens } from '../engine/generate.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import { NOT_SCORED } from '../ops/cross_entropy.ts'
import { now } from '../platform/platform.ts'
import { checkOptions, expectOption, kinds, required, seedOption, type Kinds } from '../tensor/option.ts'
import { Random } from '../tensor/random.ts'
import { checkParity, type ParityReport, type ParityTensor } from './check.ts'
import { exportParity } from './export.ts'
import type { ParityCases } from './files.ts'
import { kindOf } from './kinds.ts'

/** Something that holds or does not, besides tensors. */
export interface ModelCheck {
  readonly name: 'masks' | 'greedy dense' | 'greedy sparse'
  readonly passed: boolean
  /** What was compared, and where it parted. */
  readonly detail: string
}

/** What was found of a model. */
export interface ModelOutcome {
  readonly passed: boolean
  readonly report: ParityReport
  readonly checks: readonly ModelCheck[]
  /** All of it, in the backend and in the reference. */
  readonly milliseconds: number
  readonly referenceMilliseconds: number
}

/** How a model is run, and what watches it. */
export interface RunModelOptions {
  /** Draws the cases. */
  readonly seed: number
  /** Whether the backend owes the reference's bits. */
  readonly strict: boolean
  /** Ends the work; the call then throws its reason. */
  readonly signal?: AbortSignal
  /** Called before each of the steps and at the end. */
  readonly onProgress?: (done: number, total: number, what: string) => void
}

const runFields: Kinds<RunModelOptions> = {
  seed: required(seedOption),
  strict: required(kinds.flag),
  signal: kinds.signal,
  onProgress: kinds.call,
}

/** Tokens of the longer of two sequences, and how many the other has less; tokens written after a prompt. */
const LENGTH = 24
const PADDING = 7
const WRITTEN = 16

/**
 * Judges a backend on a whole model: compares forward passes, gradients and texts with the same model in the reference backend.
 * `makeCertificate` takes the outcome.
 * @param reference the same weights in the backend `reference`
 * @throws UsageError OPTIONS, OPTION_NAME, OPTION_TYPE, SEED for arguments of other names or types; the signal's reason
 */
export async function runModel(
  model: LanguageModel,
  reference: LanguageModel,
  options: RunModelOptions,
): Promise<ModelOutcome> {
  for (const [name, one] of Object.entries({ model, reference })) expectOption(name, one, kinds.model)
  checkOptions(options, runFields)
  const tell = (done: number, what: string): void => options.onProgress?.(done, 3, what)
  const cases = drawCases(reference, options.seed)
  tell(0, 'reference')
  const expected = await runOne(reference, cases, null, options)
  tell(1, model.backend.name)
  const actual = await runOne(model, cases, options.strict ? null : expected, options)
  tell(2, 'comparison')
  const report = checkParity(expected.tensors, actual.tensors, options.strict ? 0 : null)
  const checks: ModelCheck[] = [
    compareMasks(expected.chosen, actual.chosen),
    compareTexts('greedy dense', expected.dense, actual.dense, options.strict),
    compareTexts('greedy sparse', expected.sparse, actual.sparse, options.strict),
  ]
  tell(3, 'done')
  return {
    passed: report.passed && checks.every(({ passed }) => passed),
    report,
    checks,
    milliseconds: actual.milliseconds,
    referenceMilliseconds: expected.milliseconds,
  }
}

/** Two sequences of random ids, the second padded on the left; every token but the first of each is scored. */
function drawCases(model: LanguageModel, seed: number): ParityCases {
  const { vocabulary, positions } = model.config
  const random = new Random(seed)
  const T = Math.max(2, Math.min(LENGTH, positions - WRITTEN))
  const padding = Math.min(PADDING, T - 2)
  const inputIds = Int32Array.from({ length: 2 * T }, () => random.below(vocabulary))
  const attentionMask = new Int32Array(2 * T).fill(1).fill(0, T, T + padding)
  const labels = inputIds.map((id, i) => (i === 0 || (i >= T && i <= T + padding) ? NOT_SCORED : id))
  return { B: 2, T, inputIds, attentionMask, labels, headMask: null, ffnMask: null }
}

/** What one backend makes of the cases. */
interface ModelRun {
  readonly tensors: Map<string, ParityTensor>
  readonly scores: UnitScores
  /** What this backend chose. */
  readonly chosen: UnitMask
  readonly dense: Text
  readonly sparse: Text
  readonly milliseconds: number
}

/** Greedy tokens and what each was chosen from. */
interface Text {
  readonly tokens: readonly number[]
  readonly logits: readonly Float32Array[]
}

/** @param given a run whose scores are ranked and whose mask is used instead of this one's own */
async function runOne(
  model: LanguageModel,
  cases: ParityCases,
  given: ModelRun | null,
  { signal }: RunModelOptions,
): Promise<ModelRun> {
  const start = now()
  const tensors = asRead(await exportParity(model, cases, { signal }))
  const scores = given?.scores ?? scoresOf(model, tensors)
  const topK = model.backend.name === 'reference' ? referenceTopK : backendTopK(model.backend)
  const chosen = selectMask(scores, makeBudget(0.5), topK)
  const mask = given?.chosen ?? chosen
  const { layers, heads, neurons } = model.shape
  const masked: ParityCases = {
    ...cases,
    labels: null,
    headMask: { shape: [layers, heads], values: mask.heads },
    ffnMask: { shape: [layers, neurons], values: mask.neurons },
  }
  const underMask = asRead(await exportParity(model, masked, { signal }))
  tensors.set('masked.logits', underMask.get('masked.logits') as ParityTensor)
  const prompt = cases.inputIds.slice(0, cases.T)
  return {
    tensors,
    scores,
    chosen,
    dense: await write(model, prompt, null, signal),
    sparse: await write(model, prompt, mask, signal),
    milliseconds: now() - start,
  }
}

function asRead(written: Awaited<ReturnType<typeof exportParity>>): Map<string, ParityTensor> {
  return new Map(
    [...written].map(([name, { shape, data }]) => [name, { shape, values: data as Float32Array }]),
  )
}

function scoresOf(model: LanguageModel, tensors: ReadonlyMap<string, ParityTensor>): UnitScores {
  const table = (name: string): Float32Array => tensors.get(name)?.values as Float32Array
  return { shape: model.shape, heads: table('crit.plainact_head'), neurons: table('crit.plainact_ffn') }
}

async function write(
  model: LanguageModel,
  prompt: Int32Array,
  mask: UnitMask | null,
  signal: AbortSignal | undefined,
): Promise<Text> {
  const tokens: number[] = []
  const logits: Float32Array[] = []
  for await (const step of generateTokens(model, prompt, { maxTokens: WRITTEN, mask, stopIds: [], signal })) {
    tokens.push(step.token)
    logits.push(step.logits.slice())
  }
  return { tokens, logits }
}

function compareMasks(expected: UnitMask, actual: UnitMask): ModelCheck {
  const units = expected.heads.length + expected.neurons.length
  let differing = 0
  for (const kind of ['heads', 'neurons'] as const)
    expected[kind].forEach((kept, unit) => (differing += Number(actual[kind][unit] !== kept)))
  const detail = `${differing} of ${units} units chosen otherwise`
  return { name: 'masks', passed: differing === 0, detail }
}

/** Texts are equal; without bits, up to a step at which the reference had both tokens within twice the bound on logits. */
export function compareTexts(
  name: 'greedy dense' | 'greedy sparse',
  expected: Text,
  actual: Text,
  strict: boolean,
): ModelCheck {
  const step = expected.tokens.findIndex((token, i) => token !== actual.tokens[i])
  if (step < 0) return { name, passed: true, detail: `${expected.tokens.length} tokens equal` }
  const [token, other] = [expected.tokens[step], actual.tokens[step]]
  const logits = expected.logits[step]
  const margin = logits[token] - logits[other]
  const isTie = !strict && margin <= 2 * kindOf('logits').tolerance
  const detail = `token ${step} is ${other}, expected ${token}, whose logit is ${margin.toExponential(1)} higher`
  return { name, passed: isTie, detail: isTie ? `${detail}: a tie within tolerance` : detail }
}
