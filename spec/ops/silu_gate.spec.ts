/**
 * silu_gate multiplies up by silu(gate), and a skipped neuron stays at +0.
 */
import * as laws from '../../src/verify/ops/silu_gate.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
