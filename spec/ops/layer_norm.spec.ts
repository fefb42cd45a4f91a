/**
 * layer_norm makes each row's mean 0 and its variance 1, then scales and shifts it.
 */
import * as laws from '../../src/verify/ops/layer_norm.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
