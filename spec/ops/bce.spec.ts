/**
 * bce is the weighted mean of binary cross-entropies.
 */
import * as laws from '../../src/verify/ops/bce.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
