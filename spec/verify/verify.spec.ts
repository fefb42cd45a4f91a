/**
 * The laws as data, and what runs them: the same seed means the same cases to the test runner and to `verify`, a bug in a
 * backend fails the laws that are about it and no others, and a run that is stopped keeps what it has.
 *
 * Tests src/verify/check.ts, src/verify/digest.ts, src/verify/law.ts and src/verify/suite.ts.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Backend, Buffer } from '../../src/backends/backend.ts'
import { createBackend } from '../../src/backends/select.ts'
import { tryCases } from '../../src/verify/check.ts'
import { CaseDigest } from '../../src/verify/digest.ts'
import { encode } from '../../src/verify/values.ts'
import { suite, verify, verifyBackends, type LawReport, type TryOptions } from '../../src/verify/index.ts'
import { lawAlways, lawForAll, type Case } from '../../src/verify/law.ts'
import { mutate, mutateKernel } from '../harness/mutate.ts'
import { checkOn, law, runSeed, scaledRuns } from '../harness/seed.ts'

const reference = await createBackend('reference')

async function collect(reports: AsyncIterable<LawReport>): Promise<LawReport[]> {
  const all: LawReport[] = []
  for await (const report of reports) all.push(report)
  return all
}

/** The laws whose names contain these words. */
function lawsAbout(words: string): TryOptions['laws'] {
  const found = suite.filter(({ sentence }) => sentence.includes(words))
  if (found.length === 0) throw new Error(`no law is about ${words}`)
  return found
}

const few = { seed: 1, runs: 0.1 }

/** The sentences of laws a backend breaks. */
async function brokenLaws(backend: Backend, laws: TryOptions['laws']): Promise<string[]> {
  const reports = await collect(verifyBackends([backend], { seed: 1, laws }))
  return reports.filter(({ passed }) => !passed).map((report) => report.law)
}

describe('the list of laws', () => {
  test('has each law once', () => {
    const sentences = suite.map(({ sentence }) => sentence)
    expect(new Set(sentences).size).toBe(sentences.length)
  })

  test('has only laws with serialisable arguments, so that their cases have a digest', () => {
    for (const { sentence, arbitraries, examples } of suite) {
      const drawn = Object.values(arbitraries).map((arbitrary) => fc.sample(arbitrary, 3))
      expect(
        () => [...drawn, ...examples].forEach((args) => new CaseDigest(encode).add(args)),
        sentence,
      ).not.toThrow()
    }
  })

  test('holds on wasm, with the number of cases of each law', async () => {
    // Agreement at every small size takes long: spec/ops/agreement.spec.ts states it.
    const laws = suite.filter(({ sentence }) => !sentence.includes('at every offset'))
    expect(laws.length).toBeGreaterThan(suite.length / 2)
    const reports = await collect(verify({ backends: ['wasm'], ...few, laws }))
    expect(reports.filter(({ passed }) => !passed)).toEqual([])
    expect(reports.map((report) => report.law)).toEqual(laws.map(({ sentence }) => sentence))
    reports.forEach(({ runs, backend }, i) => {
      expect(runs, laws[i].sentence).toBe(Math.max(1, Math.round(laws[i].runs * few.runs)))
      expect(backend).toBe(laws[i].ofRuntime ? 'none' : 'wasm')
    })
  })

  test('is the whole suite by default', async () => {
    const stop = new AbortController()
    const laws: string[] = []
    for await (const { law } of verify({ backends: ['wasm'], ...few, signal: stop.signal })) {
      laws.push(law)
      if (laws.length === 2) stop.abort()
    }
    expect(laws).toEqual(suite.slice(0, 2).map(({ sentence }) => sentence))
  })
})

describe('the same seed', () => {
  const laws = lawsAbout('top_k')

  test('draws the same cases on another backend, another seed others', async () => {
    const digests = async (backend: string, seed: number): Promise<string[]> =>
      (await collect(verify({ backends: [backend], seed, runs: 0.2, laws }))).map(({ digest }) => digest)
    const first = await digests('reference', 7)
    expect(await digests('wasm', 7)).toEqual(first)
    const drawn = suite
      .filter((one) => laws?.includes(one))
      .map(({ arbitraries }) => Object.keys(arbitraries).length > 0)
    const other = await digests('reference', 8)
    expect(other.map((digest, i) => digest !== first[i])).toEqual(drawn)
  })

  test('draws the same cases here and in verify', async () => {
    const [one] = lawsAbout('top_k: exactly') ?? []
    const here = new CaseDigest(encode)
    const watched = { ...one, predicate: (_: Backend, args: Case) => here.add(args) }
    await checkOn(watched, reference)
    const runs = scaledRuns(one.runs) / one.runs
    const [report] = await collect(verifyBackends([reference], { seed: runSeed(), runs, laws: [one] }))
    expect(report.digest).toBe(here.value)
  })
})

describe('the digest', () => {
  const digestOf = (cases: readonly unknown[][]): string => {
    const digest = new CaseDigest(encode)
    for (const args of cases) digest.add(args)
    return digest.value
  }
  const cases = fc.array(fc.array(fc.oneof(fc.integer(), fc.double(), fc.float32Array()), { minLength: 1 }), {
    minLength: 1,
    maxLength: 5,
  })

  law('of different cases differs', { one: cases, two: cases }, ({ one, two }) => {
    fc.pre(!isSame(one, two))
    expect(digestOf(one)).not.toBe(digestOf(two))
  })

  const isSame = (one: unknown, two: unknown): boolean => {
    try {
      expect(one).toStrictEqual(two)
      return true
    } catch {
      return false
    }
  }

  test('depends on every bit, the sign of a zero, the kind of an array, and the end of a case', () => {
    const digests = [
      [[1]],
      [[1 + 2 ** -52]],
      [[0]],
      [[-0]],
      [[Float32Array.of(1)]],
      [[[1]]],
      [[1], [2]],
      [[1, 2]],
    ]
    expect(new Set(digests.map(digestOf)).size).toBe(digests.length)
  })
})

describe('a planted bug', () => {
  test('in an op breaks the laws of that op, and no others', async () => {
    const laws = lawsAbout('top_k')
    const lateTies = mutateKernel(reference, 'top_k', (top_k) => (indices, scores, N, R) => {
      top_k(indices, scores.toReversed(), N, R)
      indices.set(indices.map((unit) => N - 1 - unit).toReversed())
    })
    expect(await brokenLaws(reference, laws)).toEqual([])
    expect(await brokenLaws(lateTies, laws)).toEqual([
      'top_k: every size 0..33 at every offset',
      'top_k: random sizes, lists and data',
      'top_k: exactly the units that fewer than R others beat, in ascending order',
    ])
    expect(await brokenLaws(lateTies, lawsAbout('relu'))).toEqual([])
  })

  test('in how masks are executed breaks "masked = zeroed" and not "rewound"', async () => {
    const unmasked = mutate(reference, 'linear_input_major', (op) => (y, x, w, bias, inputs) => {
      op(y, x, w, (inputs?.length ?? x.shape[1]) === 0 ? null : bias, inputs)
    })
    const laws = [
      ...(lawsAbout("those units' weights zeroed, as numbers") ?? []),
      ...(lawsAbout('rewound to any place') ?? []),
    ]
    expect(await brokenLaws(unmasked, laws)).toEqual([laws[0].sentence])
  })

  test('is reported with the smallest case, its path and the error', async () => {
    const bad = mutateKernel(reference, 'relu', (relu) => (y, x, N) => {
      relu(y, x, N)
      if (N >= 3) y[2] = 7
    })
    const [report] = await collect(
      verifyBackends([bad], { seed: 3, laws: lawsAbout('relu: random sizes, lists and data') }),
    )
    expect(report.passed).toBe(false)
    const { wanted } = JSON.parse(report.counterexample as string) as { wanted: { N: number } }
    expect(wanted.N).toBe(3)
    expect(report.error).toMatch(/relu\.y\[2\]: expected .*, got 7/)
    expect(report.path).toMatch(/^\d+(:\d+)*$/)
  })

  test('that leaks a buffer fails its law, and not the next one', async () => {
    const kept: Buffer[] = []
    const leaky = mutate(reference, 'relu', (relu) => (y, x) => {
      relu(y, x)
      if (kept.length === 0) kept.push(reference.allocate('f32', [1]))
    })
    const reports = await collect(verifyBackends([leaky], { ...few, laws: lawsAbout('relu: ') }))
    kept.forEach((buffer) => reference.free(buffer))
    expect(reports.map(({ passed }) => passed)).toEqual([false, ...reports.slice(1).map(() => true)])
    expect(reports[0].error).toBe('buffers left behind: expected 0, got 1')
  })
})

describe('a run', () => {
  const place = { chapter: 'test', ofRuntime: false }
  const counted = lawForAll<Backend, { n: number }>('any number', { n: fc.integer() }, () => {}, { runs: 40 })

  test('that is stopped between laws keeps the laws it finished', async () => {
    const stop = new AbortController()
    const seen: string[] = []
    for await (const { law } of verifyBackends([reference], { ...few, signal: stop.signal })) {
      seen.push(law)
      if (seen.length === 3) stop.abort()
    }
    expect(seen).toEqual(suite.slice(0, 3).map(({ sentence }) => sentence))
  })

  test('that is stopped inside a law does not report that law', async () => {
    const stop = new AbortController()
    let cases = 0
    const stopping = lawForAll<Backend, { n: number }>('stops', { n: fc.integer() }, () => {
      if (++cases === 5) stop.abort()
    })
    const laws = [counted, stopping, counted].map((one) => ({ ...one, ...place }))
    const reports = await collect(verifyBackends([reference], { seed: 1, laws, signal: stop.signal }))
    expect(reports.map(({ law, runs }) => [law, runs])).toEqual([['any number', 40]])
    expect(cases).toBe(5)
  })

  test('lets other events happen between cases', async () => {
    const stop = new AbortController()
    setTimeout(() => stop.abort(), 0)
    const slow = lawForAll<Backend, { n: number }>('slow', { n: fc.integer() }, () => {
      for (const start = performance.now(); performance.now() - start < 2;);
    })
    const laws = [{ ...slow, runs: 1e6, ...place }]
    expect(await collect(verifyBackends([reference], { seed: 1, laws, signal: stop.signal }))).toEqual([])
  })

  test('refuses an invalid seed, number of cases or backend', async () => {
    const refused = async (options: object): Promise<unknown> =>
      collect(verify({ backends: ['reference'], seed: 1, ...options })).catch(({ code }) => code as unknown)
    expect(await refused({ seed: 0.5 })).toBe('SEED')
    expect(await refused({ seed: 2 ** 31 })).toBe('SEED')
    expect(await refused({ runs: 0 })).toBe('RUNS')
    expect(await refused({ runs: NaN })).toBe('RUNS')
    expect(await refused({ backends: [] })).toBe('BACKEND_NAME')
    expect(await refused({ backends: ['abacus'] })).toBe('BACKEND_NAME')
  })
})

describe('trying a law', () => {
  test('reports every case until one breaks it, and none of those from shrinking', async () => {
    const told: unknown[] = []
    const { failure, runs } = await tryCases({
      arbitraries: { x: fc.integer({ min: 0, max: 1000 }) },
      predicate: ({ x }) => (x as number) < 10,
      seed: 4,
      runs: 100,
      onCase: ({ x }) => told.push(x),
    })
    expect(failure?.counterexample).toEqual({ x: 10 })
    expect(told).toHaveLength(runs)
    expect(told.slice(0, -1).every((x) => (x as number) < 10)).toBe(true)
    expect(told.at(-1)).toBeGreaterThanOrEqual(10)
  })

  test('shrinks a case for a limited time, and then has the smallest found', async () => {
    const found = async (shrinkFor: number): Promise<unknown> => {
      const { failure, interrupted } = await tryCases({
        arbitraries: { x: fc.integer({ min: 0, max: 2 ** 30 }) },
        predicate: async ({ x }) => {
          await new Promise((resolve) => setTimeout(resolve, 5))
          return (x as number) < 10
        },
        seed: 4,
        runs: 100,
        shrinkFor,
      })
      expect(interrupted).toBe(false)
      return failure?.counterexample?.x
    }
    expect(await found(300_000)).toBe(10)
    expect(await found(1)).toBeGreaterThan(10)
    expect(await found(0)).toBeGreaterThanOrEqual((await found(1)) as number)
  })

  test('tries its examples first', async () => {
    const told: unknown[] = []
    const trial = {
      arbitraries: { x: fc.nat(3) },
      predicate: () => true,
      seed: 4,
      runs: 5,
      examples: [{ x: 99 }],
    }
    await tryCases({ ...trial, onCase: ({ x }) => told.push(x) })
    expect(told[0]).toBe(99)
    expect(told).toHaveLength(5)
  })

  test.each<[string, Readonly<Record<string, fc.Arbitrary<unknown>>>, number]>([
    ['drawn', { x: fc.nat() }, 3],
    ['without arguments', {}, 1],
  ])('%s is interrupted only if it is ended before all cases were tried', async (_, arbitraries, runs) => {
    const trial = { arbitraries, predicate: () => true, seed: 4, runs: 3 }
    expect(await tryCases({ ...trial, goOn: () => true })).toEqual({
      interrupted: false,
      runs,
      failure: null,
    })
    expect(await tryCases({ ...trial, goOn: () => false })).toEqual({
      interrupted: true,
      runs: 0,
      failure: null,
    })
  })

  test('without arguments is tried once, and fails by throwing or returning false', async () => {
    const outcome = (check: () => boolean | void): ReturnType<typeof tryCases> =>
      tryCases({ ...lawAlways('once', check), predicate: check, seed: 1, runs: 7 })
    expect(await outcome(() => {})).toEqual({ interrupted: false, runs: 1, failure: null })
    expect((await outcome(() => false)).failure?.report).toBe('the law returned false')
    const broken = await outcome(() => {
      throw new Error('wrong')
    })
    expect(broken.failure).toMatchObject({ counterexample: null, path: null, report: 'wrong' })
  })
})
