/**
 * Text that is wider than a terminal: columns of a table are folded into parts below each other, and lines are wrapped
 * between words.
 */

/** The width that a table must fit. */
export interface Fit {
  /** Characters of a line; default: no limit. */
  readonly columns?: number
  /** How many columns name a row; they begin each part. Default: 1. */
  readonly keys?: number
}

/** Spaces between two columns. */
export const GAP = 2

/**
 * Divides the columns of a table into parts, so that no line is longer than `columns`. Each part has at least one column besides
 * the keys, even if that column is too wide.
 * @param widths of the columns, without gaps
 * @returns for each part the indices of its columns: the keys, then the columns of this part, in order
 */
export function foldColumns(
  widths: readonly number[],
  { columns = Infinity, keys = 1 }: Fit = {},
): number[][] {
  const lead = widths.slice(0, keys)
  const start = lead.reduce((total, width) => total + width + GAP, 0)
  const parts: number[][] = []
  let part: number[] = []
  let used = start
  for (const [place, width] of widths.slice(lead.length).entries()) {
    if (part.length > 0 && used + width > columns) {
      parts.push(part)
      part = []
      used = start
    }
    part.push(lead.length + place)
    used += width + GAP
  }
  return [...parts, part].map((own) => [...lead.keys(), ...own])
}

/** Wraps a text to lines of at most `columns` characters; a longer word has a line of its own. Line breaks are kept. */
export function wrapLines(text: string, columns: number, indent = ''): string {
  return text
    .split('\n')
    .map((line) => wrapLine(line, columns, indent))
    .join('\n')
}

function wrapLine(text: string, columns: number, indent: string): string {
  if (text.length <= columns) return text
  const lines: string[] = []
  const [first, ...words] = text.split(' ')
  let line = first
  for (const word of words) {
    if (line.trim() !== '' && line.length + 1 + word.length > columns) {
      lines.push(line.trimEnd())
      line = indent + word
    } else line = `${line} ${word}`
  }
  return [...lines, line].join('\n')
}
