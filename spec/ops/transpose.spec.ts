/**
 * transpose moves [o, i] to [i, o].
 */
import * as laws from '../../src/verify/ops/transpose.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
