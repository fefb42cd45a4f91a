/**
 * What the signals that interrupt a process do.
 */

/** npm and the launcher pass a ctrl-C on to a process that had it from the terminal already: that is one ctrl-C. */
const SAME_KEY_PRESS = 300 // ms

/** The signals of a process, as they come. */
export class Interrupts {
  #first: number | null = null

  /**
   * The first one ends the work, those of the same key press do nothing, and a later one ends the process.
   * @param at milliseconds on a clock that never goes back
   */
  take(at: number): 'ends the work' | 'nothing' | 'ends the process' {
    if (this.#first === null) {
      this.#first = at
      return 'ends the work'
    }
    return at - this.#first > SAME_KEY_PRESS ? 'ends the process' : 'nothing'
  }
}
