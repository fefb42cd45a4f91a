/**
 * softmax makes each row a distribution: the one of float64, and no other for a number added to the whole row. log_sum_exp is
 * that of float64 too.
 */
import * as laws from '../../src/verify/ops/softmax.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
