/**
 * Helps, as wide as the terminal: paragraphs are wrapped, rows of lists go on below their last column, and commands of examples
 * below themselves, so that they can still be copied.
 */
import { wrapLines } from '../results/fold.ts'

/** Characters of a line without a terminal, and at most. */
const [PIPE_COLUMNS, MAX_COLUMNS] = [80, 100]

/** The most of a line that names of rows may take. */
const LEAD_SHARE = 0.6

/**
 * Wraps a help, whose lines may have any length: lines without an indent that follow each other are one paragraph, and lines with
 * a deeper indent than a row go on with it.
 * @param columns of the terminal; Infinity without one
 */
export function wrapHelp(help: string, columns: number): string {
  const width = columns === Infinity ? PIPE_COLUMNS : Math.min(columns, MAX_COLUMNS)
  const blocks: string[] = []
  for (const line of help.split('\n')) {
    const before = blocks.at(-1) ?? ''
    const text = line.trim()
    const goesOn =
      text !== '' &&
      before !== '' &&
      !text.startsWith('$') &&
      (indentOf(line) > indentOf(before) ? indentOf(before) > 0 : indentOf(line) + indentOf(before) === 0)
    if (goesOn) blocks.push(`${blocks.pop()?.replace(/ \\$/, '')} ${text}`)
    else blocks.push(line.trimEnd())
  }
  return blocks.map((block) => wrapBlock(block, width)).join('\n')
}

const indentOf = (line: string): number => line.search(/\S|$/)

function wrapBlock(block: string, width: number): string {
  if (block.trimStart().startsWith('$')) {
    if (block.length <= width) return block
    // Only where a flag, another command or a comment begins, or, if that is too long, where no quoted text is cut. The backslash that
    // joins the lines takes two characters.
    const wrapped = [/(?<=\S) +(?![-|>#])/g, /(?<=^[^"]*"[^"]*(?:"[^"]*"[^"]*)*) +/g].map((held) =>
      wrapLines(block.replaceAll(held, '\u00a0'), width - 2, ' '.repeat(6)),
    )
    const fits = (text: string): boolean => text.split('\n').every((line) => line.length <= width - 2)
    return (wrapped.find(fits) ?? wrapped[0]).replaceAll('\n', ' \\\n').replaceAll('\u00a0', ' ')
  }
  const [lead = ''] = /^ +\S.*? {2,}(?=\S)/.exec(block) ?? []
  const hanging = lead.length > LEAD_SHARE * width ? indentOf(block) + 4 : lead.length
  return wrapLines(block, width, ' '.repeat(hanging || indentOf(block)))
}
