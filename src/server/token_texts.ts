/**
 * Tokens as text, for log-probabilities: how they are spelled, and where they begin in a text.
 *
 * A token whose bytes are whole characters is spelled as these; one that has a part of a character as its bytes,
 * `bytes:\xe2\x80`, as the OpenAI API does. Two tokens may be spelled alike (`A` and `<0x41>`): in a table by spelling the
 * likelier one has the spelling, and another one is `token_id:65`, so that none is lost.
 */
import { decodeUtf8 } from '../io/json.ts'
import type { TextStream, Tokenizer } from '../io/tokenizer.ts'
import type { LikelyToken, TokenScore } from './token_scores.ts'

/** How a token is spelled. */
export function spellToken(tokenizer: Tokenizer, id: number): string {
  const bytes = tokenizer.bytesOf(id)
  const text = decodeUtf8(bytes)
  if (text !== null) return text
  return `bytes:${Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}`
}

/** Log-probabilities by spelling; the likeliest come first. */
export function byText(tokenizer: Tokenizer, top: readonly LikelyToken[]): Record<string, number> {
  const table = new Map<string, number>()
  for (const { token, logprob } of top) {
    const text = spellToken(tokenizer, token)
    table.set(table.has(text) ? `token_id:${token}` : text, logprob)
  }
  return Object.fromEntries(table)
}

/** The log-probabilities of a completion, as the OpenAI API has them. */
export interface CompletionLogprobs {
  readonly tokens: string[]
  readonly token_logprobs: (number | null)[]
  readonly top_logprobs: (Record<string, number> | null)[]
  /** Where each token begins, in code points. */
  readonly text_offset: number[]
}

/** Tells the tokens of one text. */
export class CompletionTokens {
  readonly #tokenizer: Tokenizer
  readonly #decoder: TextStream
  #offset = 0

  /** @param continues whether a space that begins the text is part of it */
  constructor(tokenizer: Tokenizer, continues: boolean) {
    this.#tokenizer = tokenizer
    this.#decoder = tokenizer.stream({ continues })
  }

  /** The next tokens. */
  tell(scores: readonly TokenScore[]): CompletionLogprobs {
    const told: CompletionLogprobs = { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] }
    for (const { token, logprob, top } of scores) {
      told.tokens.push(spellToken(this.#tokenizer, token))
      told.token_logprobs.push(logprob)
      told.top_logprobs.push(top && byText(this.#tokenizer, top))
      told.text_offset.push(this.#offset)
      for (const _ of this.#decoder.push(token)) this.#offset++
    }
    return told
  }
}

interface ChatToken {
  readonly token: string
  readonly logprob: number
  readonly bytes: number[]
}

/** The log-probabilities of an answer to a chat. */
export interface ChatLogprobs {
  readonly content: (ChatToken & { readonly top_logprobs: ChatToken[] })[]
  readonly refusal: null
}

/** Tells the tokens of an answer. @param count how many of the likeliest were asked for */
export function chatTokens(tokenizer: Tokenizer, scores: readonly TokenScore[], count: number): ChatLogprobs {
  const tell = ({ token, logprob }: { token: number; logprob: number | null }): ChatToken => ({
    token: spellToken(tokenizer, token),
    logprob: logprob as number,
    bytes: [...tokenizer.bytesOf(token)],
  })
  const content = scores.map((score) => ({
    ...tell(score),
    top_logprobs: (score.top ?? []).slice(0, count).map(tell),
  }))
  return { content, refusal: null }
}
