/**
 * Questions and answers of choice tasks as bytes: what a shard of them is given, and what comes back.
 *
 * Where a question is from, and what it is like, is left out: equal questions have equal bytes, and an answer depends on
 * nothing else. Both are read as what anybody may have written.
 */
import * as v from 'valibot'
import { canonicalJson } from '../../io/canonical_json.ts'
import { parseJson, toPlain } from '../../io/json.ts'
import { refusal } from '../../io/refusal.ts'
import { checkSchema, numberBetween, wholeNumber } from '../../io/schema.ts'
import type { OptConfig } from '../../engine/config.ts'
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

const requestSchema = ({ vocabulary, positions }: Limits): v.GenericSchema<unknown, Request> =>
  v.pipe(
    v.strictTuple([
      wholeNumber(1, positions),
      // The last token is scored and never fed.
      v.pipe(
        v.array(wholeNumber(0, vocabulary - 1)),
        v.maxLength(positions + 1, `at most ${positions + 1} tokens`),
      ),
    ]),
    v.check(([promptLength, tokens]) => promptLength < tokens.length, 'more tokens than the prompt has'),
    v.transform(([promptLength, tokens]) => ({ tokens: Int32Array.from(tokens), promptLength })),
  )

const questionSchema = (limits: Limits): v.GenericSchema<unknown, AskedTokens> => {
  const whole = wholeNumber(0, Number.MAX_SAFE_INTEGER)
  const requests = v.array(requestSchema(limits))
  return v.pipe(
    v.strictTuple([whole, v.array(whole), requests, v.nullable(requests)]),
    v.check(
      ([gold, lengths, requests, alone]) =>
        gold < requests.length &&
        lengths.length === requests.length &&
        (alone ?? requests).length === requests.length,
      'the right answer, and as many lengths as requests',
    ),
    v.transform(([gold, lengths, requests, alone]) => ({
      requests,
      ...(alone && { alone }),
      lengths,
      gold,
    })),
  )
}

/** The questions of such bytes. @throws InputError SHARD_FORMAT, JSON_* for anything that a model of these limits cannot be asked */
export function parseQuestions(bytes: Uint8Array, limits: Limits): AskedTokens[] {
  const json = parseJson(bytes, 'shard questions', { numbers: 'integers' })
  const about = { code: 'SHARD_FORMAT', subject: 'shard questions' }
  return checkSchema(v.array(questionSchema(limits)), toPlain(json), about)
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

const sparsity = {
  heads: numberBetween(0, 1),
  neurons: numberBetween(0, 1),
  weights: numberBetween(0, 1),
}

const answerSchema = (
  { requests, alone, gold }: AskedTokens,
  layers: number,
): v.GenericSchema<unknown, Answer> => {
  const choice = wholeNumber(0, requests.length - 1)
  const chosen = { acc: choice, acc_norm: choice }
  return v.object({
    logLikelihoods: v.pipe(v.array(v.number()), v.length(requests.length, `${requests.length} values`)),
    chosen: alone ? v.strictObject({ ...chosen, acc_mutual_info: choice }) : v.strictObject(chosen),
    gold: v.literal(gold),
    achieved: v.object({
      ...sparsity,
      layers: v.pipe(v.array(v.object(sparsity)), v.length(layers, `${layers} layers`)),
    }),
  })
}

/** The answers of such bytes. @throws InputError SHARD_FORMAT, JSON_* for anything but answers to these questions */
export function parseAnswers(
  bytes: Uint8Array,
  { questions, rows, layers }: AnswersExpected,
): readonly Answer[][] {
  const answersTo = (question: AskedTokens): v.GenericSchema<unknown, Answer[]> =>
    v.pipe(v.array(answerSchema(question, layers)), v.length(rows, `${rows} answers`))
  const about = { code: 'SHARD_FORMAT', subject: 'answers' }
  const json = toPlain(parseJson(bytes, 'answers'))
  return checkSchema(v.strictTuple(questions.map(answersTo)), json, about)
}
