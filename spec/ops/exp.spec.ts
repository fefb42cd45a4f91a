/**
 * exp and log are our own polynomials, because engines differ in theirs: within 2 units in the last place of the truth
 * for every exponent of float32, and exact where exactness is expected.
 */
import * as laws from '../../src/verify/ops/exp.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
