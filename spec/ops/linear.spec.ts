/**
 * A linear layer stored one row per output is the product the mathematics means.
 */
import * as laws from '../../src/verify/ops/linear.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
