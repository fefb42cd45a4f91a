/**
 * The report of a broken law: bugs of several kinds are planted, and what is said of them is short, names everything that was
 * drawn, is about a small case, and replays.
 */
import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { createBackend } from '../../src/backends/select.ts'
import { formatReport } from '../../src/cli/commands/verify.ts'
import { mergesOf } from '../../src/io/piece_merges.ts'
import { createTokenizer } from '../../src/io/tokenizer.ts'
import { selectMask } from '../../src/masks/selection.ts'
import { tryCases, type Failure, type Trial } from '../../src/verify/check.ts'
import { describeCase, MAX_LINES, MAX_WIDTH } from '../../src/verify/describe_case.ts'
import { anyData, type DrawnData } from '../../src/verify/drawn_data.ts'
import type { Case, Law } from '../../src/verify/law.ts'
import { budgetLaws } from '../../src/verify/masks/budget_laws.ts'
import { suite, verifyBackends } from '../../src/verify/index.ts'
import { makeTokenizing } from '../../src/verify/tokenizer/cases.ts'
import { tokenizerLaws } from '../../src/verify/tokenizer/laws.ts'
import { decode, encode } from '../../src/verify/values.ts'
import { mutateKernel } from '../harness/mutate.ts'
import { killsEach, lawForAll, stateLaw } from '../harness/seed.ts'

const reference = await createBackend('reference')

/** The law of the suite that says this. */
function lawThat(words: string): Law<typeof reference> {
  const [law, ...others] = suite.filter(({ sentence }) => sentence.includes(words))
  expect(others, words).toEqual([])
  return law
}

/** How a mutant breaks a law: in few short lines, and again if it is stored and read back. */
async function broken<Subject>(law: Law<Subject>, mutant: Subject): Promise<Failure> {
  const predicate: Trial['predicate'] = (args) => law.predicate(mutant, args)
  const { failure } = await tryCases({ ...law, predicate, seed: 5, shrinkFor: 60_000 })
  if (failure === null || failure.counterexample === null)
    throw new Error(`${law.sentence}: expected to be broken`)
  const lines = failure.report.split('\n')
  expect(lines.length).toBeLessThanOrEqual(MAX_LINES)
  for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(MAX_WIDTH)
  expect(lines.at(-1)).toMatch(/^seed 5, path \d+(:\d+)*/)
  for (const name of Object.keys(law.arbitraries).filter((one) => one !== 'data'))
    expect(failure.report).toMatch(new RegExp(`\\b${name}\\b`))
  const stored = decode(JSON.parse(JSON.stringify(encode(failure.counterexample)))) as Case
  const again = await tryCases({ ...law, predicate, seed: 1, runs: 1, examples: [stored], shrinkFor: 0 })
  expect(again.failure?.report.replace(/\nseed.*/, '')).toBe(failure.report.replace(/\nseed.*/, ''))
  return failure
}

describe('a planted bug', () => {
  test('in the last element of a sum shows the smallest size, zeros and a one', async () => {
    const forgetful = mutateKernel(reference, 'add', (add) => (y, a, b, N) => {
      add(y, a, b, N)
      if (N >= 5) y[N - 1] = a[N - 1]
    })
    const law = lawThat('add: the correctly rounded sum')
    const { report } = await broken(law, forgetful)
    expect(report.replace(/path .*/, 'path')).toBe(
      ['y[4]: expected 1, got 0', 'N = 5, a [5] = all 0, b [5] = 0 0 0 0 1', 'seed 5, path'].join('\n'),
    )
    // The guide quotes it.
    const laws = suite.filter(({ sentence }) => sentence === law.sentence)
    for await (const found of verifyBackends([forgetful], { seed: 5, laws }))
      expect(readFileSync('docs/guides/laws.md', 'utf8')).toContain(
        formatReport(found, {
          seed: 5,
          runs: 1,
          backends: ['reference'],
          absent: [],
          expected: 1,
          reports: [],
        }),
      )
  })

  test('in attention that sees the future shows two tokens', async () => {
    const foreseeing = mutateKernel(
      reference,
      'attention',
      (attention) =>
        (y, query, key, value, heads, keyHeads, scale, cap, T, S, ...sizes) =>
          attention(y, query, key, value, heads, keyHeads, scale, cap, T, T > 1 ? S + 1 : S, ...sizes),
    )
    const { report } = await broken(lawThat('attention: softmax of scaled inner products'), foreseeing)
    expect(report).toMatch(/^T = 2, H = 1, G = 1, K = 1, query \[2, 1, 1\] = all 0/m)
    expect(report).toMatch(/keys \[2, 1, 1\] = .*values \[2, 1, 1\] = /)
  })

  test('in selection that keeps one unit too many shows scores and budget', async () => {
    const greedy: typeof selectMask = (scores, budget, topK) =>
      selectMask(scores, budget, (list, R) => (topK ?? defaultTopK)(list, Math.min(list.length, R + 1)))
    const defaultTopK = (list: Float32Array, R: number): Int32Array =>
      Int32Array.from([...list.keys()].toSorted((a, b) => list[b] - list[a] || a - b).slice(0, R)).sort()
    const { report, counterexample } = await broken(budgetLaws.denseLayers, (scores, budget) =>
      greedy(scores, budget),
    )
    expect(report).toMatch(/^(heads|neurons) kept: expected \d+, got \d+\n/)
    expect(report).toMatch(/scores \{shape \{layers = 1, heads = \d, neurons = \d\}, heads \[\d\] = .*\}/)
    expect(counterexample).toMatchObject({ scores: { shape: { layers: 1 } } })
  })

  test('in a tokenizer shows the text and the merges', async () => {
    const law = {
      ...tokenizerLaws.isBpe,
      runs: 3000,
      arbitraries: { ...tokenizerLaws.isBpe.arbitraries, data: anyData },
      predicate: (_: null, { data, ...args }: Case) => {
        const { vocabulary } = makeTokenizing(data as DrawnData)
        const joined = { ...vocabulary, merges: mergesOf(vocabulary).slice(0, -1) }
        return tokenizerLaws.isBpe.predicate({ tokenizer: createTokenizer(joined), vocabulary }, args)
      },
    }
    const { report } = await broken(law, null)
    expect(report).toMatch(/^ids: expected \d+ numbers, got \d+\n/)
    expect(report).toMatch(/text = ".{2,6}"/)
    // Many merges take several lines.
    expect(report.replaceAll('\n', ' ')).toMatch(/merges = \["\S+ \S+"(, "\S+ \S+")*\]/)
  })
})

describe('a report', () => {
  const anyValue = fc.oneof(
    fc.anything({ withTypedArray: true, withMap: true, withSet: true, withBigInt: true, maxDepth: 2 }),
    fc.array(fc.double(), { maxLength: 500 }),
    fc.float32Array({ maxLength: 500 }),
    fc.string({ maxLength: 500 }),
  )
  const isShort = lawForAll(
    'has at most 18 lines of at most 110 characters, whatever the case',
    {
      args: fc.dictionary(fc.string({ minLength: 1, maxLength: 40 }), anyValue, {
        maxKeys: 40,
        noNullPrototype: true,
      }),
      words: fc.string({ maxLength: 2000 }),
      arrays: fc.array(fc.nat(900), { maxLength: 30 }),
      data: anyData,
    },
    (describe: typeof describeCase, { args, words, arrays, data }) => {
      arrays.forEach((length, i) => data.floats(`x${i}`, length, 'broken'))
      const report = describe({
        error: new Error(words),
        counterexample: { ...args, data },
        seed: 1,
        path: words,
      })
      const lines = report.split('\n')
      expect(lines.length).toBeLessThanOrEqual(MAX_LINES)
      expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(MAX_WIDTH)
    },
  )
  stateLaw(isShort, describeCase)

  killsEach('%s is found to be too long', isShort, {
    'of every argument in full': (one) =>
      `${describeCase(one)}\n${Object.keys(one.counterexample ?? {}).join()}`,
    'of the whole error': (one) => `${String(one.error)}\n${describeCase(one)}`,
  })

  const shown = (x: unknown): string =>
    describeCase({ error: new Error('e'), counterexample: { x } }).slice(2)

  test.each([
    [Float32Array.of(0.1, -0, NaN, 2 ** -149, 1 / 3), 'x [5] = 0.1 -0 NaN 1e-45 0.33333…'],
    [[0.1, 1 / 3, 1e300], 'x [3] = 0.1 0.33333… 1e+300'],
    [new Float32Array(9), 'x [9] = all 0'],
    [new Float32Array(9).fill(1, 4, 5), 'x [9] = all 0 but [4] 1'],
    [Float32Array.of(3), 'x [1] = 3'],
    [[], 'x = []'],
    [0.1 + 0.2, 'x = 0.30000000000000004'],
    [{ a: 1, b: { c: 'd', e: null } }, 'x {a = 1, b {c = "d", e = null}}'],
    [[{ a: [1, 2] }, { a: [] }], 'x[0] {a [2] = 1 2}, x[1] {a = []}'],
    [
      Array.from({ length: 500 }, (_, i) => i),
      /^x \[500\] = 0 1 2 3 .* … .* 498 499 \(500\nnumbers\)$|\(500 numbers\)$/,
    ],
  ])('shows %o so that it can be read', (value, expected) => {
    if (typeof expected === 'string') expect(shown(value)).toBe(expected)
    else expect(shown(value)).toMatch(expected)
  })

  test('says of two sides which is which', () => {
    const error = new Error('logits[3]: expected 1, got 2')
    expect(describeCase({ error, sides: { expected: 'with the bug', got: 'without it' } })).toBe(
      'logits[3]: with the bug 1, without it 2',
    )
  })

  test('names the arguments for which there is no room', () => {
    const counterexample = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`x${i}`, 'y'.repeat(60)]))
    const lines = describeCase({ error: new Error('e'), counterexample, seed: 1 }).split('\n')
    expect(lines).toHaveLength(MAX_LINES)
    expect(lines.at(-2)).toMatch(/^… and 25 more: x15, x16, .*x39$/)
  })
})
