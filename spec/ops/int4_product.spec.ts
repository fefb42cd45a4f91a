/**
 * Products with int4 weights are near the mathematics by half a step per activation, exact where steps are, and the same in
 * both layouts; skipping is zeroing, and rows may be packed in any order.
 */
import * as laws from '../../src/verify/ops/int4_product.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
