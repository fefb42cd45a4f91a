/**
 * rms_norm divides each row by its root mean square, then scales it.
 */
import * as laws from '../../src/verify/ops/rms_norm.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
