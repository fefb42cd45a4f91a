/**
 * Answers in the form of the OpenAI API, whole and as streams: of completions and of chats.
 */
import type { TextRun } from '../engine/generate.ts'
import type { Sparsity } from '../masks/achieved.ts'
import type { Tokenizer } from '../io/tokenizer.ts'
import type { Piece } from './writer.ts'
import { CompletionTokens, chatTokens, type CompletionLogprobs } from './token_texts.ts'
import type { TokenScore } from './token_scores.ts'

/** How one text ended. */
export interface ChoiceEnd extends TextRun {
  readonly end: 'stop' | 'length'
  /** The shares that the last mask skips, also where it only drafts what is checked dense; zeros if dense. */
  readonly skipped: Sparsity
  /** By which the text can be written again. */
  readonly seed: number
}

/** The cost of a request. */
export interface Usage {
  readonly prompt_tokens: number
  readonly completion_tokens: number
  readonly total_tokens: number
  /** Tokens of prompts that earlier texts had read. */
  readonly prompt_tokens_details: { readonly cached_tokens: number }
}

/** The common part of an answer and of each event of a stream. */
export interface AnswerHead {
  readonly id: string
  readonly created: number
  readonly model: string
}

/** Makes the answers of one request. */
export interface AnswerForm {
  /** Before the name of an answer. */
  readonly prefix: 'cmpl' | 'chatcmpl'
  /** What an answer is that is no stream. */
  readonly object: 'text_completion' | 'chat.completion'
  /** A text of it. @param index its place */
  whole(index: number, choice: WholeChoice): object
  /** The event of a piece; null if it has nothing to tell. @param choice its index */
  piece(head: AnswerHead, choice: number, piece: Piece, isFirst: boolean): object | null
  /** The event of the end of a text. */
  end(head: AnswerHead, choice: number, end: ChoiceEnd): object
  /** The event of the usage. */
  usage(head: AnswerHead, usage: Usage): object
}

/** A text with its end. */
type WholeChoice = ChoiceEnd & Piece

/** How log-probabilities are told. */
export interface FormOptions {
  readonly tokenizer: Tokenizer
  /** How many of the likeliest tokens; null for no log-probabilities. */
  readonly likeliest: number | null
  /** Whether a space that begins a text is part of it. */
  readonly continues: boolean
}

const endOf = ({ end, skipped, decisions, checked, seed }: ChoiceEnd): object => {
  const { heads, neurons, weights } = skipped
  return {
    finish_reason: end,
    seed,
    skipped: { heads, neurons, weights },
    decisions,
    ...(checked && { checked }),
  }
}

/** Answers of `/v1/completions`. */
export function completionForm({ tokenizer, likeliest, continues }: FormOptions): AnswerForm {
  const object = 'text_completion'
  const tellers = new Map<number, CompletionTokens>()
  const logprobs = (choice: number, scores: readonly TokenScore[]): CompletionLogprobs | null => {
    if (likeliest === null) return null
    const teller = tellers.get(choice) ?? new CompletionTokens(tokenizer, continues)
    tellers.set(choice, teller)
    return teller.tell(scores)
  }
  return {
    prefix: 'cmpl',
    object,
    whole: (index, choice) => ({
      index,
      text: choice.text,
      logprobs: logprobs(index, choice.scores),
      ...endOf(choice),
    }),
    piece: (head, index, { text, scores }) =>
      text === '' && scores.length === 0
        ? null
        : {
            ...head,
            object,
            choices: [{ index, text, logprobs: logprobs(index, scores), finish_reason: null }],
          },
    end: (head, index, end) => ({
      ...head,
      object,
      choices: [{ index, text: '', logprobs: null, ...endOf(end) }],
    }),
    usage: (head, usage) => ({ ...head, object, choices: [], usage }),
  }
}

/** What the model thought, in the field that vLLM and DeepSeek have for it; none of models that do not think. */
function reasoningOf({ thinking }: Pick<Piece, 'thinking'>): { readonly reasoning_content?: string } {
  return thinking === '' ? {} : { reasoning_content: thinking }
}

/** Answers of `/v1/chat/completions`. */
export function chatForm({ tokenizer, likeliest }: FormOptions): AnswerForm {
  const object = 'chat.completion.chunk'
  const logprobs = (scores: readonly TokenScore[]): object | null =>
    likeliest === null ? null : chatTokens(tokenizer, scores, likeliest)
  return {
    prefix: 'chatcmpl',
    object: 'chat.completion',
    whole: (index, choice) => ({
      index,
      message: { role: 'assistant', content: choice.text, ...reasoningOf(choice), refusal: null },
      logprobs: logprobs(choice.scores),
      ...endOf(choice),
    }),
    piece: (head, index, { text, thinking, scores }, isFirst) =>
      text === '' && thinking === '' && scores.length === 0 && !isFirst
        ? null
        : {
            ...head,
            object,
            choices: [
              {
                index,
                delta: {
                  ...(isFirst && { role: 'assistant' }),
                  ...reasoningOf({ thinking }),
                  ...((text !== '' || thinking === '') && { content: text }),
                },
                logprobs: logprobs(scores),
                finish_reason: null,
              },
            ],
          },
    end: (head, index, end) => ({
      ...head,
      object,
      choices: [{ index, delta: {}, logprobs: null, ...endOf(end) }],
    }),
    usage: (head, usage) => ({ ...head, object, choices: [], usage }),
  }
}
