/**
 * A linear layer stored one row per input is the same product.
 */
import * as laws from '../../src/verify/ops/linear_input_major.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
