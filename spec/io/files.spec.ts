/**
 * Files in parts: the parts together are the range, and at most two parts are in memory, however long the file is.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { openFile, readParts, type RangedFile } from '../../src/io/files.ts'
import { InputError } from '../../src/tensor/errors.ts'
import { joined } from '../../fixtures/hostile/bytes.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'

/** A file of these bytes that records the buffers it fills. */
function recordingFile(bytes: Uint8Array<ArrayBuffer>): { file: RangedFile; filled: Set<ArrayBuffer> } {
  const filled = new Set<ArrayBuffer>()
  const file: RangedFile = {
    size: bytes.length,
    read(offset, length, into = new Uint8Array(length)) {
      filled.add(into.buffer)
      into.set(bytes.subarray(offset, offset + length))
      return Promise.resolve(into.subarray(0, length))
    },
    changed: () => Promise.resolve(false),
    close: () => Promise.resolve(),
  }
  return { file, filled }
}

type Read = typeof readParts

const isReadInParts = lawForAll(
  'a range in parts is that range, read into two buffers that are no longer than a part',
  {
    drawn: fc.uint8Array({ minLength: 1, maxLength: 60 }),
    start: fc.nat(),
    end: fc.nat(),
    partLength: fc.integer({ min: 1, max: 20 }),
  },
  async (read: Read, { drawn, start, end, partLength }) => {
    const bytes = new Uint8Array(drawn)
    const offset = start % bytes.length
    const length = end % (bytes.length - offset + 1)
    const { file, filled } = recordingFile(bytes)
    const parts: Uint8Array[] = []
    for await (const part of read(file, offset, length, partLength, 'planted')) {
      expect(part.length).toBe(Math.min(partLength, length - partLength * parts.length))
      parts.push(part.slice())
    }
    expect(joined(parts)).toEqual(bytes.slice(offset, offset + length))
    expect(filled.size).toBeLessThanOrEqual(2)
    for (const { byteLength } of filled) expect(byteLength).toBeLessThanOrEqual(partLength)
  },
)

stateLaw(isReadInParts, readParts)

test('a reader that holds the whole range is killed', () =>
  kills(isReadInParts, async function* (file, offset, length, partLength) {
    const whole = await file.read(offset, length)
    for (let done = 0; done < length; done += partLength)
      yield whole.slice(done, Math.min(length, done + partLength))
  }))

test.each([
  ['Sea.TXT', 'nothing: no such file or folder (did you mean sea.txt?)'],
  ['model', 'nothing: no such file or folder (did you mean model.gguf?)'],
  ['other', 'nothing: no such file or folder'],
  ['x'.repeat(100), 'nothing: no such file or folder'],
  ['none/sea.txt', 'nothing: no such file or folder'],
])('of %s, which is not there, the near name in its folder is told', async (name, got) => {
  const folder = mkdtempSync(join(tmpdir(), 'shadowllm-near-'))
  for (const there of ['sea.txt', 'model.gguf']) writeFileSync(join(folder, there), '')
  const path = join(folder, name)
  const refused = openFile(path)
  await expect(refused).rejects.toThrow(
    new InputError('FILE_MISSING', `${path}: expected a file, got ${got}`),
  )
  rmSync(folder, { recursive: true })
})
