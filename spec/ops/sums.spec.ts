/**
 * sum adds up numbers, sum_squares adds up squares, each to what was added up before.
 */
import * as laws from '../../src/verify/ops/sums.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
