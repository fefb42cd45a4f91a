/**
 * min_max spreads a row over [0, 1].
 */
import * as laws from '../../src/verify/ops/min_max.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
