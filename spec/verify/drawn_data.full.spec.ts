/**
 * Every law of the suite also holds on simplified data. Otherwise shrinking could end at a case that breaks a law without a bug.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createBackend } from '../../src/backends/select.ts'
import { anyData, type DrawnData } from '../../src/verify/drawn_data.ts'
import type { Case } from '../../src/verify/law.ts'
import { suite } from '../../src/verify/suite.ts'
import { encode } from '../../src/verify/values.ts'
import { runSeed, scaledRuns } from '../harness/seed.ts'

/** How many simplifications of a case are tried. */
const MOST = 8

test('every law that draws data holds on simplified data too', { timeout: 600_000 }, async () => {
  const backend = await createBackend('reference')
  const laws = suite.filter(({ arbitraries }) => 'data' in arbitraries)
  expect(laws.length).toBeGreaterThan(100)
  const broken: string[] = []
  for (const { sentence, arbitraries, predicate } of laws) {
    const cases = fc.sample(fc.record(arbitraries), { numRuns: scaledRuns(2), seed: runSeed() })
    for (const args of cases as Case[]) {
      await predicate(backend, args)
      // The first are the simplest of each array and choice.
      for (const { value: data } of anyData.shrink(args.data as DrawnData, undefined).take(MOST))
        try {
          if ((await predicate(backend, { ...args, data })) === false) throw new Error('returned false')
        } catch (error) {
          broken.push(`${sentence}: ${JSON.stringify(encode(data))}: ${(error as Error).message}`)
        }
    }
  }
  expect(broken).toEqual([])
})
