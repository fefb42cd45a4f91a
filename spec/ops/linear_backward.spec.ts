/**
 * The gradient of a linear layer's weights is the outer product of y_grad and x, that of its bias the sum of y_grad, added
 * over tokens to what was there.
 */
import * as laws from '../../src/verify/ops/linear_backward.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
