/**
 * The case that breaks a law in words, the same wherever it is shown: what is wrong, each argument and each dealt array by
 * name, and the seed and path that replay it. At most 18 lines of at most 110 characters, whatever the case: with the sentence
 * of the law above it, and indented, a report has 20 lines of 120 characters.
 */
import { isPlain } from '../io/canonical_json.ts'
import { DrawnData, type Deal } from './drawn_data.ts'
import type { Case } from './law.ts'

/** The most lines of a report. */
export const MAX_LINES = 18
/** The most characters of a line. */
export const MAX_WIDTH = 110

/** What is said instead of "expected" and "got". */
export interface Sides {
  readonly expected: string
  readonly got: string
}

/** The message. */
export interface BrokenCase {
  /** What the predicate threw. */
  readonly error: unknown
  /** The arguments; null if the law has none. */
  readonly counterexample?: Case | null
  readonly seed?: number
  readonly path?: string | null
  /** Where a law compares two sides and neither is the one that is right by definition. */
  readonly sides?: Sides
}

/** The report of a broken law. */
export function describeCase({ error, counterexample, seed, path, sides }: BrokenCase): string {
  const about = wrapped(sided(wordsOf(error), sides), 4)
  const replay = seed === undefined ? [] : [cut(`seed ${seed}${path ? `, path ${path}` : ''}`, MAX_WIDTH)]
  const free = MAX_LINES - about.length - replay.length
  const values = counterexample ? valueLines(itemsOf(counterexample), free) : []
  return [...about, ...values, ...replay].join('\n')
}

/** "expected 1, got 2" in other words. */
function sided(words: string, sides: Sides | undefined): string {
  if (sides === undefined) return words
  return words.replace(/expected (.+), got (.+)/, `${sides.expected} $1, ${sides.got} $2`)
}

/** A named value, as text that fits into a number of characters. */
interface Item {
  readonly name: string
  readonly text: (width: number) => string
}

function wordsOf(error: unknown): string {
  const words = error instanceof Error ? error.message || error.name : String(error)
  return words.replace(COLOURS, '').replace(/\s+/g, ' ').trim()
}

/** What assertion libraries write to colour their messages. */
// oxlint-disable-next-line no-control-regex
const COLOURS = /\u001b\[[0-9;]*m/g

/** Text in lines, broken at spaces; what does not fit into the last is cut. */
function wrapped(text: string, lines: number, width = MAX_WIDTH): string[] {
  const found: string[] = []
  let rest = text
  while (found.length < lines - 1 && rest.length > width) {
    const space = rest.lastIndexOf(' ', width)
    const end = space > 0 ? space : width
    found.push(rest.slice(0, end))
    rest = rest.slice(end).trimStart()
  }
  return [...found, cut(rest, width)]
}

/** Text without its middle if it is too long. */
function cut(text: string, width: number): string {
  if (text.length <= width) return text
  const head = Math.ceil((2 * (width - 3)) / 3)
  return `${text.slice(0, head)} … ${text.slice(text.length - (width - 3 - head))}`
}

/** Named values, and what parts they have. */
function itemsOf(values: Case): Item[] {
  return Object.entries(values).flatMap(([name, value]) => partsOf(name, value))
}

function partsOf(name: string, value: unknown): Item[] {
  if (value instanceof DrawnData) return value.dealt.map(dealtItem)
  if (isPlain(value) && Object.keys(value).length > 0) return inBraces(name, itemsOf(value))
  if (isNumbers(value)) return [arrayItem(name, [value.length], value)]
  if (Array.isArray(value) && value.some((part) => typeof part === 'object' && part !== null))
    return value.flatMap((part, i) => partsOf(`${name}[${i}]`, part))
  return [{ name, text: (width) => cut(`${name} = ${plainText(value)}`, width) }]
}

/** The parts of an object: braces stand before the first and after the last. */
function inBraces(name: string, parts: readonly Item[]): Item[] {
  return parts.map((part, i) => {
    const [left, right] = [i === 0 ? `${name} {` : '', i === parts.length - 1 ? '}' : '']
    const text = (width: number): string => left + part.text(width - left.length - right.length) + right
    return { name: left + part.name + right, text }
  })
}

function dealtItem(deal: Deal): Item {
  if ('values' in deal) return arrayItem(deal.name, deal.shape ?? [deal.values.length], deal.values)
  const { name, shown } = deal
  return { name, text: (width) => cut(`${name} = ${plainText(shown)}`, width) }
}

function arrayItem(name: string, shape: readonly number[], values: ArrayLike<number>): Item {
  const label = `${name} [${shape.join(', ')}] = `
  return { name, text: (width) => `${label}${numbersText(values, Math.max(20, width - label.length))}` }
}

function isNumbers(value: unknown): value is ArrayLike<number> {
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) return true
  return Array.isArray(value) && value.length > 0 && value.every((part) => typeof part === 'number')
}

/** A value that is no array of numbers. */
function plainText(value: unknown): string {
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value)
  if (typeof value === 'string') return JSON.stringify(value)
  if (typeof value === 'bigint') return `${value}n`
  if (typeof value === 'function') return 'a function'
  if (Array.isArray(value)) return `[${value.map(plainText).join(', ')}]`
  if (value instanceof Map || value instanceof Set) return plainText([...value])
  if (isPlain(value)) {
    const parts = Object.entries(value).map(([key, part]) => `${key}: ${plainText(part)}`)
    return `{${parts.join(', ')}}`
  }
  return typeof value === 'object' && value !== null ? Object.prototype.toString.call(value) : String(value)
}

/** A number in the fewest digits that give it back, if these are few; its size otherwise. */
function numberText(value: number, isSingle = false): string {
  if (Object.is(value, -0)) return '-0'
  if (!Number.isFinite(value) || Number.isInteger(value)) return shortest(String(value), value)
  for (let digits = 1; digits <= 6; digits++) {
    const rounded = Number(value.toPrecision(digits))
    if (rounded === value || (isSingle && Math.fround(rounded) === value)) return String(rounded)
  }
  return `${Number(value.toPrecision(5))}…`
}

/** The size of a number with many digits, such as 1e30 in float32. */
function shortest(text: string, value: number): string {
  return text.length <= 10 ? text : `${Number(value.toPrecision(5))}…`
}

/** Numbers within a width: as exceptions from the most frequent of them, one by one, or without their middle. */
function numbersText(values: ArrayLike<number>, width: number): string {
  const numbers = Array.from(values)
  if (numbers.length === 0) return 'nothing'
  const isSingle = values instanceof Float32Array
  const texts = numbers.map((value) => numberText(value, isSingle))
  const [usual, count] = mostFrequent(texts)
  if (count === texts.length) return count === 1 ? usual : `all ${usual}`
  const whole = texts.join(' ')
  const isSparse = texts.length > 6 && count >= texts.length / 2
  if (!isSparse) return whole.length <= width ? whole : withoutMiddle(texts, width)
  const others = texts.flatMap((text, i) => (text === usual ? [] : [`[${i}] ${text}`]))
  return `all ${usual} but ${joinedWithin(others, ', ', width - usual.length - 9)}`
}

function mostFrequent(texts: readonly string[]): [text: string, count: number] {
  const counts = new Map<string, number>()
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1)
  return [...counts].reduce((most, entry) => (entry[1] > most[1] ? entry : most))
}

/** As many of the first and the last as fit. */
function withoutMiddle(texts: readonly string[], width: number): string {
  const count = ` (${texts.length} numbers)`
  let [head, tail, length] = [0, 0, count.length + 2]
  for (let isHead = true; head + tail < texts.length; isHead = head <= 2 * tail) {
    const next = isHead ? texts[head] : texts[texts.length - 1 - tail]
    length += next.length + 1
    if (length > width) break
    if (isHead) head++
    else tail++
  }
  return [...texts.slice(0, head), '…', ...texts.slice(texts.length - tail)].join(' ') + count
}

/** As many of the first as fit, and how many more there are. */
function joinedWithin(texts: readonly string[], separator: string, width: number): string {
  const whole = texts.join(separator)
  if (whole.length <= width) return whole
  let shown = 0
  let length = 14
  while (shown < texts.length && (length += texts[shown].length + separator.length) <= width) shown++
  return `${texts.slice(0, shown).join(separator)}, … (${texts.length - shown} more)`
}

/**
 * Items in lines, short ones side by side, long ones in several lines if there is room. If there is no room for all, the last
 * line names the others.
 */
function valueLines(items: readonly Item[], most: number): string[] {
  for (const linesEach of [4, 2, 1]) {
    const { lines, shown } = laidOut(items, linesEach, most)
    if (shown === items.length) return lines
  }
  const { lines, shown } = laidOut(items, 1, most - 1)
  const names = items.slice(shown, shown + MAX_WIDTH).map(({ name }) => name)
  return [...lines, cut(`… and ${items.length - shown} more: ${names.join(', ')}`, MAX_WIDTH)]
}

/** Values of so many characters stand side by side. */
const SHORT = 40

/** As many of the first items as there is room for, and how many these are. */
function laidOut(
  items: readonly Item[],
  linesEach: number,
  most: number,
): { lines: string[]; shown: number } {
  const lines: string[] = []
  const width = MAX_WIDTH - 1 // and a comma
  let isOpen = false
  let shown = 0
  for (const item of items) {
    // A space at the end of a line takes up to a number's length.
    const text = item.text(width * linesEach - (linesEach - 1) * 14)
    const isShort = text.length <= SHORT
    const last = lines.at(-1) ?? ''
    if (isShort && isOpen && last.length + 2 + text.length <= width) lines[lines.length - 1] += `, ${text}`
    else {
      const own = wrapped(text, linesEach, width)
      if (lines.length + own.length > most) break
      if (lines.length > 0) lines[lines.length - 1] += ','
      lines.push(...own)
    }
    isOpen = isShort
    shown++
  }
  return { lines, shown }
}
