/**
 * The end of a text at one of a few stop texts, found while the text comes in pieces of any size.
 *
 * A text ends before the stop text that is complete first; of several that are complete at the same character, before the
 * longest. So the end does not depend on where tokens begin. Characters that may be the beginning of a stop text are held back
 * until that is known: at most one fewer than the longest stop text has.
 */

import type { Kind } from '../tensor/option.ts'

/** The stop texts that an option gives: one, or a list. */
export function stopTexts(stop: string | readonly string[] | null | undefined): readonly string[] {
  return typeof stop === 'string' ? [stop] : (stop ?? [])
}

/** One stop text, or a list of them. */
export const stopOption: Kind = {
  code: 'STOP',
  words: 'a text or a list of texts, none of them empty',
  holds: (value) =>
    (Array.isArray(value) ? (value as unknown[]) : [value]).every(
      (one) => typeof one === 'string' && one !== '' && one.isWellFormed(),
    ),
}

/** The text that may be shown after a piece. */
export interface ShownText {
  readonly text: string
  /** Whether a stop text was found; then the text is complete. */
  readonly stopped: boolean
}

/** Looks for stop texts in one text. */
export class StopText {
  readonly #stops: readonly string[]
  #held = ''

  /** @param stops none of them empty */
  constructor(stops: readonly string[]) {
    this.#stops = stops
  }

  /** Takes the next piece. */
  push(piece: string): ShownText {
    const text = this.#held + piece
    const found = this.#firstStop(text)
    const shown = found ?? text.length - this.#heldLength(text)
    this.#held = found === null ? text.slice(shown) : ''
    return { text: text.slice(0, shown), stopped: found !== null }
  }

  /** The text has ended: what was held back. */
  end(): string {
    const text = this.#held
    this.#held = ''
    return text
  }

  /** Where the stop text begins that is complete first. */
  #firstStop(text: string): number | null {
    let found: { start: number; end: number } | null = null
    for (const stop of this.#stops) {
      const start = text.indexOf(stop)
      if (start < 0) continue
      const end = start + stop.length
      if (!found || end < found.end || (end === found.end && start < found.start)) found = { start, end }
    }
    return found && found.start
  }

  /** How many characters at the end may begin a stop text. */
  #heldLength(text: string): number {
    let most = 0
    for (const stop of this.#stops)
      for (let length = Math.min(stop.length - 1, text.length); length > most; length--)
        if (text.endsWith(stop.slice(0, length))) most = length
    return most
  }
}
