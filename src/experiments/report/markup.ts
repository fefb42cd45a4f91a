/**
 * HTML that cannot be broken by what it shows: in a template, whatever is not markup itself is text.
 */

/** A piece of HTML. Only `markup` and `trusted` make it. */
export class Markup {
  readonly html: string

  constructor(html: string) {
    this.html = html
  }
}

/** What a template takes: text, numbers, pieces, or lists of pieces; null is nothing. */
export type Content = string | number | Markup | null | readonly Content[]

/** A piece of HTML from a template: its own words are HTML, its values are text unless they are pieces. */
export function markup(words: TemplateStringsArray, ...values: readonly Content[]): Markup {
  return new Markup(words.map((word, i) => word + (i < values.length ? render(values[i]) : '')).join(''))
}

/** HTML written or made by this project, taken as it is. */
export function trusted(html: string): Markup {
  return new Markup(html)
}

/** Text as HTML, in content and in quoted attributes. */
export function escapeText(text: string): string {
  return (
    text
      // eslint-disable-next-line no-control-regex -- HTML allows none of them
      .replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '\ufffd')
      .replaceAll('&', '&amp;')
      .replaceAll('<', '&lt;')
      .replaceAll('>', '&gt;')
      .replaceAll('"', '&quot;')
      .replaceAll("'", '&#39;')
  )
}

function render(value: Content): string {
  if (value === null) return ''
  if (value instanceof Markup) return value.html
  if (typeof value === 'object') return value.map(render).join('')
  return escapeText(String(value))
}
