/**
 * What a model thinks before it answers: the tokens from `<think>` to `</think>`, which Qwen3, SmolLM3, DeepSeek and others write.
 *
 * They are told by the ids of special tokens, which no message becomes; a tokenizer without them thinks nothing. A template may
 * have opened or closed the thinking at the end of the prompt.
 */
import type { Tokenizer } from './tokenizer.ts'

/** A part of an answer: one of the two is empty. */
export interface AnswerPart {
  readonly thinking: string
  readonly text: string
}

/** Tells thinking and answer apart, token by token. */
export class ThinkingSplitter {
  readonly #open: number | null
  readonly #close: number | null
  #isOn: boolean
  /** Whether line breaks are dropped until a text comes: those after a mark belong to it. */
  #trims: boolean

  /** @param prompt its ids */
  constructor(tokenizer: Pick<Tokenizer, 'idOf' | 'specialSpellings'>, prompt: ArrayLike<number>) {
    const { specialSpellings } = tokenizer
    const idOf = (mark: string): number | null =>
      specialSpellings.includes(mark) ? tokenizer.idOf(mark) : null
    this.#open = idOf('<think>')
    this.#close = idOf('</think>')
    const last = (id: number | null): number =>
      id === null ? -1 : Array.prototype.lastIndexOf.call(prompt, id)
    this.#isOn = last(this.#open) > last(this.#close)
    this.#trims = this.#isOn
  }

  /** Whether the tokens to come are thought. */
  get isOn(): boolean {
    return this.#isOn
  }

  /** @param text what the token adds, without the spelling of special tokens */
  take(token: number, text: string): AnswerPart {
    const wasOn = this.#isOn
    const isMark = token === this.#open || token === this.#close
    const kept = this.#trims ? text.replace(/^\n+/, '') : text
    if (isMark) this.#isOn = token === this.#open
    this.#trims = isMark || (this.#trims && kept === '')
    return wasOn ? { thinking: kept, text: '' } : { thinking: '', text: kept }
  }
}
