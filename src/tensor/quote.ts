/**
 * Untrusted text for people: in a terminal, in the cell of a table, inside a message. Characters that steer a terminal or turn the
 * direction of writing are spelt as JSON spells them, such as \u001b.
 */

const MAX_QUOTE_LENGTH = 80

/** Control characters but tabs and line breaks, direction overrides, embeddings and isolates, and the separators of Unicode. */
const steering = /[[\p{Cc}--[\t\n\r]]\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]|\r(?!\n)/gv

/** The same, tabs, line breaks, and format characters, most of which nobody sees. */
const unseen = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

/**
 * Text of any length for a terminal. Line breaks and tabs stay, as do joiners and direction marks, which words and emoji need. The
 * text of a JSON file keeps its value.
 */
export function shownText(text: string): string {
  return text.replace(steering, spell)
}

/** Text for one line of a terminal, such as the cell of a table. */
export function shownLine(text: string): string {
  return text.replace(unseen, spell)
}

/** Text inside a message: quoted, truncated, on one line. */
export function quote(text: string): string {
  let spelt = ''
  let at = 0
  // Truncated by its printed length: a spelt character has six letters.
  for (
    ;
    at < text.length && spelt.length < MAX_QUOTE_LENGTH;
    at += (text.codePointAt(at) as number) > 0xffff ? 2 : 1
  )
    spelt += shownLine(JSON.stringify(String.fromCodePoint(text.codePointAt(at) as number)).slice(1, -1))
  return `"${spelt}${at < text.length ? '…' : ''}"`
}

/** The name of a tensor inside a message; unusual names are quoted. */
export function shownName(name: string): string {
  return /^[\w.:/[\]-]{1,200}$/.test(name) ? name : quote(name)
}

function spell(character: string): string {
  return character
    .split('')
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('')
}
