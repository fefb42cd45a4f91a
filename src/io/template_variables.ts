/**
 * Variables that a user sets in a chat template. Texts are marked like messages (chat_prompt.ts): none becomes a special token.
 */
import { entriesOption, type OptionRecord } from '../tensor/option.ts'

/** Variables of a template besides the messages, such as `enable_thinking` of Qwen3. */
export type TemplateVariables = Readonly<Record<string, string | number | boolean | null>>

/** The variables that a template has in any case. */
const ownVariables = ['messages', 'add_generation_prompt', 'tools', 'documents', 'bos_token', 'eos_token']
/** How many variables there may be, and how long a text. */
const [MAX_VARIABLES, MAX_TEXT] = [32, 4096]

const isVariable = ([name, value]: [string, unknown]): boolean =>
  /^[A-Za-z]\w{0,63}$/.test(name) &&
  !ownVariables.includes(name) &&
  (value === null ||
    typeof value === 'boolean' ||
    Number.isFinite(value) ||
    (typeof value === 'string' && value.length <= MAX_TEXT && value.isWellFormed()))

/** The variables as an option; as text they are JSON. */
export const variablesOption: OptionRecord<TemplateVariables> = entriesOption(
  'TEMPLATE_VARIABLES',
  `an object of up to ${MAX_VARIABLES} variables, each a text of up to ${MAX_TEXT} characters, a number, true, false or null, and none of ${ownVariables.join(', ')}`,
  MAX_VARIABLES,
  isVariable,
)
