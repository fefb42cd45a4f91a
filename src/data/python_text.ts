/**
 * What Python calls white space, where a published number depends on it.
 *
 * lm-evaluation-harness counts words with `re.split(r"\s+", page)` and trims with `str.strip()`. JavaScript's own \s has
 * the byte order mark and lacks the separators U+001C to U+001F and U+0085.
 */

/** The inside of a character class: what `str.isspace` says yes to. */
const pythonSpace = '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000'

const leading = new RegExp(`^[${pythonSpace}]+`)
const trailing = new RegExp(`[${pythonSpace}]+$`)
const runs = new RegExp(`[${pythonSpace}]+`)

/** Without white space at either end: `text.strip()`. */
export function strip(text: string): string {
  return stripEnd(text.replace(leading, ''))
}

/** Without white space at its end: `text.rstrip()`. */
export function stripEnd(text: string): string {
  // A regular expression would try every run of spaces inside the text up to its end: quadratic.
  let end = text.length
  while (end > 0 && trailing.test(text[end - 1])) end--
  return text.slice(0, end)
}

/** How many pieces `re.split(r"\s+", text)` gives, the empty ones at the ends included. */
export function countPieces(text: string): number {
  return text.split(runs).length
}

/** First character in upper case, all others in lower case: `text.capitalize()`. */
export function capitalize(text: string): string {
  const [first = ''] = text
  return first.toUpperCase() + text.slice(first.length).toLowerCase()
}
