/**
 * Reading a request: from the bytes of its body to what there is to compute, or to the whole answer where nothing is.
 *
 * Bodies are parsed and checked, templates rendered and texts made tokens here and nowhere else, on whichever thread
 * (readers.ts). So what a stranger sends is work of a thread that can be ended.
 */
import { chatPrompt, type ChatMessage } from '../io/chat_prompt.ts'
import type { ChatTemplate } from '../io/chat_template.ts'
import type { TemplateVariables } from '../io/template_variables.ts'
import type { Tokenizer } from '../io/tokenizer.ts'
import { expectMessages, expectTemplate } from '../library/options.ts'
import { describeJson } from '../io/json.ts'
import { UsageError } from '../tensor/errors.ts'
import { charactersThatFit, expectAmount, usualTokens } from './amounts.ts'
import { RequestError } from './request_error.ts'
import {
  labels,
  parseBody,
  type BodyName,
  type BodyOf,
  type ChatBody,
  type CommonBody,
  type CompletionBody,
} from './requests.ts'

/** What is known of the model. */
export interface ReadingModel {
  readonly tokenizer: Tokenizer
  readonly chatTemplate: ChatTemplate | null
  /** Variables of the template, unless a request has others. */
  readonly variables?: TemplateVariables
  /** How clients call it; the first is told. */
  readonly names: readonly string[]
  /** Rows of the embedding. */
  readonly vocabulary: number
  readonly positions: number
}

/** A prompt that fits the model. */
export interface ReadPrompt {
  readonly ids: Int32Array
  /** The prompt as text, if it is given back before the answer. */
  readonly echo: string | null
  /** Tokens that may follow. */
  readonly maxTokens: number
}

/** The fields of a body that decide how texts are written. */
export type Asked<Body> = Omit<
  Body,
  'prompt' | 'messages' | 'chat_template_kwargs' | 'model' | keyof typeof labels
>

/** A request as it has been read. */
export interface Reading {
  readonly completion: { readonly asked: Asked<CompletionBody>; readonly prompts: readonly ReadPrompt[] }
  readonly chat: { readonly asked: Asked<ChatBody>; readonly prompts: readonly ReadPrompt[] }
  /** The answer, as JSON. */
  readonly tokenize: Uint8Array
  readonly detokenize: Uint8Array
}

/** The fields of a body that are used. */
function withoutLabels<Body extends object>(body: Body): Omit<Body, keyof typeof labels> {
  const used = Object.entries(body).filter(([field]) => !Object.hasOwn(labels, field))
  return Object.fromEntries(used) as Omit<Body, keyof typeof labels>
}

/** Reads requests to one model. */
export class RequestReader {
  readonly #model: ReadingModel
  /** Characters of a text that can fit the model. */
  readonly #fitting: number

  constructor(model: ReadingModel) {
    this.#model = model
    this.#fitting = charactersThatFit(model.positions, model.tokenizer)
  }

  /**
   * Reads a request.
   * @param renders whether a template may be rendered here
   * @returns null for one that needs a template where none may be rendered
   * @throws as `parseBody`; UsageError and InputError for what the model does not take; RequestError MODEL, CHOICES, TEXT_LENGTH
   */
  read<Name extends BodyName>(name: Name, bytes: Uint8Array, renders: boolean): Reading[Name] | null {
    const readers: { readonly [Of in BodyName]: (body: BodyOf<Of>) => Reading[Of] | null } = {
      completion: (body) => this.#completion(body),
      chat: (body) => (renders ? this.#chat(body) : null),
      tokenize: (body) => (renders || !body.messages ? this.#tokenize(body) : null),
      detokenize: (body) => this.#detokenize(body),
    }
    return readers[name](parseBody(name, bytes))
  }

  #completion(body: CompletionBody): Reading['completion'] {
    const { tokenizer } = this.#model
    const { prompt, model, ...rest } = body
    const asked = withoutLabels(rest)
    const { echo, n, best_of: best, max_tokens: most } = asked
    if (best !== undefined && best !== null && best !== (n ?? 1))
      throw new UsageError('FIELD', `best_of: expected the value of n, got ${best}`, { option: 'best_of' })
    expectStream(asked)
    this.#expectModel(model)
    // A client that is given the prompt back counts the tokens that it sent.
    const prefix = body.add_special_tokens ?? !echo
    const given = promptsOf(prompt)
    expectAmount('texts', 'prompt and n', given.length * (n ?? 1), 'n')
    const prompts = given.map((one) => {
      if (typeof one === 'string') {
        this.#expectFits(one, 'prompt')
        return this.#prompt(
          tokenizer.encode(one, { prefix }),
          echo ? one : null,
          most,
          usualTokens.completion,
        )
      }
      return this.#prompt(one, echo ? (ids) => tokenizer.decode(ids) : null, most, usualTokens.completion)
    })
    return { asked, prompts }
  }

  #chat(body: ChatBody): Reading['chat'] {
    const { messages, model, chat_template_kwargs: variables, ...rest } = body
    const asked = withoutLabels(rest)
    const { max_tokens: old, max_completion_tokens: most } = asked
    if (typeof old === 'number' && typeof most === 'number' && old !== most)
      throw new UsageError(
        'FIELD',
        `max_tokens: expected none beside max_completion_tokens ${most}, or the same, got ${old}`,
        { option: 'max_tokens' },
      )
    expectStream(asked)
    this.#expectModel(model)
    if ((asked.top_logprobs ?? 0) > 0 && !asked.logprobs)
      throw new UsageError(
        'FIELD',
        `logprobs: expected true beside top_logprobs, got ${asked.logprobs ?? 'nothing'}`,
        {
          option: 'logprobs',
        },
      )
    const ids = this.#chatIds(messages, variables)
    return { asked, prompts: [this.#prompt(ids, null, most ?? old, usualTokens.chat)] }
  }

  /**
   * A text that as a whole is the spelling of a special token is that token: so clients ask for the id of `eos_token`. No part
   * of a longer text is one.
   */
  #tokenize(body: BodyOf<'tokenize'>): Uint8Array {
    const { model, prompt, messages, add_special_tokens: prefix } = body
    const { tokenizer, positions } = this.#model
    if ((typeof prompt === 'string') === Array.isArray(messages))
      throw new UsageError('FIELD', 'body: expected a prompt or messages, got both or none')
    this.#expectModel(model)
    const tokens = (): readonly number[] => {
      if (messages) return this.#chatIds(messages, body.chat_template_kwargs)
      const text = prompt as string
      const special = tokenizer.specialSpellings.includes(text) ? tokenizer.idOf(text) : null
      return special === null ? tokenizer.encode(text, { prefix: prefix ?? true }) : [special]
    }
    const ids = tokens()
    return json({ tokens: ids, count: ids.length, max_model_len: positions })
  }

  #detokenize({ model, tokens }: BodyOf<'detokenize'>): Uint8Array {
    this.#expectModel(model)
    this.#expectTokens(tokens, 'tokens')
    return json({ prompt: this.#model.tokenizer.decode(tokens) })
  }

  #chatIds(
    messages: ChatBody['messages'],
    variables: TemplateVariables | null | undefined,
  ): readonly number[] {
    const { tokenizer, chatTemplate, names, variables: usual } = this.#model
    const said = messages.map(({ role, content }): ChatMessage => {
      const whole = typeof content === 'string' ? content : content.map(({ text }) => text).join('')
      return { role, content: whole }
    })
    expectMessages(said)
    const template = expectTemplate(names[0], chatTemplate)
    const expectFits = (text: string): void => this.#expectFits(text, 'messages')
    return chatPrompt(template, tokenizer, said, { variables: { ...usual, ...variables }, expectFits }).ids
  }

  /** A prompt that fits with what may follow. @throws UsageError PROMPT, TOKENS, CONTEXT_LENGTH */
  #prompt(
    ids: readonly number[],
    echo: ReadPrompt['echo'] | ((ids: readonly number[]) => string),
    asked: number | null | undefined,
    most: number,
  ): ReadPrompt {
    const { positions } = this.#model
    if (ids.length === 0)
      throw new UsageError('PROMPT', 'prompt: expected at least one token, got none', { option: 'prompt' })
    const maxTokens = asked ?? Math.min(most, Math.max(1, positions - ids.length))
    if (ids.length + maxTokens > positions)
      throw new UsageError(
        'CONTEXT_LENGTH',
        ids.length < positions
          ? `prompt and max_tokens: expected at most ${positions} positions together, got ${ids.length} + ${maxTokens}`
          : `prompt: expected fewer than ${positions} tokens, got ${ids.length}`,
        { option: ids.length < positions ? 'max_tokens' : 'prompt' },
      )
    this.#expectTokens(ids, 'prompt')
    return { ids: Int32Array.from(ids), echo: typeof echo === 'function' ? echo(ids) : echo, maxTokens }
  }

  /** Refuses a text that is too long for the model before it is made tokens. @throws UsageError CONTEXT_LENGTH; RequestError TEXT_LENGTH */
  #expectFits(text: string, option: string): void {
    const { positions } = this.#model
    if (text.length > this.#fitting)
      throw new UsageError(
        'CONTEXT_LENGTH',
        `${option}: expected a text that fits ${positions} positions, of at most ${this.#fitting} characters, got ${text.length}`,
        { option },
      )
    expectAmount('characters', option, text.length, option)
  }

  /** @throws RequestError MODEL for a model that a request names and that is another */
  #expectModel(name: string | null | undefined): void {
    expectModel(this.#model.names, name)
  }

  /** @throws UsageError TOKENS for an id that the model does not have */
  #expectTokens(ids: readonly number[], option: string): void {
    const { vocabulary } = this.#model
    const outside = ids.find((id) => id >= vocabulary)
    if (outside !== undefined)
      throw new UsageError('TOKENS', `${option}: expected ids from 0 to ${vocabulary - 1}, got ${outside}`, {
        option,
      })
  }
}

/** @throws UsageError FIELD for options of a stream where none is asked for */
function expectStream({ stream, stream_options: options }: Asked<CommonBody>): void {
  if (options && !stream)
    throw new UsageError('FIELD', 'stream_options: expected stream true beside it, got no stream', {
      option: 'stream_options',
    })
}

/** @throws RequestError MODEL for a name that is given and is another */
export function expectModel(names: readonly string[], name: string | null | undefined): void {
  if (name === null || name === undefined || names.includes(name)) return
  throw new RequestError(
    404,
    'MODEL',
    `model: expected ${names[0]}, got ${describeJson(name)}; serve --name gives the model another name`,
    {
      option: 'model',
    },
  )
}

/** The prompts of a request, each as text or ids. @throws UsageError PROMPT for none */
function promptsOf(prompt: CompletionBody['prompt']): (string | readonly number[])[] {
  if (typeof prompt === 'string') return [prompt]
  if (prompt.length === 0)
    throw new UsageError('PROMPT', 'prompt: expected at least one token, got none', { option: 'prompt' })
  return typeof prompt[0] === 'number'
    ? [prompt as readonly number[]]
    : (prompt as (string | readonly number[])[])
}

function json(answer: object): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(answer))
}
