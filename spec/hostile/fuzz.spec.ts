/**
 * The fuzzer finds what is wrong, in as many mutants as are said here, and nothing in a reader that is right; what it
 * found can be had again from seed and number, and is kept as small as it gets.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { law } from '../harness/seed.ts'
import fc from 'fast-check'
import { runCampaign, type ReaderReport } from './campaign.ts'
import { Cell, type Limits } from './cell.ts'
import { readFindings, writeFinding } from './findings.ts'
import { corpusOf, mutantOf } from './mutate.ts'
import { inputsOf, readers } from './planted.ts'
import * as project from './readers.ts'

const module = new URL('./planted.ts', import.meta.url)
const limits: Limits = { milliseconds: 1000, megabytes: 64 }
const folder = mkdtempSync(join(tmpdir(), 'shadowllm-findings-'))
afterAll(() => rmSync(folder, { recursive: true }))

async function campaign(
  name: string,
  more: { from?: number; to: number; limits?: Limits },
): Promise<ReaderReport> {
  const [report] = await runCampaign({ module, readers: [name], seed: 1, limits, ...more })
  return report
}

describe('a planted bug', () => {
  test.each([
    ['throws on a byte', 'TypeError: '],
    ['loops', 'no end in time'],
    ['believes a length', 'memory that the input does not explain'],
    ['fills the heap', 'no end of memory'],
    ['calls itself', 'RangeError: '],
    ['poisons', 'the prototype of Object was changed'],
    ['changes its mind', 'two answers'],
    ['shows what it read', 'PLANTED: control marks in its message'],
    ['changes its input', 'the input was changed'],
  ])('that %s is found in 60 mutants', { timeout: 120_000 }, async (name, what) => {
    // What fills the heap does not run out of time first, however slow the machine is.
    const time = name === 'fills the heap' ? 60_000 : limits.milliseconds
    const { findings } = await campaign(name, { to: 60, limits: { ...limits, milliseconds: time } })
    expect(findings.map((finding) => finding.what).join()).toContain(what)
    const [finding] = findings
    const corpus = await corpusOf(readers[0], inputsOf())
    const mutant = await mutantOf(readers[0], corpus, finding.seed, finding.number)
    if (what.startsWith('no end')) expect(finding.bytes).toEqual(mutant)
    else expect(finding.bytes.length).toBeLessThanOrEqual(2)
  })

  test('is not seen where there is none', async () => {
    const report = await campaign('right', { to: 500 })
    expect(report).toMatchObject({ findings: [], executions: 500, next: 500 })
    expect([...report.answers.keys()].toSorted()).toEqual(['PLANTED', 'read'])
  })
})

test('a campaign goes on at a number with what it would have tried there', async () => {
  const whole = await campaign('right', { to: 80 })
  const [first, second] = [await campaign('right', { to: 30 }), await campaign('right', { from: 30, to: 80 })]
  for (const [answer, count] of whole.answers)
    expect((first.answers.get(answer) ?? 0) + (second.answers.get(answer) ?? 0)).toBe(count)
})

test('readers share the time', async () => {
  const reports = await runCampaign({
    module,
    readers: ['right', 'poisons'],
    seed: 1,
    to: 200,
    workers: 2,
    limits,
  })
  expect(reports.map(({ name, executions }) => [name, executions])).toEqual([
    ['right', 200],
    ['poisons', 200],
  ])
})

law(
  'a mutant is a function of seed and number',
  [fc.constantFrom(...project.readers), fc.nat(), fc.nat(1e6)],
  async (reader, seed, number) => {
    const corpus = await reader.valid()
    const once = await mutantOf(reader, corpus, seed, number)
    expect(await mutantOf(reader, corpus, seed, number)).toEqual(once)
  },
  { runs: 50 },
)

test('a finding comes back from its file', () => {
  const finding = { reader: 'right', what: 'x', seed: 1, number: 2, bytes: Uint8Array.of(0, 255) }
  writeFinding(finding, folder)
  writeFinding(finding, folder)
  expect(readFindings(folder)).toEqual([finding])
})

test('a cell that was ended begins again', async () => {
  const cell = new Cell(module, limits)
  const outcomes: string[] = []
  const inputs = [Uint8Array.of(65), Uint8Array.of(255), Uint8Array.of(66)]
  await cell.run({ reader: 'loops', from: 0, to: 3, inputs }, (_, { kind }) => outcomes.push(kind))
  await cell.close()
  expect(outcomes).toEqual(['read', 'fault', 'read'])
})
