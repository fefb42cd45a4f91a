/**
 * What is printed, and what it is printed for: a terminal has a width and perhaps colours, a pipe or a file has neither.
 *
 * A terminal obeys the codes of this file and no others: those of foreign text are spelt.
 */
import { shownText } from '../tensor/quote.ts'

/** What output is written for. */
export interface Screen {
  /** Characters of a line; without a terminal there is no limit. */
  readonly columns: number
  readonly hasColours: boolean
}

/** A pipe or a file. */
export const plainScreen: Screen = { columns: Infinity, hasColours: false }

/** SGR codes: on, and off again without a change of what else is on. */
const styles = { dim: [2, 22], good: [32, 39], bad: [31, 39] } as const

/** Words in a colour. */
interface Painted {
  readonly style: keyof typeof styles
  readonly text: string
}

/** Removes the line that the cursor is in. */
export const ERASE_LINE: unique symbol = Symbol('\r\x1b[K')

/** What is printed. No string is a code: a code is a value of another type. */
export type Text = string | Painted | typeof ERASE_LINE | readonly Text[]

/** What was there before, such as a prompt, or explains the rest. */
export function dim(text: string): Text {
  return { style: 'dim', text }
}

/** Words for what holds; any other word of a verdict is one for what does not. */
const goodWords = ['ok', 'passed', 'holds', 'works']

/** Words that say what came of a check, in colours. @param words in the only group; default: those that begin a line */
export function paintVerdicts(text: string, words: RegExp = /^(ok|passed|holds|FAIL|failed)\b/gm): Text {
  return text
    .split(words)
    .map((part, i) => (i % 2 === 0 ? part : { style: goodWords.includes(part) ? 'good' : 'bad', text: part }))
}

/** The characters that are written for a text. */
export function render(text: Text, screen: Screen): string {
  if (typeof text === 'string') return shownText(text)
  if (text === ERASE_LINE) return '\r\x1b[K'
  if ('style' in text) {
    const [on, off] = styles[text.style]
    const shown = shownText(text.text)
    return screen.hasColours && shown !== '' ? `\x1b[${on}m${shown}\x1b[${off}m` : shown
  }
  return text.map((part) => render(part, screen)).join('')
}
