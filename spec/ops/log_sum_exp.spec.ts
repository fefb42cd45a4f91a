/**
 * log_sum_exp is a soft maximum: what float64 says, never below the largest number.
 */
import * as laws from '../../src/verify/ops/log_sum_exp.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
