/**
 * sum_squares adds up squares.
 */
import * as laws from '../../src/verify/ops/sum_squares.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
