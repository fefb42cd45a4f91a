/**
 * Findings: inputs that a reader did neither read nor refuse, made smaller and kept under `fixtures/hostile/findings`.
 * Each is tried again by table.spec.ts for ever, like a row of the table.
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Cell } from './cell.ts'

/** Where findings are kept. */
const findingsFolder: string = fileURLToPath(new URL('../../fixtures/hostile/findings', import.meta.url))

/** One finding. */
export interface Finding {
  readonly reader: string
  /** What became of it, before it was put right. */
  readonly what: string
  /** The mutant it was made smaller from: its seed and number. */
  readonly seed: number
  readonly number: number
  readonly bytes: Uint8Array
}

/** The findings that are kept. */
export function readFindings(folder: string = findingsFolder): Finding[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .toSorted()
    .map((name) => {
      const stored = JSON.parse(readFileSync(join(folder, name), 'utf8')) as Finding & { bytes: string }
      return { ...stored, bytes: new Uint8Array(Buffer.from(stored.bytes, 'base64')) }
    })
}

/** Keeps a finding under a name that is that of its content. @returns the file */
export function writeFinding(finding: Finding, folder: string = findingsFolder): string {
  mkdirSync(folder, { recursive: true })
  const { reader, bytes } = finding
  const path = join(folder, `${reader}-${createHash('sha1').update(bytes).digest('hex').slice(0, 12)}.json`)
  const stored = { ...finding, bytes: Buffer.from(bytes).toString('base64') }
  writeFileSync(path, `${JSON.stringify(stored, null, 1)}\n`)
  return path
}

const MOST_TRIES = 300

/** The same fault in fewer bytes, by leaving out pieces: halves first, then smaller ones. */
export async function minimise(
  cell: Cell,
  reader: string,
  bytes: Uint8Array,
  what: string,
): Promise<Uint8Array> {
  let smallest = bytes
  let tries = 0
  for (let length = bytes.length >> 1; length >= 1 && tries < MOST_TRIES; length >>= 1)
    for (let start = 0; start < smallest.length && tries < MOST_TRIES;) {
      const without = new Uint8Array([...smallest.subarray(0, start), ...smallest.subarray(start + length)])
      tries++
      if (await isFault(cell, reader, without, what)) smallest = without
      else start += length
    }
  return smallest
}

async function isFault(cell: Cell, reader: string, bytes: Uint8Array, what: string): Promise<boolean> {
  let found = false
  await cell.run({ reader, from: 0, to: 1, inputs: [bytes] }, (_, outcome) => {
    found = outcome.kind === 'fault' && outcome.what === what
  })
  return found
}
