/**
 * A finding of the fuzzer is reproduced from its seed and number, and from its file.
 */
import { expect, test } from 'vitest'
import { law } from '../harness/seed.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'
import fc from 'fast-check'
import { readFindings, writeFinding } from './findings.ts'
import { mutantOf } from './mutate.ts'
import * as project from './readers.ts'

const folder = temporaryFolder()

law(
  'a mutant is a function of seed and number',
  { reader: fc.constantFrom(...project.readers), seed: fc.nat(), number: fc.nat(1e6) },
  async ({ reader, seed, number }) => {
    const corpus = await reader.valid()
    const once = await mutantOf(reader, corpus, seed, number)
    expect(await mutantOf(reader, corpus, seed, number)).toEqual(once)
  },
  { runs: 50 },
)

test('a finding read from its file equals the written one', () => {
  const finding = { reader: 'right', what: 'x', seed: 1, number: 2, bytes: Uint8Array.of(0, 255) }
  writeFinding(finding, folder)
  writeFinding(finding, folder)
  expect(readFindings(folder)).toEqual([finding])
})
