/**
 * The chat template of a model: a Jinja template that writes messages as the text the model was trained on.
 *
 * In a folder it is `chat_template.jinja`, else `chat_template` of `tokenizer_config.json`. The latter also
 * names the tokens that begin and end a text, and `generation_config.json` the ids that end one: the end of
 * a turn is often named there only.
 */
import * as v from 'valibot'
import { joinPath } from '../platform/platform.ts'
import { isThere, readWhole } from './files.ts'
import { decodeText, objectOf, parseJson, toPlain } from './json.ts'
import { quote, refusal } from './refusal.ts'
import { checkSchema, wholeNumber } from './schema.ts'

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
const generationSchema = v.object({
  eos_token_id: v.nullish(v.union([id, v.array(id)], 'an id or a list of ids')),
})

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
 * The ids that end a text by `generation_config.json`; none if there is no such file.
 * @throws InputError GENERATION_CONFIG for another form; JSON_*, FILE_*
 */
export async function openStopIds(folder: string): Promise<readonly number[]> {
  const config = await readJson(folder, generationConfig, generationSchema, 'GENERATION_CONFIG')
  const ids = config?.eos_token_id ?? []
  return typeof ids === 'number' ? [ids] : ids
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
