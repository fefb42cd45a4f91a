/**
 * What output is written for: a terminal has a width and perhaps colours, a pipe or a file has neither.
 */
import { hasColours, isTerminal, terminalWidth, type Output } from '../platform/platform.ts'

/** Colours of words; each returns its text unchanged where there are none. */
export interface Paint {
  /** What was there before: a prompt. */
  dim(text: string): string
  good(text: string): string
  bad(text: string): string
}

/** What output is written for. */
export interface Screen {
  /** Characters of a line; without a terminal there is no limit. */
  readonly columns: number
  readonly paint: Paint
}

const same = (text: string): string => text
const without: Paint = { dim: same, good: same, bad: same }

/** A pipe or a file. */
export const plainScreen: Screen = { columns: Infinity, paint: without }

/** SGR codes: on, and off again without a change of what else is on. */
const coloured =
  (on: number, off: number) =>
  (text: string): string =>
    text === '' ? text : `\x1b[${on}m${text}\x1b[${off}m`

/** The colours of a terminal that has some. */
export const colours: Paint = { dim: coloured(2, 22), good: coloured(32, 39), bad: coloured(31, 39) }

/** What an output of this process is. NO_COLOR turns colours off. */
export function screenOf(output: Output): Screen {
  if (!isTerminal(output)) return plainScreen
  return { columns: terminalWidth(output), paint: hasColours(output) ? colours : without }
}

/** The first words of lines that say what came of a check, in colours. */
export function paintVerdicts(text: string, { good, bad }: Paint): string {
  return text.replace(/^(?:ok|passed|holds)\b/gm, good).replace(/^(?:FAIL|failed)\b/gm, bad)
}
