/**
 * Text that comes in pieces, for a terminal: a line is broken between words, where the terminal itself would cut one in two. A word is
 * held back until it has ended, so that nothing that is shown moves.
 */

/** Characters that take two columns: those of East Asian scripts, and emoji. */
const wide =
  /[[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Bopomofo}\p{Script=Yi}\p{Emoji_Presentation}\u3000-\u303f\u30fc\uff01-\uff60\uffe0-\uffe6]--[\uff61-\uffdc]]/v

/** Characters that take none: marks, joiners and variation selectors. */
const flat = /[\p{Mn}\p{Me}\p{Cf}]/u

/** Characters that belong to the word before them, also behind one that takes two columns. */
const closing = /[\p{Pe}\p{Pf}\p{Po}\p{Mn}\p{Me}\p{Cf}]/u

/** Columns of a tab at most. */
const TAB = 8

/** Columns that a terminal gives one character. */
function columnsOf(character: string): number {
  if (character === '\t') return TAB
  return flat.test(character) ? 0 : wide.test(character) ? 2 : 1
}

/** Wraps a text that comes in pieces. */
export class WordWrap {
  readonly #columns: () => number
  /** The column of the cursor. */
  #at = 0
  #blanks = ''
  #word = ''
  /** Columns of the two. */
  #blankColumns = 0
  #wordColumns = 0
  /** The last character of the word. */
  #last = ''
  /** Whether the word is the rest of one that has filled a line. */
  #goesOn = false

  /** @param columns of a line, now; Infinity wraps nothing, and then nothing is held back */
  constructor(columns: () => number) {
    this.#columns = columns
  }

  /**
   * Takes a piece of the text.
   * @returns what may be shown: all but the last word and the blanks before it
   */
  push(piece: string): string {
    if (this.#columns() === Infinity) return this.end() + piece
    let shown = ''
    for (const character of piece) {
      const width = columnsOf(character)
      if (character === '\n') {
        shown += `${this.end()}\n`
        this.#at = 0
      } else if (character === ' ' || character === '\t') {
        if (this.#word !== '') shown += this.#settle()
        this.#blanks += character
        this.#blankColumns += width
      } else {
        const isBreak = (wide.test(character) || wide.test(this.#last)) && !closing.test(character)
        const isFull = this.#wordColumns + width > this.#columns()
        if (this.#word !== '' && (isBreak || isFull)) {
          shown += this.#settle()
          // A word that is longer than a line is left to the terminal, from which it can be copied whole.
          this.#goesOn = isFull && !isBreak
        }
        this.#word += character
        this.#wordColumns += width
        this.#last = character
      }
    }
    return shown
  }

  /** What was held back. The next piece begins another word. */
  end(): string {
    const isTooWide = this.#at + this.#blankColumns > this.#columns()
    if (this.#word === '' && isTooWide) this.#blanks = ''
    return this.#settle()
  }

  /** Places the blanks and the word, of which the blanks are left out where the word begins a line. */
  #settle(): string {
    const [blanks, word, columns, goesOn] = [this.#blanks, this.#word, this.#wordColumns, this.#goesOn]
    const needed = this.#at + this.#blankColumns + columns
    ;[this.#blanks, this.#word, this.#last, this.#goesOn] = ['', '', '', false]
    ;[this.#blankColumns, this.#wordColumns] = [0, 0]
    const begins = word !== '' && this.#at > 0 && needed > this.#columns()
    this.#at = begins ? columns : needed
    return begins ? `${goesOn ? '' : '\n'}${word}` : blanks + word
  }
}

/** Wraps a whole text; lines that fit stay as they are. @param columns of a line; Infinity wraps nothing */
export function wrapWords(text: string, columns: number): string {
  const wrap = new WordWrap(() => columns)
  return wrap.push(text) + wrap.end()
}
