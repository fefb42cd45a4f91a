/**
 * A linear layer, stored one row per output or one row per input, is the product the mathematics means. The gradient of its
 * weights is the outer product of y_grad and x, that of its bias the sum of y_grad, added over tokens to what was there.
 */
import * as laws from '../../src/verify/ops/linear.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
