/**
 * Skipping is zeroing (laws 1 and 2, op by op): an op that takes a list of chosen heads, rows or inputs gives exactly the
 * numbers of the dense op with the other units zeroed, all of them chosen is the dense op bit for bit, and nothing of a
 * unit that was not chosen is ever looked at.
 */
import { allIsDense, choosingOps, chosenIsZeroed, othersAreUnseen } from '../../src/verify/ops/chosen.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(choosingOps().flatMap((name) => [allIsDense(name), chosenIsZeroed(name), othersAreUnseen(name)]))
