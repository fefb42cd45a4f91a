/**
 * Texts and their scores as bytes: what an evaluation job is given, and what comes back. Both are untrusted: anybody may
 * have written them.
 *
 * A window is scored from the end of its prompt, and compared with no dense logits. Where a text is from, and what it is
 * like, is left out: equal texts have equal bytes, and a score depends on nothing else.
 */
import { canonicalJson } from '../../io/canonical_json.ts'
import { describeJson, parseJson, toPlain, type JsonValue } from '../../io/json.ts'
import { refusal } from '../../io/refusal.ts'
import type { Sparsity } from '../../masks/achieved.ts'
import type { OptConfig } from '../../engine/config.ts'
import { isObject } from '../../tensor/arguments.ts'
import type { Method } from '../method.ts'
import type { ScoredText } from '../score_window.ts'
import { windowsUnder, type EvaluatedText, type MethodScore } from '../window_evaluator.ts'

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

/** What was scored. */
export interface ScoredJob {
  readonly methods: readonly Method[]
  readonly texts: readonly UnseededText[]
}

/**
 * The scores of such bytes.
 * @param layers L of the model
 * @throws InputError SHARD_FORMAT, JSON_* for anything but scores of these texts under these methods
 */
export function parseScores(
  bytes: Uint8Array,
  { methods, texts }: ScoredJob,
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
