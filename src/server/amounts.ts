/**
 * How much a request may bring: one table of limits, and the refusal of more.
 *
 * Everything is counted before work is done with it. A field of a body that holds text or a list names its limit in its schema
 * (requests.ts).
 */
import type { Tokenizer } from '../io/tokenizer.ts'
import { MAX_ANSWER } from '../library/options.ts'
import { RequestError, type RefusalStatus } from './request_error.ts'

/** A limit. */
interface Amount {
  readonly most: number
  /** What is counted. */
  readonly unit: string
  readonly code: string
  readonly status: RefusalStatus
}

/** The limits of a request. */
export const amounts = {
  bytes: { most: 2 ** 22, unit: 'bytes', code: 'BODY_SIZE', status: 413 },
  /** Lists and objects of a body: a chat has one for each message, or two with its parts. */
  containers: { most: 2 ** 16, unit: 'lists and objects', code: 'JSON_LIMIT', status: 400 },
  /** Lists and objects in each other. */
  depth: { most: 16, unit: 'levels', code: 'JSON_DEPTH', status: 400 },
  messages: { most: 2 ** 13, unit: 'messages', code: 'MESSAGES', status: 400 },
  /** Texts that are written: prompts times `n`. */
  texts: { most: 128, unit: 'texts', code: 'CHOICES', status: 400 },
  /** UTF-16 units of one text that becomes tokens. One word of so many takes 65 MB. */
  characters: { most: 2 ** 18, unit: 'characters', code: 'TEXT_LENGTH', status: 400 },
  /** Ids of one list that becomes text. */
  ids: { most: 2 ** 18, unit: 'ids', code: 'TOKENS', status: 400 },
  /** The likeliest tokens told at each place. */
  likeliest: { most: 20, unit: 'tokens', code: 'FIELD', status: 400 },
  /** Log-probabilities of an answer, which then has some 50 MB. */
  scores: { most: 2 ** 20, unit: 'log-probabilities in an answer', code: 'SCORES', status: 400 },
  stops: { most: 16, unit: 'texts', code: 'FIELD', status: 400 },
  /** UTF-16 units of a stop text. */
  stop: { most: 1024, unit: 'characters', code: 'FIELD', status: 400 },
} as const satisfies Readonly<Record<string, Amount>>
export type AmountName = keyof typeof amounts

/** The most bytes of all bodies that a server holds at a time, until they have been read. */
export const MAX_BODIES = 2 ** 26
/** The largest body that is read on the thread that answers, if no template is rendered for it. */
export const READ_AT_ONCE = 2 ** 12
/** The largest body that is read before longer ones. */
export const READ_SOON = 2 ** 14
/** The heap of a thread that reads bodies, beside that of its tokenizer, in MiB. */
export const READER_HEAP = 128

/** Counts what a request brings. @param option the field, if it is one's. @throws RequestError with the code of the limit for more */
export function expectAmount(name: AmountName, subject: string, count: number, option?: string): void {
  const { most, unit, code, status } = amounts[name]
  if (count > most)
    throw new RequestError(status, code, `${subject}: expected at most ${most} ${unit}, got ${count}`, {
      option,
    })
}

/**
 * Counts the log-probabilities of an answer.
 * @param tokens that are echoed or written, of all texts
 * @param likeliest how many of the likeliest each has beside its own; null for no log-probabilities
 * @throws RequestError SCORES
 */
export function expectFewScores(tokens: number, likeliest: number | null): void {
  if (likeliest !== null) expectAmount('scores', 'logprobs', tokens * (likeliest + 1), 'logprobs')
}

/** How many characters the normal form C can make one of: U+1F82 is a letter with three marks. */
const COMPOSED = 4

/** The most characters of a text that can fit the positions of a model: each holds the longest token. */
export function charactersThatFit(positions: number, tokenizer: Tokenizer): number {
  let longest = 1
  for (let id = 0; id < tokenizer.vocabularySize; id++)
    longest = Math.max(longest, tokenizer.bytesOf(id).length)
  return COMPOSED * longest * positions
}

/** The most tokens where a request does not say: of a completion as the OpenAI API has them, of a chat as the library. */
export const usualTokens = { completion: 16, chat: MAX_ANSWER } as const
