/**
 * Weights in bf16 or f16 are float32 weights that take half the room: linear, linear_input_major and embedding over them
 * give the bits of the float32 op over the same values.
 */
import * as laws from '../../src/verify/ops/half_precision.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
