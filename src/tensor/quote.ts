/**
 * Untrusted text inside messages.
 */

const MAX_QUOTE_LENGTH = 80

/** Untrusted text for one line of a terminal: quoted, truncated, with control and direction characters escaped. */
export function quote(text: string): string {
  let spelt = ''
  let at = 0
  // Truncated by its printed length: an escaped character has eight letters.
  for (
    ;
    at < text.length && spelt.length < MAX_QUOTE_LENGTH;
    at += (text.codePointAt(at) as number) > 0xffff ? 2 : 1
  )
    spelt += spell(String.fromCodePoint(text.codePointAt(at) as number))
  return `"${spelt}${at < text.length ? '…' : ''}"`
}

/** The name of a tensor inside a message; unusual names are quoted. */
export function shownName(name: string): string {
  return /^[\w.:/[\]-]{1,200}$/.test(name) ? name : quote(name)
}

function spell(character: string): string {
  return JSON.stringify(character)
    .slice(1, -1)
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (mark) => `\\u{${(mark.codePointAt(0) as number).toString(16)}}`)
}
