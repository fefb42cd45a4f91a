/**
 * sum adds up numbers.
 */
import * as laws from '../../src/verify/ops/sum.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
