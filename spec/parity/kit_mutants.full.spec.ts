/**
 * The vectors of the conformance kit catch the bugs that are planted in operations (spec/ops/*.mutants.ts) by themselves: by bits,
 * and by the bounds of every class in which the bug is larger than a bound.
 *
 * Tests scripts/kit/op_cases.ts
 */
import { expect, test } from 'vitest'
import { callsOf } from '../../scripts/kit/op_cases.ts'
import { createBackend } from '../../src/backends/select.ts'
import type { KernelName } from '../../src/ops/catalog.ts'
import { compareOutputs, evaluate } from '../../src/testing/op_agreement.ts'
import { callRaw, type Values } from '../../src/testing/op_call.ts'
import { mutants } from '../ops/all_mutants.ts'
import type { Mutant } from '../ops/mutant.ts'

/** Bugs that no vector shows, and why. */
const unseen: Readonly<Record<string, string>> = {}

const reference = await createBackend('reference')
const known = new Map<KernelName, Values[]>()

/** Whether a case shows the bug. Within one, arrays that may be one buffer are two. */
function isCaught({ op, plant }: Mutant): boolean {
  const backend = plant(reference)
  const calls = known.get(op) ?? [...callsOf(op)]
  known.set(op, calls)
  return calls.some((values) => {
    try {
      return !compareOutputs(op, values, evaluate(op, values), callRaw(backend, op, values), 'row').passed
    } catch {
      return true
    }
  })
}

test('the vectors catch every planted bug of the operations, but for those that the table explains', () => {
  const missed = mutants.filter((mutant) => !isCaught(mutant)).map(({ op, bug }) => `${op} ${bug}`)
  expect(missed).toEqual(Object.keys(unseen))
  expect(missed.length).toBeLessThan(0.05 * mutants.length)
})

test('the vectors agree with the operations in which nothing is planted', () => {
  const accused = mutants
    .filter((mutant) => isCaught({ ...mutant, plant: mutant.plantNothing }))
    .map(({ op }) => op)
  expect(accused).toEqual([])
})
