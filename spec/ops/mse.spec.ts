/**
 * mse is the mean of squared errors.
 */
import * as laws from '../../src/verify/ops/mse.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
