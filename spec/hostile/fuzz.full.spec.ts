/**
 * The fuzzer finds what is wrong, in as many mutants as are said here, and nothing in a reader that is right; what it
 * found can be had again from seed and number, and is kept as small as it gets.
 */
import { describe, expect, test } from 'vitest'
import { runCampaign, type ReaderReport } from './campaign.ts'
import { Cell, usualLimits, type Limits } from './cell.ts'
import { corpusOf, mutantOf } from './mutate.ts'
import { inputsOf, readers } from './planted.ts'

const module = new URL('./planted.ts', import.meta.url)
const limits: Limits = { ...usualLimits, megabytes: 64 }
const isDeno = 'Deno' in globalThis
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
    ['believes a length', 'memory that the input does not explain'],
    ['calls itself', 'RangeError: '],
    ['poisons', 'the prototype of Object was changed'],
    ['changes its mind', 'two answers'],
    ['shows what it read', 'PLANTED: control marks in its message'],
    ['changes its input', 'the input was changed'],
  ])('that %s is found in 60 mutants', { timeout: 600_000 }, (name, what) => isFound(name, what, limits))

  // A slow mutant counts as one that loops, because the fault is the same.
  test('that loops is found in 60 mutants', { timeout: 600_000 }, () =>
    isFound('loops', 'no end in time', { ...limits, milliseconds: 1000 }),
  )

  test.skipIf(isDeno)(
    `that fills the heap is found in 60 mutants${isDeno ? ' (skipped: threads of Deno have no limit of memory)' : ''}`,
    { timeout: 600_000 },
    () => isFound('fills the heap', 'no end of memory', limits),
  )

  async function isFound(name: string, what: string, within: Limits): Promise<void> {
    const { findings } = await campaign(name, { to: 60, limits: within })
    expect(findings.map((finding) => finding.what).join()).toContain(what)
    const [finding] = findings
    const corpus = await corpusOf(readers[0], inputsOf())
    const mutant = await mutantOf(readers[0], corpus, finding.seed, finding.number)
    if (what.startsWith('no end')) expect(finding.bytes).toEqual(mutant)
    else expect(finding.bytes.length).toBeLessThanOrEqual(2)
  }

  test('is not reported in a correct reader', async () => {
    const report = await campaign('right', { to: 500 })
    expect(report).toMatchObject({ findings: [], executions: 500, next: 500 })
    expect([...report.answers.keys()].toSorted()).toEqual(['PLANTED', 'read'])
  })
})

test('a campaign resumes at a number with the same cases', async () => {
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

test('a cell that was stopped starts again', async () => {
  const outcomes: string[] = []
  const inputs = [Uint8Array.of(65), Uint8Array.of(255), Uint8Array.of(66)]
  // The clock advances only during the second input, which loops.
  let time = 0
  const now = (): number => (outcomes.length === 1 ? (time += 2 * limits.milliseconds) : time)
  const cell = new Cell(module, limits, now)
  await cell.run({ reader: 'loops', from: 0, to: 3, inputs }, (_, { kind }) => outcomes.push(kind))
  await cell.close()
  expect(outcomes).toEqual(['read', 'fault', 'read'])
})
