/**
 * Options of the library and flags of commands have the same names, each spelt in its way.
 */

/** The flag of an option: `--top-k` of `topK`. */
export function flagName(option: string): string {
  return `--${option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
}
