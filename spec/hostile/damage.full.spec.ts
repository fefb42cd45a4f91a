/**
 * Damage: whatever becomes of a right file, a reader reads it or refuses it. A file that is cut off is refused, where the
 * format can tell.
 *
 * Files of up to a few hundred bytes are tried everywhere, longer ones at as many places; SHADOWLLM_RUNS tries more.
 */
import { afterAll, describe, expect, test } from 'vitest'
import { joined } from '../../fixtures/hostile/bytes.ts'
import { Random } from '../../src/tensor/random.ts'
import { runSeed, scaledRuns } from '../harness/seed.ts'
import { damagedValues, withByte } from '../io/hostile.ts'
import { Cell, projectReaders, type Limits } from './cell.ts'
import type { Outcome } from './judge.ts'
import { readers as planted } from './planted.ts'
import type { Reader } from './reader.ts'
import { readers } from './readers.ts'

const limits: Limits = { milliseconds: 60_000, megabytes: 512 }
const cell = new Cell(projectReaders, limits)
afterAll(() => cell.close())

/** What becomes of each input. Whether a second reading has the answer of the first is seen on some: those that are not read `once`. */
async function outcomesOf(
  at: Cell,
  { name }: Reader,
  inputs: readonly Uint8Array[],
  once = false,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  const job = { reader: name, from: 0, to: inputs.length, inputs, once }
  await at.run(job, (i, outcome) => (outcomes[i] = outcome))
  expect(outcomes).toHaveLength(inputs.length)
  return outcomes
}

/** Places in a file, all of them or as many as there is time for. */
function placesIn(length: number, random: Random): number[] {
  const most = scaledRuns(200)
  if (length <= most) return Array.from({ length }, (_, i) => i)
  return Array.from({ length: most }, (_, i) =>
    Math.min(length - 1, Math.floor(((i + random.uniform()) * length) / most)),
  )
}

const faults = (outcomes: readonly Outcome[]): string[] =>
  outcomes.flatMap((outcome) => (outcome.kind === 'fault' ? [outcome.what] : []))

const cutIsRefused = async (at: Cell, reader: Reader): Promise<void> => {
  const random = new Random(runSeed())
  for (const file of await reader.valid()) {
    const prefixes = placesIn(file.length, random).map((length) => file.slice(0, length))
    const outcomes = await outcomesOf(at, reader, prefixes, true)
    expect(faults(outcomes)).toEqual([])
    if (!reader.readsPrefixes) expect(outcomes.filter(({ kind }) => kind === 'read')).toEqual([])
  }
}

const changeIsReadOrRefused = async (at: Cell, reader: Reader): Promise<void> => {
  const random = new Random(runSeed())
  for (const file of await reader.valid()) {
    const changed = placesIn(file.length, random).map((place) => {
      const values = damagedValues(file[place], false)
      return withByte(file, place, values[random.below(values.length)])
    })
    expect(faults(await outcomesOf(at, reader, changed, true))).toEqual([])
  }
}

const spliceIsReadOrRefused = async (at: Cell, reader: Reader): Promise<void> => {
  const random = new Random(runSeed())
  const files = await reader.valid()
  const pick = (): Uint8Array => files[random.below(files.length)]
  const spliced = Array.from({ length: scaledRuns(60) }, () => {
    const [a, b] = [pick(), pick()]
    return joined([a.subarray(0, random.below(a.length + 1)), b.subarray(random.below(b.length + 1))])
  })
  expect(faults(await outcomesOf(at, reader, spliced))).toEqual([])
}

const mutantsAreReadOrRefused = async (at: Cell, reader: Reader): Promise<void> => {
  const job = { reader: reader.name, seed: runSeed(), from: 0, to: scaledRuns(100) }
  const outcomes: Outcome[] = []
  await at.run(job, (i, outcome) => (outcomes[i] = outcome))
  expect(faults(outcomes)).toEqual([])
}

const timeout = 600_000

describe.each(readers.map((reader) => [reader.name, reader] as const))('%s', (_, reader) => {
  test('a file that is cut off is refused', { timeout }, () => cutIsRefused(cell, reader))
  test('a file with any byte changed is read or refused', { timeout }, () =>
    changeIsReadOrRefused(cell, reader),
  )
  test('two files spliced are read or refused', { timeout }, () => spliceIsReadOrRefused(cell, reader))
  test('lengths and fields replaced by any others are read or refused', { timeout }, () =>
    mutantsAreReadOrRefused(cell, reader),
  )
})

describe('mutants are killed', () => {
  const at = new Cell(new URL('./planted.ts', import.meta.url), { ...limits, megabytes: 64 })
  afterAll(() => at.close())
  const mutant = (name: string): Reader => planted.find((reader) => reader.name === name) as Reader

  /** A file with the byte in it twice, so that neither chance nor a change of one place decides. */
  const twoWrong = async (): Promise<Uint8Array[]> => [Uint8Array.of(65, 0xff, 66, 0xff)]

  test('a reader that accepts a truncated file', () =>
    expect(cutIsRefused(at, mutant('right'))).rejects.toThrow('to deeply equal'))

  test.each([
    ['changeIsReadOrRefused', changeIsReadOrRefused],
    ['spliceIsReadOrRefused', spliceIsReadOrRefused],
    ['mutantsAreReadOrRefused', mutantsAreReadOrRefused],
  ])('a reader that throws: by %s', (_, holds) =>
    expect(holds(at, { ...mutant('throws on a byte'), valid: twoWrong })).rejects.toThrow('to deeply equal'),
  )
})
