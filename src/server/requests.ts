/**
 * The bodies of requests: JSON that nobody has checked, made into checked values or refused.
 *
 * Bodies have bounded nesting, prompts and choices (body_bytes.ts bounds their bytes and their time). A field that is not known is refused by name, and so is one that is
 * known and not supported, unless it has the value that changes nothing: an option is never ignored. Only fields by which
 * clients label their requests are taken and not used.
 */
import * as v from 'valibot'
import { maxTokensOption } from '../engine/generate.ts'
import { checkOption } from '../engine/next_tokens.ts'
import { samplingOptions } from '../engine/sampling.ts'
import { parseJson, toPlain } from '../io/json.ts'
import { checkSchema, valueThat, wholeNumber } from '../io/schema.ts'
import { generationOption, type GenerationPlanner } from '../library/planner_options.ts'
import { shareOption } from '../masks/budget.ts'
import { everyOption } from '../masks/planner.ts'
import { checkOptionNames, describeValue, isObject } from '../tensor/arguments.ts'
import { UsageError } from '../tensor/errors.ts'
import { seedOption, type OptionRecord } from '../tensor/option.ts'
import { readBytes, type HeldBytes } from './body_bytes.ts'
import { RequestError } from './refusals.ts'

/** The most lists and objects of a body: a chat has one for each message, or two with its parts. */
export const MAX_CONTAINERS = 2 ** 16
/** The most texts that one request asks for: prompts times `n`. */
export const MAX_CHOICES = 128
/** The most of the likeliest tokens that can be asked for. */
export const MAX_LIKELIEST = 20
/** The most log-probabilities of one answer, which is at most about 100 MiB long then: it is one text, and V8's longest has 512 MiB. */
export const MAX_SCORES = 2 ** 20
const MAX_STOPS = 16
/** The longest stop text, in UTF-16 units. */
const MAX_STOP = 1024

// ---- Fields ----------------------------------------------------------------------------------------------------------

const isId = (value: unknown): boolean => typeof value === 'number' && value === value >>> 0
const isIds = (value: unknown): boolean => Array.isArray(value) && value.every(isId)
const isPrompt = (value: unknown): boolean =>
  typeof value === 'string' ||
  (Array.isArray(value) &&
    (value.every(isId) || value.every((one) => typeof one === 'string') || value.every(isIds)))

/** A prompt as a request has it. */
type PromptField = string | readonly string[] | readonly number[] | readonly (readonly number[])[]

const flag = v.nullish(v.boolean())
const text = v.nullish(v.string())
const likeliest = v.nullish(wholeNumber(0, MAX_LIKELIEST))

/** An option of the library, whose refusal has the code of the option. */
const option = <Value>({ holds, words, code }: OptionRecord): v.GenericSchema<Value | null | undefined> =>
  v.pipe(v.nullish(valueThat<Value>(holds, words)), v.metadata({ code }))

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

const stop = v.nullish(
  v.custom<string | readonly string[]>((value) => {
    const stops: unknown[] = Array.isArray(value) ? value : [value]
    const isStop = (one: unknown): boolean =>
      typeof one === 'string' && one !== '' && one.length <= MAX_STOP && one.isWellFormed()
    return stops.length <= MAX_STOPS && stops.every(isStop)
  }, `a text of up to ${MAX_STOP} characters, or up to ${MAX_STOPS} of them`),
)

/** What both kinds of completions have. */
const common = {
  model: text,
  max_tokens: option<number>(maxTokensOption),
  temperature: option<number>(samplingOptions.temperature),
  top_p: option<number>(samplingOptions.topP),
  top_k: option<number>(samplingOptions.topK),
  n: v.nullish(wholeNumber(1, MAX_CHOICES)),
  seed: option<number>(seedOption),
  stop,
  stream: flag,
  stream_options: v.nullish(v.strictObject({ include_usage: flag }, 'an object of include_usage')),
  planner: option<GenerationPlanner>(generationOption),
  sparsity: option<number>(shareOption),
  every: option<number | 'auto'>(everyOption),
  check: option<number>(checkOption),
  presence_penalty: onlyNeutral('0, as penalties are not supported', 0),
  frequency_penalty: onlyNeutral('0, as penalties are not supported', 0),
  logit_bias: onlyNeutral('an empty object, as a bias is not supported', 'empty'),
  user: text,
  metadata: v.nullish(v.record(v.string(), v.unknown(), 'an object')),
}

const completion = v.object({
  ...common,
  prompt: v.custom<PromptField>(isPrompt, 'text, a list of texts, a list of ids or a list of such lists'),
  logprobs: likeliest,
  echo: flag,
  add_special_tokens: flag,
  mask_prompt_tokens: v.nullish(wholeNumber(1, 2 ** 31 - 1)),
  best_of: v.nullish(wholeNumber(1, MAX_CHOICES)),
  suffix: onlyNeutral('nothing, as a suffix is not supported'),
})

const part = v.object({ type: v.literal('text'), text: v.string() })
const message = v.object({
  role: v.string(),
  content: v.union([v.string(), v.array(part)], 'text, or a list of parts of text'),
  name: onlyNeutral('nothing, as names are not supported'),
  tool_calls: onlyNeutral('nothing, as tools are not supported', 'empty'),
  tool_call_id: onlyNeutral('nothing, as tools are not supported'),
})

const chat = v.object({
  ...common,
  messages: v.array(message),
  max_completion_tokens: option<number>(maxTokensOption),
  logprobs: flag,
  top_logprobs: likeliest,
  tools: onlyNeutral('nothing, as tools are not supported', 'empty'),
  tool_choice: onlyNeutral('none, as tools are not supported', 'none', 'auto'),
  response_format: onlyNeutral('nothing, as formats are not supported'),
  store: onlyNeutral('false, as nothing is stored', false),
})

const tokenize = v.object({
  model: text,
  prompt: v.nullish(v.string()),
  messages: v.nullish(v.array(message)),
  add_special_tokens: flag,
})

const detokenize = v.object({
  model: text,
  tokens: v.custom<readonly number[]>(isIds, 'a list of ids'),
})

/** A request for completions. */
export type CompletionBody = v.InferOutput<typeof completion>
/** A request for an answer to a chat. */
export type ChatBody = v.InferOutput<typeof chat>
/** What both kinds of completions ask for. */
export type CommonBody = Pick<CompletionBody, Exclude<keyof typeof common, 'logprobs'>>

/** The schemas of bodies. */
export const bodies = { completion, chat, tokenize, detokenize } as const

// ---- Reading ---------------------------------------------------------------------------------------------------------

/**
 * Reads the body of a request.
 * @param held of all bodies of the server
 * @throws RequestError CONTENT_TYPE, BODY_SIZE, BODY_TIME, BODIES; InputError JSON_*; UsageError OPTION_NAME, the codes of options, and
 *   FIELD for other fields
 */
export async function readBody<Fields extends v.ObjectEntries>(
  request: Request,
  schema: v.ObjectSchema<Fields, undefined>,
  held: HeldBytes,
): Promise<v.InferOutput<typeof schema>> {
  // A page of another site can send any other type without asking this server first.
  const type = request.headers.get('content-type') ?? ''
  if (!/^application\/json\s*(;|$)/i.test(type))
    throw new RequestError(
      415,
      'CONTENT_TYPE',
      `content-type: expected application/json, got ${describeValue(type)}`,
    )
  const budget = { max: MAX_CONTAINERS, left: MAX_CONTAINERS }
  const json = parseJson(await readBytes(request, held), 'body', { maxDepth: 16, budget })
  const body = toPlain(json)
  if (!(json instanceof Map))
    throw new UsageError('FIELD', `body: expected an object, got ${describeValue(body)}`)
  checkOptionNames(body, Object.keys(schema.entries))
  return checkSchema(schema as v.GenericSchema<unknown, v.InferOutput<typeof schema>>, body, {
    code: 'FIELD',
    codeOf: (field) => v.getMetadata(schema.entries[field as string] ?? v.any()).code as string | undefined,
    subject: '',
    error: UsageError,
  })
}

/**
 * Refuses more log-probabilities than an answer may have, before any is computed.
 * @param tokens that are echoed or written, of all texts
 * @param likeliest how many of the likeliest each has beside its own; null for no log-probabilities
 * @throws UsageError SCORES
 */
export function expectFewScores(tokens: number, likeliest: number | null): void {
  if (likeliest === null || tokens * (likeliest + 1) <= MAX_SCORES) return
  throw new UsageError(
    'SCORES',
    `logprobs: expected at most ${MAX_SCORES} log-probabilities in an answer, got ${tokens} tokens x ${likeliest + 1}`,
  )
}
