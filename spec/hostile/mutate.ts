/**
 * Wrong files out of right ones. A mutant is a function of the reader's corpus, a seed and a number, so that any of them
 * can be had again: nothing else of a run needs to be remembered.
 */
import { Random } from '../../src/tensor/random.ts'
import { joined } from '../../fixtures/hostile/bytes.ts'
import type { HostileInput } from '../../fixtures/hostile/input.ts'
import type { Reader } from './reader.ts'

/** Sizes that overflow something, or nearly. */
const numbers = [0, 1, 2, 3, 4, 7, 8, 127, 128, 255, 256, 2 ** 15, 2 ** 16 - 1, 2 ** 16, 2 ** 24, 2 ** 31 - 1]
  .concat([2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 40, 2 ** 52, 2 ** 53 - 1, 2 ** 53, 2 ** 63])
  .map(BigInt)
  .concat([2n ** 64n - 1n, 2n ** 64n - 8n, -1n, -2n])

const digits = ['-1', '-0', '1e3', '1.5', '1e999', '01', '', 'null', 'true', '"1"', '[]', '{}', '__proto__']

const marks = [...'"{}[],:\\0129-.eF \n().'].map((mark) => mark.charCodeAt(0))

type Mutation = (bytes: Uint8Array, random: Random, other: Uint8Array, words: readonly string[]) => Uint8Array

const mutations: readonly Mutation[] = [
  // Flips a bit.
  (bytes, random) => changed(bytes, random, (byte) => byte ^ (1 << random.below(8))),
  // Puts a byte in the place of another: a mark of some format, or any.
  (bytes, random) =>
    changed(bytes, random, () => (random.below(2) ? marks[random.below(marks.length)] : random.below(256))),
  // Puts a number in the place of 1, 2, 4 or 8 bytes.
  (bytes, random) => {
    const size = 2 ** random.below(4)
    const number = BigInt.asUintN(64, numbers[random.below(numbers.length)] + BigInt(random.below(3) - 1))
    const field = Uint8Array.from({ length: size }, (_, i) => Number((number >> BigInt(8 * i)) & 255n))
    return spliced(bytes, random.below(bytes.length + 1), size, field)
  },
  // Adds a little to a field, or takes it away: an offset or a length that is nearly right.
  (bytes, random) => changed(bytes, random, (byte) => byte + [-8, -4, -1, 1, 4, 8][random.below(6)]),
  // Puts another number in the place of one written in digits.
  (bytes, random) => {
    const found = digitRun(bytes, random.below(bytes.length + 1))
    if (found === null) return bytes
    const text = random.below(2)
      ? `${numbers[random.below(numbers.length)]}`
      : digits[random.below(digits.length)]
    return spliced(bytes, found.start, found.length, encode(text))
  },
  // Leaves a piece out, doubles it, or moves it.
  (bytes, random) => {
    const [start, length] = piece(bytes, random)
    return spliced(bytes, start, length, new Uint8Array(0))
  },
  (bytes, random) => {
    const [start, length] = piece(bytes, random)
    return spliced(bytes, random.below(bytes.length + 1), 0, bytes.subarray(start, start + length))
  },
  // Exchanges two pieces of the same length: fields of a table of records.
  (bytes, random) => {
    const [start, length] = piece(bytes, random)
    const to = random.below(bytes.length - length + 1)
    const out = bytes.slice()
    out.set(bytes.subarray(to, to + length), start)
    out.set(bytes.subarray(start, start + length), to)
    return out
  },
  // Puts in a word of the format.
  (bytes, random, _, words) => {
    if (words.length === 0) return bytes
    const at = random.below(bytes.length + 1)
    const word = encode(words[random.below(words.length)])
    return spliced(bytes, at, random.below(2) ? word.length : 0, word)
  },
  // Ends early.
  (bytes, random) => bytes.subarray(0, random.below(bytes.length + 1)),
  // Begins like one file and goes on like another.
  (bytes, random, other) =>
    joined([
      bytes.subarray(0, random.below(bytes.length + 1)),
      other.subarray(random.below(other.length + 1)),
    ]),
  (bytes, random, other) => {
    const [start, length] = piece(other, random)
    return spliced(bytes, random.below(bytes.length + 1), 0, other.subarray(start, start + length))
  },
]

/**
 * One mutant: a file of the corpus, changed once or a few times; where a format has checksums, with the right ones in
 * half of the cases, because nothing wrong gets past wrong ones.
 */
export async function mutantOf(
  reader: Pick<Reader, 'words' | 'repair'>,
  corpus: readonly Uint8Array[],
  seed: number,
  index: number,
): Promise<Uint8Array> {
  const random = new Random((seed ^ Math.imul(index + 1, 0x9e3779b1)) >>> 0)
  const pick = (): Uint8Array => corpus[random.below(corpus.length)]
  let bytes = pick()
  for (let times = 1 + random.below(4); times > 0; times--) {
    if (bytes.length === 0) bytes = pick()
    bytes = mutations[random.below(mutations.length)](bytes, random, pick(), reader.words ?? [])
  }
  if (reader.repair !== undefined && random.below(4) > 0) bytes = await reader.repair(bytes, random)
  // In a buffer of its own: readers may look at what lies beneath.
  return bytes.slice()
}

/** The files that a reader's mutants are made of: right ones, and wrong ones that are not large. */
export async function corpusOf(reader: Reader, wrong: readonly HostileInput[]): Promise<Uint8Array[]> {
  const small = wrong.filter(({ isLarge }) => !isLarge)
  const valid = await reader.valid()
  // Right ones are at least half: changing what is wrong already leads less far.
  const times = Math.max(2, Math.ceil(small.length / valid.length))
  const right = Array.from({ length: times }, () => valid).flat()
  return [...right, ...(await Promise.all(small.map(({ make }) => make())))]
}

/** A piece: mostly small. */
function piece(bytes: Uint8Array, random: Random): [start: number, length: number] {
  const length = Math.min(bytes.length, 1 + random.below(random.below(4) ? 16 : 256))
  return [random.below(bytes.length - length + 1), length]
}

function changed(bytes: Uint8Array, random: Random, change: (byte: number) => number): Uint8Array {
  const out = bytes.slice()
  const at = random.below(Math.max(1, out.length))
  out[at] = change(out[at])
  return out
}

function spliced(bytes: Uint8Array, start: number, length: number, put: Uint8Array): Uint8Array {
  return joined([bytes.subarray(0, start), put, bytes.subarray(start + length)])
}

/** The digits at or after a place. */
function digitRun(bytes: Uint8Array, from: number): { start: number; length: number } | null {
  const isDigit = (at: number): boolean => bytes[at] >= 0x30 && bytes[at] <= 0x39
  for (let start = from; start < bytes.length; start++) {
    if (!isDigit(start)) continue
    let end = start
    while (isDigit(end)) end++
    return { start, length: end - start }
  }
  return null
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
