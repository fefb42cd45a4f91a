/**
 * Products with int8 weights are near the mathematics by half a step per activation, exact where steps are, and never
 * overflow; an activation of zero is no term at all.
 */
import * as laws from '../../src/verify/ops/int8_product.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
