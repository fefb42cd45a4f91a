/**
 * Tells a text that has become a loop: its end is the same few tokens, again and again.
 *
 * Lines of a list or of code that differ in one token are none. Tables, zeros and rulers repeat tokens too, so that a loop of few words
 * must be long. A sentence that comes again and again is one sooner.
 */

/** The longest part whose repetitions are looked for. */
const LONGEST = 64

/** The fewest times that a part comes in a row, and the fewest tokens of all together. */
const least = {
  sentence: { times: 5, tokens: 40 },
  other: { times: 12, tokens: 96 },
} as const

/** What makes a part a sentence: the fewest tokens with a letter. */
const WORDS = 5

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
  /** At n: how many of the first n tokens have a letter. */
  readonly #words: number[] = [0]
  /** At n - 1: of how many tokens in a row, up to the last one, each is that of n tokens before. */
  readonly #equal = new Array<number>(LONGEST).fill(0)

  /** Takes the next token. @param text what it adds @returns the shortest part that came often enough in a row; null if there is none */
  push(token: number, text: string): Repetition | null {
    const at = this.#tokens.push(token) - 1
    this.#words.push(this.#words[at] + (/\p{L}/u.test(text) ? 1 : 0))
    this.#equal.forEach((equal, i) => {
      this.#equal[i] = this.#tokens[at - i - 1] === token ? equal + 1 : 0
    })
    const found = this.#equal.findIndex((equal, i) => {
      const length = i + 1
      const words = this.#words[at + 1] - (this.#words[at + 1 - length] ?? 0)
      const { times, tokens } = least[words < WORDS ? 'other' : 'sentence']
      if (equal + length < Math.max(tokens, times * length)) return false
      // Several of a shorter part are no longer part.
      return !this.#equal.slice(0, i).some((shorter, j) => shorter + j + 1 >= equal + length)
    })
    if (found < 0) return null
    const length = found + 1
    return { length, times: Math.floor((this.#equal[found] + length) / length) }
  }
}
