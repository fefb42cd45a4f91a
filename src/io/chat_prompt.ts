/**
 * The ids of a chat.
 *
 * The template writes special tokens as text, and messages are text too. Only those of the template may
 * become special: what a user types never ends a turn or begins one. So a mark, a character of private use
 * that no message contains, is put into every special token that a message spells. The rendered text is cut
 * at special tokens; the marks are then dropped. A message whose first or last characters are a part of a
 * special token is marked there, since the template might write the rest of it. A role of letters only is left as it is:
 * templates write `<|user|>` from it.
 *
 * A template that looks for special tokens in messages (`</think>`) therefore finds none. What is promised ends where a template
 * both removes something inside a message and writes a part of a special token beside it.
 */
import type { ChatTemplate } from './chat_template.ts'
import { renderTemplate } from './bounded_jinja.ts'
import { refusal } from './refusal.ts'
import type { Tokenizer } from './tokenizer.ts'
import type { TemplateVariables } from './template_variables.ts'

/** One message of a chat. */
export interface ChatMessage {
  /**
   * Who speaks: `system`, `developer`, `user`, `assistant`, `tool` or `function`. Its type is any text, so that
   * `const messages = [{ role: 'user', content: 'Hi' }]` compiles; another role is refused when the chat is read (MESSAGES).
   */
  readonly role: string
  /** What is said. */
  readonly content: string
}

/** How a chat is written. */
export interface ChatPromptOptions {
  readonly variables?: TemplateVariables
  /** Refuses a text before it is made tokens. */
  readonly expectFits?: (text: string) => void
}

/** A chat as the model reads it. */
export interface ChatPrompt {
  readonly text: string
  readonly ids: readonly number[]
}

/**
 * Writes a chat, ready for an answer.
 * @throws what `expectFits` throws; InputError as `renderTemplate`; CHAT_MESSAGE if the messages contain every character of
 *   private use; TEXT_SURROGATE, TEXT_BYTE, TEXT_MARKS
 */
export function chatPrompt(
  template: ChatTemplate,
  tokenizer: Tokenizer,
  messages: readonly ChatMessage[],
  { variables = {}, expectFits }: ChatPromptOptions = {},
): ChatPrompt {
  const { source, bosToken, eosToken } = template
  const texts = Object.values(variables).filter((value) => typeof value === 'string')
  const said = [...texts, ...messages.flatMap(({ role, content }) => [role, content])]
  const mark = unusedMark([source, bosToken ?? '', eosToken ?? '', ...said])
  const marked = (text: string): string => markText(text, tokenizer.specialSpellings, mark)
  const given = Object.entries(variables).map(([name, value]) => [
    name,
    typeof value === 'string' ? marked(value) : value,
  ])
  const rendered = renderTemplate(source, {
    ...Object.fromEntries(given),
    messages: messages.map(({ role, content }) => ({
      role: /^\w*$/.test(role) ? role : marked(role),
      content: marked(content),
    })),
    add_generation_prompt: true,
    tools: null,
    documents: null,
    ...(bosToken !== null && { bos_token: bosToken }),
    ...(eosToken !== null && { eos_token: eosToken }),
  })
  const text = rendered.replaceAll(mark, '')
  expectFits?.(text)
  return {
    text,
    ids: tokenizer.encode(rendered, { prefix: false, special: { mark } }),
  }
}

/** A character of private use that is in none of the texts. */
function unusedMark(texts: readonly string[]): string {
  const used = new Set<string>()
  for (const text of texts) for (const [mark] of text.matchAll(/[\ue000-\uf8ff]/g)) used.add(mark)
  for (let code = 0xe000; code < 0xf900; code++) {
    const mark = String.fromCharCode(code)
    if (!used.has(mark)) return mark
  }
  throw refusal('CHAT_MESSAGE', 'messages', 'a character from U+E000 to U+F8FF that is unused', 'none')
}

/**
 * A text whose special tokens are marked, so that they are text.
 *
 * A template may also remove a part of a message (`replace`, `split`). So the first character of a special token is marked
 * wherever the others follow it, in their order, at any distance.
 * @param spellings of special tokens
 */
export function markText(text: string, spellings: readonly string[], mark: string): string {
  /** Marks before the character at a place; places are counted in the text without marks. */
  const marks = new Map<number, string>()
  for (const spelling of spellings) {
    const first = String.fromCodePoint(spelling.codePointAt(0) as number)
    const earliest = text.indexOf(first)
    if (earliest === -1) continue
    const last = lastStart(text, spelling)
    for (let at = earliest; at !== -1 && at <= last; at = text.indexOf(first, at + 1)) {
      // A token of one character has no inside: two marks follow it.
      const after = at + first.length
      marks.set(after, spelling === first ? mark + mark : (marks.get(after) ?? mark))
    }
  }
  const [start, end] = [text.length - text.trimStart().length, text.trimEnd().length]
  if (start >= end) return text
  /** Whether the text may begin, or end, with the rest of some special token after, or before, one of its characters. */
  const isPart = (unit: string, holds: (spelling: string, at: number) => boolean): boolean =>
    spellings.some((spelling) => {
      for (let at = spelling.indexOf(unit); at !== -1; at = spelling.indexOf(unit, at + 1))
        if (holds(spelling, at)) return true
      return false
    })
  const begins = (spelling: string, at: number): boolean =>
    at > 0 && text.startsWith(spelling.slice(at), start)
  if (!marks.has(start) && isPart(text[start], begins)) marks.set(start, mark)
  const ends = (spelling: string, at: number): boolean =>
    at < spelling.length - 1 && text.endsWith(spelling.slice(0, at + 1), end)
  if (!marks.has(end) && isPart(text[end - 1], ends)) marks.set(end, mark)
  let marked = ''
  let done = 0
  for (const at of [...marks.keys()].toSorted((a, b) => a - b)) {
    marked += text.slice(done, at) + marks.get(at)
    done = at
  }
  return marked + text.slice(done)
}

/** The last place from which all characters of a spelling follow in their order, at any distance; -1 if there is none. */
function lastStart(text: string, spelling: string): number {
  let at = text.length
  for (const character of [...spelling].toReversed()) {
    at = at === 0 ? -1 : text.lastIndexOf(character, at - 1)
    if (at === -1) return -1
  }
  return at
}
