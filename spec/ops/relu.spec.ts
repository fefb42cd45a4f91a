/**
 * relu keeps the positive part; its gradient is a gate.
 */
import * as laws from '../../src/verify/ops/relu.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
