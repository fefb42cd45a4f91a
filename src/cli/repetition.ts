/**
 * Tells a text that has become a loop: its end is the same few tokens, again and again.
 *
 * Lines of a list or of code that differ in one token are none. Tables, zeros and rulers repeat tokens too, so that a loop must be long.
 */

/** The longest part whose repetitions are looked for, the fewest times that it comes in a row, and the fewest tokens of all together. */
const [LONGEST, TIMES, TOKENS] = [64, 12, 128]

/** A part of a text that comes again and again. */
export interface Repetition {
  /** How many tokens it has. */
  readonly length: number
  /** How many times it came in a row, the last ones of the text. */
  readonly times: number
}

/** Looks for repetitions at the end of one text. */
export class RepetitionWatch {
  readonly #tokens: number[] = []
  /** At n - 1: of how many tokens in a row, up to the last one, each is that of n tokens before. */
  readonly #equal = new Array<number>(LONGEST).fill(0)

  /** Takes the next token. @returns the shortest part that came often enough in a row; null if there is none */
  push(token: number): Repetition | null {
    const at = this.#tokens.push(token) - 1
    this.#equal.forEach((equal, i) => {
      this.#equal[i] = this.#tokens[at - i - 1] === token ? equal + 1 : 0
    })
    const found = this.#equal.findIndex((equal, i) => equal + i + 1 >= Math.max(TOKENS, TIMES * (i + 1)))
    if (found < 0) return null
    const length = found + 1
    return { length, times: Math.floor((this.#equal[found] + length) / length) }
  }
}
