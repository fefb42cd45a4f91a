/**
 * Readers with a planted bug each, and one without: what the fuzzer must find, and must not. `cell_thread.ts` loads this
 * file like readers.ts.
 */
import { refusal } from '../../src/io/refusal.ts'
import type { HostileInput } from '../../fixtures/hostile/input.ts'
import type { Reader } from './reader.ts'

const valid = async (): Promise<Uint8Array[]> => [Uint8Array.from({ length: 40 }, (_, i) => 65 + (i % 26))]
const refuse = (): never => {
  throw refusal('PLANTED', 'a file', 'letters', 'others')
}
const letters = (bytes: Uint8Array): string =>
  bytes.every((byte) => byte >= 65 && byte < 91) ? String.fromCharCode(...bytes) : refuse()

function reader(name: string, read: (bytes: Uint8Array) => unknown): Reader {
  return { name, read: async (bytes) => read(bytes), valid }
}

let calls = 0

/** See the head of this file. */
export const readers: readonly Reader[] = [
  reader('right', letters),
  reader('throws on a byte', (bytes) => {
    if (bytes.includes(0xff)) (undefined as unknown as Uint8Array).at(0)
    return letters(bytes)
  }),
  reader('loops', (bytes) => {
    if (bytes.includes(0xff)) for (;;);
    return letters(bytes)
  }),
  reader('believes a length', (bytes) => {
    const length = bytes.includes(0xff) ? 2 ** 30 : bytes.length
    return new Uint8Array(length).length
  }),
  reader('fills the heap', (bytes) => {
    // A chain, not a list: one that grows asks for so much at once that the process may end before the thread does.
    let chain: unknown = null
    if (bytes.includes(0xff)) for (;;) chain = { chain }
    return letters(bytes)
  }),
  reader('calls itself', function read(bytes: Uint8Array): unknown {
    return bytes.includes(0xff) ? [read(bytes)] : letters(bytes)
  }),
  reader('poisons', (bytes) => {
    if (bytes.includes(0xff)) (Object.prototype as Record<string, unknown>).polluted = 1
    return letters(bytes)
  }),
  reader('changes its mind', (bytes) => (bytes.includes(0xff) ? calls++ : letters(bytes))),
  reader('shows what it read', (bytes) => {
    if (bytes.includes(0xff)) throw refusal('PLANTED', 'a file', 'letters', '\u001b[2J')
    return letters(bytes)
  }),
  reader('changes its input', (bytes) => {
    if (bytes.includes(0xff)) bytes.fill(65)
    return bytes.length
  }),
]

/** A table of one input, which no mutants are made of. */
export function inputsOf(): readonly HostileInput[] {
  const make = (): Uint8Array => Uint8Array.of(65, 0xff)
  return [{ reader: 'rows', ids: ['XX01'], what: 'a byte', answer: 'PLANTED', make, isLarge: true }]
}
