/**
 * Results as JSON that people can read, too.
 */

/** A result as the text of a JSON file: indented, a list of numbers on one line, ending with a line break. */
export function jsonText(result: object): string {
  const text = JSON.stringify(result, null, 2)
  // A line break stands between values only: in a text it is written as two signs.
  return `${text.replace(/\[\n[\s\d.,eE+-]*\]/g, (list) => list.replace(/\s+/g, ' '))}\n`
}
