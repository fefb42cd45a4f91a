/**
 * rotary turns pairs of numbers by an angle that grows with the position, so that scores depend on distances.
 */
import * as laws from '../../src/verify/ops/rotary.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
