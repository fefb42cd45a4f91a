/**
 * Questions and answers of choice tasks as bytes: what a shard of them is given, and what comes back.
 *
 * Where a question is from, and what it is like, is left out: equal questions have equal bytes, and an answer depends on
 * nothing else. Both are read as what anybody may have written.
 */
import { canonicalJson } from '../../io/canonical_json.ts'
import { describeJson, parseJson, toPlain, type JsonValue } from '../../io/json.ts'
import { refusal } from '../../io/refusal.ts'
import type { Sparsity } from '../../masks/achieved.ts'
import type { OptConfig } from '../../engine/config.ts'
import { isObject } from '../../tensor/arguments.ts'
import type { AskedTokens, Request } from '../../data/tasks/prompts.ts'
import type { Answer } from '../tasks/score.ts'

/** Questions as bytes: the same for equal questions. */
export function encodeQuestions(questions: readonly AskedTokens[]): Uint8Array<ArrayBuffer> {
  const list = (requests: readonly Request[]): unknown[] =>
    requests.map(({ tokens, promptLength }) => [promptLength, [...tokens]])
  const rows = questions.map(({ requests, alone, lengths, gold }) => [
    gold,
    lengths,
    list(requests),
    alone ? list(alone) : null,
  ])
  return new TextEncoder().encode(canonicalJson(rows))
}

/** What a model takes. */
type Limits = Pick<OptConfig, 'vocabulary' | 'positions'>

/** The questions of such bytes. @throws InputError SHARD_FORMAT, JSON_* for anything that a model of these limits cannot be asked */
export function parseQuestions(bytes: Uint8Array, limits: Limits): AskedTokens[] {
  const json = parseJson(bytes, 'shard questions', { numbers: 'integers' })
  if (!Array.isArray(json)) throw refusal('SHARD_FORMAT', 'shard questions', 'a list', describeJson(json))
  return json.map((row, i) => parseQuestion(row, limits, `shard question ${i}`))
}

function parseQuestion(row: JsonValue, limits: Limits, subject: string): AskedTokens {
  const [gold, lengths, ownRequests, ownAlone] = Array.isArray(row) && row.length === 4 ? row : []
  const requests = parseRequests(ownRequests, limits)
  const alone = ownAlone === null ? undefined : parseRequests(ownAlone, limits)
  const isWhole =
    requests !== null &&
    alone !== null &&
    requests.length === (alone ?? requests).length &&
    typeof gold === 'number' &&
    gold < requests.length &&
    Array.isArray(lengths) &&
    lengths.length === requests.length &&
    lengths.every((length) => typeof length === 'number')
  if (isWhole) return { requests, ...(alone && { alone }), lengths: lengths as number[], gold }
  const expected = `the right answer, lengths, requests of at most ${limits.positions + 1} of ${limits.vocabulary} tokens`
  throw refusal('SHARD_FORMAT', subject, expected, 'something else')
}

/** Null for what are no requests. */
function parseRequests(json: JsonValue | undefined, { vocabulary, positions }: Limits): Request[] | null {
  if (!Array.isArray(json)) return null
  const requests: Request[] = []
  for (const pair of json) {
    const [promptLength, list] = Array.isArray(pair) && pair.length === 2 ? pair : []
    const tokens = Array.isArray(list) ? list : []
    const isRequest =
      typeof promptLength === 'number' &&
      promptLength >= 1 &&
      promptLength < tokens.length &&
      // The last token is scored and never fed.
      tokens.length <= positions + 1 &&
      tokens.every((id) => typeof id === 'number' && id < vocabulary)
    if (!isRequest) return null
    requests.push({ tokens: Int32Array.from(tokens as number[]), promptLength })
  }
  return requests
}

/**
 * Answers as bytes: for each question, those of every row.
 * @throws InputError LIKELIHOOD for one that is not finite, which JSON has no word for
 */
export function encodeAnswers(answers: readonly (readonly Answer[])[]): Uint8Array<ArrayBuffer> {
  const wrong = answers
    .flat()
    .flatMap(({ logLikelihoods }) => logLikelihoods)
    .find((value) => !Number.isFinite(value))
  if (wrong !== undefined)
    throw refusal('LIKELIHOOD', 'answers', 'finite log-likelihoods of the model', String(wrong))
  return new TextEncoder().encode(JSON.stringify(answers))
}

/** What answers are to. */
export interface AnswersExpected {
  readonly questions: readonly AskedTokens[]
  /** How many configurations were asked. */
  readonly rows: number
  /** L of the model. */
  readonly layers: number
}

/** The answers of such bytes. @throws InputError SHARD_FORMAT, JSON_* for anything but answers to these questions */
export function parseAnswers(
  bytes: Uint8Array,
  { questions, rows, layers }: AnswersExpected,
): readonly Answer[][] {
  const answers = toPlain(parseJson(bytes, 'answers'))
  const isColumn = (column: unknown, i: number): boolean =>
    Array.isArray(column) &&
    column.length === rows &&
    column.every((answer) => isAnswer(answer, questions[i], layers))
  if (Array.isArray(answers) && answers.length === questions.length && answers.every(isColumn))
    return answers as Answer[][]
  const expected = `those to ${questions.length} questions under ${rows} configurations`
  throw refusal('SHARD_FORMAT', 'answers', expected, 'others')
}

function isAnswer(value: unknown, { requests, alone, gold }: AskedTokens, layers: number): boolean {
  if (!isObject(value)) return false
  const { logLikelihoods, chosen, gold: itsGold, achieved } = value as Partial<Answer>
  const isChoice = (choice: unknown): boolean =>
    Number.isInteger(choice) && Number(choice) >= 0 && Number(choice) < requests.length
  return (
    itsGold === gold &&
    Array.isArray(logLikelihoods) &&
    logLikelihoods.length === requests.length &&
    logLikelihoods.every((one) => typeof one === 'number') &&
    isObject(chosen) &&
    isChoice(chosen.acc) &&
    isChoice(chosen.acc_norm) &&
    (alone ? isChoice(chosen.acc_mutual_info) : chosen.acc_mutual_info === undefined) &&
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
