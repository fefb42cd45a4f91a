/**
 * `parity run` finds the planted bugs of the suite, in its short form or in full.
 */
import { expect, test } from 'vitest'
import { createBackend } from '../../src/backends/select.ts'
import { runOp } from '../../src/parity/run_ops.ts'
import { mutants } from '../ops/all_mutants.ts'

const reference = await createBackend('reference')
const seed = 0

test('parity run finds every planted bug of the suite', () => {
  const missed = mutants
    .filter(({ op, plant }) => runOp(plant(reference), op, { seed, small: true }).passed)
    .filter(({ op, plant }) => runOp(plant(reference), op, { seed }).passed)
  expect(missed.map(({ op, bug }) => `${op} ${bug}`)).toEqual([])
  expect(mutants.length).toBeGreaterThan(150)
})
