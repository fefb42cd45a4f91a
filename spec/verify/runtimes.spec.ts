/**
 * A difference between the cases of two runtimes is found; runtimes.full.spec.ts compares this runtime with Deno.
 */
import { describe, expect, test } from 'vitest'
import type { LawReport } from '../../src/verify/index.ts'
import { otherCases } from './same_cases.ts'

describe('different cases are found', () => {
  const common = { chapter: '', backend: 'wasm', passed: true, milliseconds: 1 }
  const report = (law: string, digest: string, runs = 100): LawReport => ({ ...common, law, digest, runs })
  const here = [report('one', '00000001'), report('two', '00000002')]

  test.each<[string, LawReport[], string[]]>([
    ['nothing', here, []],
    ['another case', [here[0], report('two', '00000003')], ['two']],
    ['fewer cases', [report('one', '00000001', 99), here[1]], ['one']],
    ['a law that was left out', [here[0]], ['two']],
    ['a law that is not here', [...here, report('three', '00000001')], ['three']],
  ])('%s', (_, there, found) => expect(otherCases(here, there)).toEqual(found))
})
