/**
 * `shadowllm verify`: a line per law and backend, totals, and an end that says what came of it.
 */
import { describe, expect, test } from 'vitest'
import { createBackend } from '../../../src/backends/select.ts'
import { formatReport, showVerdict, type Verification } from '../../../src/cli/commands/verify.ts'
import { suite, digestOfReports, verifyBackends, type LawReport } from '../../../src/verify/index.ts'
import { mutateKernel } from '../../harness/mutate.ts'
import { quietSession, runInside } from '../run_inside.ts'

const reference = await createBackend('reference')

/** A relu that is wrong from three numbers on. */
const broken = mutateKernel(reference, 'relu', (relu) => (y, x, N) => {
  relu(y, x, N)
  if (N >= 3) y[2] = 7
})

const reluLaws = suite.filter(({ sentence }) => sentence.startsWith('relu: random'))

/** What is found of a backend, and what is shown of that. */
async function shown(
  backend: typeof reference,
  more: Partial<Verification> = {},
): Promise<{ text: string; code: number; reports: LawReport[] }> {
  const reports: LawReport[] = []
  for await (const report of verifyBackends([backend], { seed: 5, laws: reluLaws })) reports.push(report)
  const common = { seed: 5, runs: 1, backends: ['reference'], absent: [] }
  const found: Verification = { ...common, expected: reports.length, reports, ...more }
  let text = ''
  const session = quietSession((words) => (text += words))
  for (const report of reports) text += formatReport(report, found)
  await showVerdict(session, found, false)
  return { text, code: session.exitCode, reports }
}

describe('what is printed', () => {
  test('for a law that holds is a line with its cases, their checksum and its name', async () => {
    const { text, code, reports } = await shown(reference)
    expect(text).toBe(
      `ok    reference     150 cases  ${reports[0].digest}  relu: random sizes, lists and data\n` +
        `reference: 1 laws, 150 cases, digest ${digestOfReports(reports)}\npassed: all 1\n`,
    )
    expect(code).toBe(0)
  })

  test('for several backends is in columns as wide as the longest name', async () => {
    const [report] = (await shown(reference)).reports
    const digest = '01234567'
    const lines = (
      [
        ['wasm', 1],
        ['reference', 1234],
        ['-', 22],
      ] as const
    ).map(([backend, runs]) =>
      formatReport(
        { ...report, backend, runs, digest },
        { seed: 1, runs: 1, expected: 3, reports: [], absent: [], backends: ['wasm', 'reference'] },
      ),
    )
    expect(lines).toEqual([
      `ok    wasm            1 case   01234567  ${report.law}\n`,
      `ok    reference   1,234 cases  01234567  ${report.law}\n`,
      `ok    -              22 cases  01234567  ${report.law}\n`,
    ])
  })

  test('for a broken law has the smallest case, the seed and the path, and exit code 1', async () => {
    const { text, code } = await shown(broken)
    expect(text).toMatch(
      /^FAIL {2}reference +\d+ cases? +[0-9a-f]{8} {2}relu: random sizes, lists and data\n/,
    )
    expect(text).toMatch(/\n {6}relu\.y\[2\]: expected -?[\d.e-]+, got 7 at \{"N":3\}\n/)
    expect(text).toMatch(/\n {6}wanted \{N = 3\}, .*\n(.*\n)* {6}seed 5, path \d+(:\d+)*\n/)
    expect(text).toMatch(/\nfailed: 1 of 1\n$/)
    expect(code).toBe(1)
  })

  test('for an interrupted run does not report success', async () => {
    expect((await shown(reference, { expected: 3 })).text).toMatch(
      /\nstopped: 1 passed, and nothing is known of the other 2\n$/,
    )
    const { text, code } = await shown(broken, { expected: 3 })
    expect(text).toMatch(/\nstopped: 1 of 1 failed, and nothing is known of the other 2\n$/)
    expect(code).toBe(1)
  })
})

describe('the command', () => {
  test('tries laws on the named backends and prints the seed', async () => {
    const args = ['verify', '--law', 'top_k', '--runs', '0.1', '--backend', 'wasm,reference']
    const { code, stdout, stderr } = await runInside(args)
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/^seed (\d+), cases x 0\.1 \(--seed \1 draws the same cases\)\nok {4}wasm /)
    expect(stdout).toMatch(/\nwasm: (3 laws, \d+ cases, digest \w+)\nreference: \1\npassed: all 6\n$/)
  })

  test('--json is one object, with a report per law', async () => {
    const args = ['verify', '--law', 'relu: x', '--backend', 'reference', '--seed', '3', '--json']
    const { code, stdout, stderr } = await runInside(args)
    expect([code, stderr]).toEqual([0, ''])
    const [law] = suite.filter(({ sentence }) => sentence.includes('relu: x'))
    expect(JSON.parse(stdout)).toEqual({
      seed: 3,
      runs: 1,
      passed: true,
      complete: true,
      digests: { reference: expect.stringMatching(/^[0-9a-f]{8}$/) },
      absent: [],
      laws: [
        {
          law: law.sentence,
          chapter: 'operations',
          backend: 'reference',
          runs: 100,
          passed: true,
          digest: expect.stringMatching(/^[0-9a-f]{8}$/),
          milliseconds: expect.any(Number),
        },
      ],
    })
  })

  test('backends that are missing take one line, which names them', async () => {
    const { stdout } = await runInside(['verify', '--law', 'relu: x', '--runs', '0.01', '--seed', '3'])
    const [, second] = stdout.split('\n')
    expect(second).toMatch(/^(not on this machine: [a-z, -]+ \("shadowllm doctor" says why\)|ok .*)$/)
    expect(stdout.match(/not on this machine/g)?.length ?? 0).toBeLessThanOrEqual(1)
  })

  test('a named backend that is missing exits with code 4', async () => {
    const { code, stdout, stderr } = await runInside(['verify', '--backend', 'cuda', '--law', 'relu'])
    if (code === 0) return void expect(stdout).toMatch(/\ncuda: /)
    expect([code, stdout]).toEqual([4, ''])
    expect(stderr).toMatch(/^shadowllm: [^\n]*cuda[^\n]* \[CUDA_\w+\]\n$/)
  })

  test('ctrl-C keeps the laws it finished, and ends with 130', async () => {
    const args = ['verify', '--backend', 'wasm', '--runs', '20']
    const { code, stdout, stderr } = await runInside(args, {
      interruptWhen: ({ stdout }) => stdout.includes('\nok '),
    })
    expect([code, stderr]).toEqual([130, 'shadowllm: interrupted [INTERRUPTED]\n'])
    const lines = stdout.split('\n').filter((line) => line.startsWith('ok ')).length
    expect(stdout).toMatch(
      new RegExp(
        `\\nstopped: ${lines} passed, and nothing is known of the other ${suite.length - lines}\\n$`,
      ),
    )
  })
})
