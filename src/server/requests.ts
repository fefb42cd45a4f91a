/**
 * The bodies of requests: JSON that nobody has checked, made into checked values or refused.
 *
 * Bodies have bounded nesting, prompts and choices (body_bytes.ts bounds their bytes and their time). A field that is not known is refused by name, and so is one that is
 * known and not supported, unless it has the value that changes nothing: an option is never ignored. Only fields that change no token
 * are taken and not used (`labels`).
 */
import * as v from 'valibot'
import { maxTokensOption } from '../engine/generate.ts'
import { checkOption } from '../engine/next_tokens.ts'
import { samplingOptions, type LogitBias } from '../engine/sampling.ts'
import { describeJson, parseJson, toPlain } from '../io/json.ts'
import { checkSchema, valueThat, wholeNumber, type KeyAbout } from '../io/schema.ts'
import { stopOption, stopTexts } from '../io/stop_text.ts'
import { variablesOption, type TemplateVariables } from '../io/template_variables.ts'
import { generationOption, type GenerationPlanner } from '../library/planner_options.ts'
import { shareOption } from '../masks/budget.ts'
import { everyOption } from '../masks/planner.ts'
import { checkOptionNames, describeValue, isObject } from '../tensor/arguments.ts'
import { UsageError } from '../tensor/errors.ts'
import { seedOption, type OptionRecord } from '../tensor/option.ts'
import { amounts, expectAmount, type AmountName } from './amounts.ts'
import { readBytes, type HeldBytes } from './body_bytes.ts'
import { RequestError } from './request_error.ts'

// ---- Fields ----------------------------------------------------------------------------------------------------------

const isId = (value: unknown): boolean => typeof value === 'number' && value === value >>> 0
const isIds = (value: unknown): boolean => Array.isArray(value) && value.every(isId)
const isPrompt = (value: unknown): boolean =>
  typeof value === 'string' ||
  (Array.isArray(value) &&
    (value.every(isId) || value.every((one) => typeof one === 'string') || value.every(isIds)))

/** A prompt as a request has it. */
type PromptField = string | readonly string[] | readonly number[] | readonly (readonly number[])[]

/**
 * A field of text or of a list, and the limit of its length, which is checked before the field is. Where that is the body's
 * own, no work is done with it that is not linear in its bytes.
 */
const limited = <Field extends v.GenericSchema>(field: Field, amount: AmountName): Field =>
  v.pipe(field, v.metadata({ amount })) as unknown as Field

const flag = v.nullish(v.boolean())
/** A text that is compared, or not used. */
const text = limited(v.nullish(v.string()), 'bytes')
const likeliest = v.nullish(wholeNumber(0, amounts.likeliest.most))

/** An option of the library, whose refusal has the code and the hint of the option. */
const option = <Value>({
  holds,
  words,
  code,
  hint,
}: OptionRecord): v.GenericSchema<Value | null | undefined> =>
  v.pipe(v.nullish(valueThat<Value>(holds, words)), v.metadata({ code, hint }))

/** What clients of llama.cpp send for any seed. */
export const ANY_SEED = -1
/** A seed, or that. */
export const anySeed: OptionRecord<number> = {
  ...seedOption,
  words: `${seedOption.words}, or ${ANY_SEED} for any`,
  holds: (value) => value === ANY_SEED || seedOption.holds(value),
}

/** Variables of the chat template. */
const variables = limited(option<TemplateVariables>(variablesOption), 'containers')

/** A field that is taken only with the values that change nothing. */
const onlyNeutral = (words: string, ...values: readonly unknown[]): v.GenericSchema<unknown> =>
  v.nullish(
    v.custom<unknown>(
      (value) =>
        values.includes(value) ||
        (values.includes('empty') && isObject(value) && Object.keys(value).length === 0),
      words,
    ),
  )

const { stop: stopLength, stops: stopCount } = amounts
const stop = limited(
  v.nullish(
    v.custom<string | readonly string[]>((value) => {
      if (!stopOption.holds(value)) return false
      const stops = stopTexts(value as string | readonly string[])
      return stops.length <= stopCount.most && stops.every(({ length }) => length <= stopLength.most)
    }, `a text of up to ${stopLength.most} characters, or up to ${stopCount.most} of them`),
  ),
  'bytes',
)

const anyObject = limited(v.nullish(v.record(v.string(), v.unknown(), 'an object')), 'containers')

/**
 * Fields that clients of OpenAI send and that change no token: how a request is labelled, stored, billed and cached there, what its
 * answer may be like, and how tools, of which there are none, may be called. They are taken and not used.
 */
export const labels = {
  user: text,
  safety_identifier: text,
  prompt_cache_key: text,
  prompt_cache_retention: text,
  service_tier: text,
  metadata: anyObject,
  store: flag,
  prediction: anyObject,
  parallel_tool_calls: flag,
} as const

/** What both kinds of completions have. */
const common = {
  model: text,
  max_tokens: option<number>(maxTokensOption),
  temperature: option<number>(samplingOptions.temperature),
  top_p: option<number>(samplingOptions.topP),
  top_k: option<number>(samplingOptions.topK),
  min_p: option<number>(samplingOptions.minP),
  repetition_penalty: option<number>(samplingOptions.repetitionPenalty),
  presence_penalty: option<number>(samplingOptions.presencePenalty),
  frequency_penalty: option<number>(samplingOptions.frequencyPenalty),
  logit_bias: option<LogitBias>(samplingOptions.logitBias),
  n: v.nullish(wholeNumber(1, amounts.texts.most)),
  seed: option<number>(anySeed),
  stop,
  stream: flag,
  stream_options: v.nullish(
    v.strictObject(
      // Padding, which there is none.
      { include_usage: flag, include_obfuscation: flag },
      'an object of include_usage',
    ),
  ),
  planner: option<GenerationPlanner>(generationOption),
  sparsity: option<number>(shareOption),
  every: option<number | 'auto'>(everyOption),
  check: option<number>(checkOption),
  ...labels,
}

const completion = v.object({
  ...common,
  prompt: limited(
    v.custom<PromptField>(isPrompt, 'text, a list of texts, a list of ids or a list of such lists'),
    'bytes',
  ),
  logprobs: likeliest,
  echo: flag,
  add_special_tokens: flag,
  mask_prompt_tokens: v.nullish(wholeNumber(1, 2 ** 31 - 1)),
  best_of: v.nullish(wholeNumber(1, amounts.texts.most)),
  suffix: onlyNeutral('nothing, as a suffix is not supported'),
})

const part = v.object({ type: v.literal('text'), text: limited(v.string(), 'bytes') })

/** What content may be, and which kind of part is not supported. */
function contentWords(content: unknown): string {
  const other = (Array.isArray(content) ? content : []).find(
    (one) => typeof one?.type === 'string' && one.type !== 'text' && /^\w{1,64}$/.test(one.type),
  )
  return `text, or a list of parts of text${other ? `, as ${other.type} is not supported` : ''}`
}

const message = v.object({
  /** `expectMessages` says which. */
  role: limited(v.string(), 'bytes'),
  content: limited(
    v.union([v.string(), limited(v.array(part), 'containers')], ({ input }) => contentWords(input)),
    'bytes',
  ),
  /** What a model thought is not sent to it again. */
  reasoning_content: text,
  name: onlyNeutral('nothing, as names are not supported'),
  tool_calls: onlyNeutral('nothing, as tools are not supported', 'empty'),
  tool_call_id: onlyNeutral('nothing, as tools are not supported'),
})
const chat = v.object({
  ...common,
  messages: limited(v.array(message), 'messages'),
  chat_template_kwargs: variables,
  max_completion_tokens: option<number>(maxTokensOption),
  logprobs: flag,
  top_logprobs: likeliest,
  tools: onlyNeutral('nothing, as tools are not supported', 'empty'),
  tool_choice: onlyNeutral('none, as tools are not supported', 'none', 'auto'),
  functions: onlyNeutral('nothing, as tools are not supported', 'empty'),
  function_call: onlyNeutral('none, as tools are not supported', 'none', 'auto'),
  audio: onlyNeutral('nothing, as audio is not supported'),
  web_search_options: onlyNeutral('nothing, as searching the web is not supported'),
  reasoning_effort: onlyNeutral(
    'nothing, as it is not supported (chat_template_kwargs sets what a template knows, such as {"enable_thinking":false})',
  ),
  verbosity: onlyNeutral('medium, as it is not supported', 'medium'),
  response_format: v.nullish(
    v.strictObject({ type: v.literal('text', 'the format text, as others are not supported') }, 'a format'),
  ),
  modalities: v.nullish(v.strictTuple([v.literal('text', 'text alone')], 'text alone')),
})

const tokenize = v.object({
  model: text,
  prompt: limited(v.nullish(v.string()), 'characters'),
  messages: limited(v.nullish(v.array(message)), 'messages'),
  chat_template_kwargs: variables,
  add_special_tokens: flag,
})

const detokenize = v.object({
  model: text,
  tokens: limited(v.custom<readonly number[]>(isIds, 'a list of ids'), 'ids'),
})

/** A request for completions. */
export type CompletionBody = v.InferOutput<typeof completion>
/** A request for an answer to a chat. */
export type ChatBody = v.InferOutput<typeof chat>
/** What both kinds of completions ask for. */
export type CommonBody = Pick<CompletionBody, Exclude<keyof typeof common, 'logprobs'>>

/** The field that an option of the library has in a request, such as `top_k` of `topK`. */
export function fieldOf(option: string): string {
  return option.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

/** The schemas of bodies. */
export const bodies = { completion, chat, tokenize, detokenize } as const
export type BodyName = keyof typeof bodies
/** A checked body. */
export type BodyOf<Name extends BodyName> = v.InferOutput<(typeof bodies)[Name]>

// ---- Reading ---------------------------------------------------------------------------------------------------------

/**
 * Checks a body.
 * @throws InputError JSON_*; UsageError OPTION_NAME, the codes of options, FIELD for other fields; RequestError for more
 *   than the limits of fields
 */
export function parseBody<Name extends BodyName>(name: Name, bytes: Uint8Array): BodyOf<Name> {
  const { entries }: v.ObjectSchema<v.ObjectEntries, undefined> = bodies[name]
  const { containers, depth } = amounts
  const budget = { max: containers.most, left: containers.most }
  const json = parseJson(bytes, 'body', { maxDepth: depth.most, budget })
  if (!(json instanceof Map))
    throw new UsageError('FIELD', `body: expected an object, got ${describeJson(json)}`)
  for (const [field, entry] of Object.entries(entries)) {
    const value = json.get(field)
    const { amount } = v.getMetadata(entry) as { readonly amount?: AmountName }
    if (amount && (typeof value === 'string' || Array.isArray(value)))
      expectAmount(amount, field, value.length, field)
  }
  const body = toPlain(json) as Record<string, unknown>
  // Clients write null for fields that they leave open; so a null is absent, also of a field that is not known here.
  for (const [field, value] of Object.entries(body)) if (value === null) delete body[field]
  checkOptionNames(body, Object.keys(entries), 'field')
  return checkSchema(bodies[name] as v.GenericSchema<unknown, BodyOf<Name>>, body, {
    code: 'FIELD',
    of: (field) => v.getMetadata(entries[field as string] ?? v.any()) as ReturnType<KeyAbout>,
    subject: '',
    error: UsageError,
  })
}

/**
 * Takes the body of a request.
 * @param held of all bodies of the server, the bytes of this one too until the caller gives them back
 * @throws RequestError CONTENT_TYPE, BODY_SIZE, BODY_TIME, BODIES
 */
export async function takeBody(request: Request, held: HeldBytes): Promise<Uint8Array> {
  // A page of another site can send any other type without asking this server first.
  const type = request.headers.get('content-type') ?? ''
  if (!/^application\/json\s*(;|$)/i.test(type))
    throw new RequestError(
      415,
      'CONTENT_TYPE',
      `content-type: expected application/json, got ${describeValue(type)}`,
    )
  return readBytes(request, held)
}
