/**
 * Every planted bug of the law book against the cases of `parity run`, the short form first.
 */
import { expect, test } from 'vitest'
import { createBackend } from '../../src/backends/select.ts'
import { runOp } from '../../src/eval/parity/run_ops.ts'
import { mutants } from '../mutants/all.ts'
import { unseenBugs } from './unseen_bugs.ts'

const reference = await createBackend('reference')
const seed = 0

test('a planted bug of the law book is found by parity run, but for five', () => {
  const missed = mutants
    .filter(({ op, plant }) => runOp(plant(reference), op, { seed, small: true }).passed)
    .filter(({ op, plant }) => runOp(plant(reference), op, { seed }).passed)
  expect(missed.map(({ op, bug }) => `${op} ${bug}`).toSorted()).toEqual(unseenBugs)
  expect(mutants.length).toBeGreaterThan(150)
})
