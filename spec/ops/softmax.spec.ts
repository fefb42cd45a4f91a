/**
 * softmax makes each row a distribution: the one of float64, and no other for a number added to the whole row.
 */
import * as laws from '../../src/verify/ops/softmax.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
