/**
 * The chat template of a model: a Jinja template that writes messages as the text the model was trained on.
 *
 * In a folder it is `chat_template.jinja`, else `chat_template` of `tokenizer_config.json`. The latter also
 * names the tokens that begin and end a text, and `generation_config.json` the ids that end one: the end of
 * a turn is often named there only. That file also says how the model's makers draw tokens.
 */
import * as v from 'valibot'
import { joinPath } from '../platform/platform.ts'
import { isThere, readWhole } from './files.ts'
import { decodeText, objectOf, parseJson, toPlain } from './json.ts'
import { quote, refusal } from './refusal.ts'
import { checkSchema, numberBetween, valueThat, wholeNumber } from './schema.ts'

/** A chat template and the tokens it writes. */
export interface ChatTemplate {
  /** Jinja. */
  readonly source: string
  /** The spelling of the token that begins a text; null if none is named. */
  readonly bosToken: string | null
  /** That of the token that ends a turn. */
  readonly eosToken: string | null
}

/** The longest source of a template; the largest in use have a third of it. */
const MAX_TEMPLATE = 2 ** 16

const [templateFile, tokenizerConfig, generationConfig] = [
  'chat_template.jinja',
  'tokenizer_config.json',
  'generation_config.json',
]

const token = v.nullish(v.union([v.string(), v.object({ content: v.string() })], 'text'))
const configSchema = v.object({
  chat_template: v.nullish(
    v.union(
      [v.string(), v.array(v.object({ name: v.string(), template: v.string() }))],
      'text, or a list of names and templates',
    ),
  ),
  bos_token: token,
  eos_token: token,
})
const id = wholeNumber(0, 2 ** 31 - 1)
const positive = v.nullish(
  valueThat<number>(
    (value) => typeof value === 'number' && value > 0 && value < Infinity,
    'a number above 0',
  ),
)
const generationSchema = v.object({
  eos_token_id: v.nullish(v.union([id, v.array(id)], 'an id or a list of ids')),
  do_sample: v.nullish(v.boolean()),
  temperature: v.nullish(numberBetween(0, Number.MAX_VALUE)),
  top_k: v.nullish(wholeNumber(0, 2 ** 31 - 1)),
  top_p: v.nullish(numberBetween(0, 1)),
  min_p: v.nullish(numberBetween(0, 1)),
  repetition_penalty: positive,
})

/** How a model's makers draw tokens; what they leave open is not there. */
export interface OwnSampling {
  readonly temperature?: number
  readonly topK?: number
  readonly topP?: number
  readonly minP?: number
  readonly repetitionPenalty?: number
}

/** Checks the fields of `generation_config.json` about sampling. @throws InputError with the code */
export function readSampling(fields: object, subject: string, code: string): OwnSampling {
  return ownSampling(checkSchema(generationSchema, fields, { code, subject }))
}

/** 0 of top-k and top-p means all tokens, and `do_sample` false is greedy. */
function ownSampling(fields: v.InferOutput<typeof generationSchema>): OwnSampling {
  if (fields.do_sample === false) return { temperature: 0 }
  const { temperature, top_k: topK, top_p: topP, min_p: minP, repetition_penalty: repetitionPenalty } = fields
  const named = { temperature, topK: topK || null, topP: topP || null, minP, repetitionPenalty }
  return Object.fromEntries(
    Object.entries(named).filter(([, value]) => value !== null && value !== undefined),
  )
}

/**
 * Opens the chat template of a model's folder; null if it has none.
 * @throws InputError CHAT_TEMPLATE_CONFIG for another form, CHAT_TEMPLATE_NAME for a list without "default",
 *   CHAT_TEMPLATE_LIMIT; JSON_*, FILE_*
 */
export async function openChatTemplate(folder: string): Promise<ChatTemplate | null> {
  const path = joinPath(folder, templateFile)
  const config = await readJson(folder, tokenizerConfig, configSchema)
  const source = (await isThere(path))
    ? decodeText(await readWhole(path, 4 * MAX_TEMPLATE), templateFile)
    : namedTemplate(config?.chat_template ?? null)
  if (source === null) return null
  return {
    source: checkSource(source),
    bosToken: spelling(config?.bos_token),
    eosToken: spelling(config?.eos_token),
  }
}

/** The source of a template, which has a bounded length. @throws InputError CHAT_TEMPLATE_LIMIT */
export function checkSource(source: string): string {
  if (source.length <= MAX_TEMPLATE) return source
  const expected = `at most ${MAX_TEMPLATE} characters`
  throw refusal('CHAT_TEMPLATE_LIMIT', 'chat template', expected, `${source.length}`)
}

/**
 * What `generation_config.json` says: the ids that end a text, and how tokens are drawn. Without the file it is nothing.
 * @throws InputError GENERATION_CONFIG for another form; JSON_*, FILE_*
 */
export async function openGenerationConfig(
  folder: string,
): Promise<{ readonly stopIds: readonly number[]; readonly sampling: OwnSampling }> {
  const config = await readJson(folder, generationConfig, generationSchema, 'GENERATION_CONFIG')
  const ids = config?.eos_token_id ?? []
  return { stopIds: typeof ids === 'number' ? [ids] : ids, sampling: ownSampling(config ?? {}) }
}

async function readJson<Output>(
  folder: string,
  name: string,
  schema: v.GenericSchema<unknown, Output>,
  code = 'CHAT_TEMPLATE_CONFIG',
): Promise<Output | null> {
  const path = joinPath(folder, name)
  if (!(await isThere(path))) return null
  const json = objectOf(parseJson(await readWhole(path), name, { numbers: 'rounded' }), code, name)
  return checkSchema(schema, toPlain(json), { code, subject: name })
}

function namedTemplate(
  template: string | readonly { name: string; template: string }[] | null,
): string | null {
  if (template === null || typeof template === 'string') return template
  const found = template.find(({ name }) => name === 'default')
  if (found) return found.template
  const names = template.map(({ name }) => quote(name))
  const got = names.slice(0, 4).join(', ') || 'none'
  throw refusal('CHAT_TEMPLATE_NAME', `${tokenizerConfig} chat_template`, 'a template "default"', got)
}

function spelling(found: string | { content: string } | null | undefined): string | null {
  return (typeof found === 'object' ? found?.content : found) ?? null
}
