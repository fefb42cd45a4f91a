/**
 * The table of hostile inputs: each reader gives exactly the answer that stands there, in bounded time and memory.
 *
 * Readers run in cells (cell.ts) with limits of time and memory, so that a hang or an unbounded heap fails a test and does not
 * hang the run. Inputs of megabytes are left to the full tier.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { hostileInputs, triedElsewhere } from '../../fixtures/hostile/index.ts'
import { LOADS, type HostileInput } from '../../fixtures/hostile/input.ts'
import { root } from '../harness/syntax.ts'
import { isQuick, isRest } from '../harness/tier.ts'
import { Cell, usualLimits } from './cell.ts'
import { readFindings } from './findings.ts'
import type { Outcome } from './judge.ts'
import { otherReaders } from './other_readers.ts'
import * as planted from './planted.ts'
import { inputsOf, readers } from './readers.ts'

/** The list, as it must be tried: letters and the last number. */
const list = { ST: 25, IX: 6, ZP: 13, PK: 22, CF: 4, TK: 5, GG: 30, HB: 7, TR: 1 }
const numbers = Object.entries(list).flatMap(([letters, last]) =>
  Array.from({ length: last }, (_, i) => `${letters}${String(i + 1).padStart(2, '0')}`),
)

test('every numbered case is in the table, or in a named test elsewhere', () => {
  const inTable = new Set(hostileInputs.flatMap(({ ids }) => ids))
  expect(numbers.filter((id) => !inTable.has(id) && !Object.hasOwn(triedElsewhere, id))).toEqual([])
  for (const { file, law } of Object.values(triedElsewhere))
    expect(readFileSync(join(root, file), 'utf8')).toContain(law)
})

/** Readers whose wrong inputs stand in the spec files of their modules. */
const triedBeside = ['json', 'torch-legacy', ...otherReaders.map(({ name }) => name)]

test('every reader has inputs, every input has a reader, and no input occurs twice', () => {
  const names = readers.map(({ name }) => name)
  expect(hostileInputs.filter(({ reader }) => !names.includes(reader))).toEqual([])
  expect(names.filter((name) => inputsOf(name).length === 0).toSorted()).toEqual(triedBeside.toSorted())
  const titles = hostileInputs.map(({ reader, ids, what }) => `${reader} ${ids.join()} ${what}`)
  expect(titles.filter((title, i) => titles.indexOf(title) !== i)).toEqual([])
})

test('SECURITY.md states the number of inputs of each reader', () => {
  const page = readFileSync(join(root, 'SECURITY.md'), 'utf8')
  const said = [...page.matchAll(/^\| ([a-z-]+) +\| +(\d+) +\|$/gm)].map(([, name, count]) => [
    name,
    Number(count),
  ])
  const counted = readers.map(({ name }) => [name, inputsOf(name).length]).filter(([, count]) => count !== 0)
  expect(said).toEqual([...counted, ['all', hostileInputs.length]])
})

const cell = new Cell()
afterAll(() => cell.close())

/** The inputs of a reader that are tried, by their places among all of it: from each first one up to the next that is not tried. */
function rangesOf(
  inputs: readonly HostileInput[],
  isTried: (input: HostileInput) => boolean,
): [number, number][] {
  const ranges: [number, number][] = []
  for (const [place, input] of inputs.entries()) {
    if (!isTried(input)) continue
    const last = ranges.at(-1)
    if (last?.[1] === place) last[1]++
    else ranges.push([place, place + 1])
  }
  return ranges
}

/**
 * A reader gives each of these inputs the answer that stands beside it, in the words that stand there. The cell makes them, one after
 * the other: together they are gigabytes.
 */
async function givesTheAnswers(
  at: Cell,
  reader: string,
  inputs: readonly HostileInput[],
  isTried: (input: HostileInput) => boolean = () => true,
  once = false,
): Promise<void> {
  const outcomes = new Map<HostileInput, Outcome>()
  for (const [from, to] of rangesOf(inputs, isTried)) {
    const job = { reader, from, to, once }
    expect(await at.run(job, (i, outcome) => outcomes.set(inputs[i], outcome))).toBe(to)
  }
  const tried = inputs.filter(isTried)
  const answers = tried.map((input) => [input, answerOf(outcomes.get(input) as Outcome)] as const)
  expect(answers.map(([{ ids, what }, answer]) => `${ids.join()} ${what}: ${answer}`)).toEqual(
    tried.map(({ ids, what, answer }) => `${ids.join()} ${what}: ${answer}`),
  )
  for (const [input, outcome] of outcomes)
    if (outcome.kind === 'refused') expect(outcome.message).toContain(input.says ?? '')
}

const isTried = ({ isLarge }: HostileInput): boolean => (isLarge ? !isQuick : !isRest)

describe.each(readers.filter(({ name }) => inputsOf(name).some(isTried)))('$name', ({ name }) => {
  test('gives the answers of the table', { timeout: 600_000 }, async () => {
    const inputs = inputsOf(name)
    await givesTheAnswers(cell, name, inputs, (input) => isTried(input) && !input.isLarge)
    // Whether a second reading has the answer of the first is seen on small inputs.
    await givesTheAnswers(cell, name, inputs, (input) => isTried(input) && input.isLarge, true)
  })
  for (const { what } of isQuick ? inputsOf(name).filter((input) => !isTried(input)) : [])
    test.skip(`${what} is tried by npm run test:full`, () => {})
})

describe('a reader with another answer is found', () => {
  const module = new URL('./planted.ts', import.meta.url)
  // In Deno a thread that has filled its heap ends without a word, so that the limit of time finds it.
  const at = new Cell(module, { milliseconds: 2000, megabytes: 64 })
  afterAll(() => at.close())

  test('a correct reader is not', () => givesTheAnswers(at, 'right', planted.inputsOf()))
  test.each(
    planted.readers.filter(({ name }) => !['right', 'loops'].includes(name)).map(({ name }) => [name]),
  )('that %s', (name) =>
    expect(givesTheAnswers(at, name, planted.inputsOf())).rejects.toThrow('to deeply equal'),
  )
  test('a reader that loops', async () => {
    // Its only input is never read, so no limit is too short.
    const cell = new Cell(module, { ...usualLimits, milliseconds: 0 })
    await expect(givesTheAnswers(cell, 'loops', planted.inputsOf())).rejects.toThrow('no end in time')
    await cell.close()
  })
  test('a reader with another message', () =>
    expect(
      givesTheAnswers(
        at,
        'right',
        planted.inputsOf().map((input) => ({ ...input, says: 'os.system' })),
      ),
    ).rejects.toThrow('os.system'))
})

test.each(readFindings().map((finding) => [finding.reader, finding.what, finding] as const))(
  'a finding of %s is read or refused now: %s',
  async (reader, _, { bytes }) => {
    const outcomes: Outcome[] = []
    await cell.run({ reader, from: 0, to: 1, inputs: [bytes] }, (i, outcome) => (outcomes[i] = outcome))
    expect(outcomes.map(({ kind }) => kind)).not.toContain('fault')
  },
)

function answerOf(outcome: Outcome): string {
  if (outcome.kind === 'fault') return `FAULT ${outcome.what}`
  return outcome.kind === 'read' ? LOADS : outcome.code
}
