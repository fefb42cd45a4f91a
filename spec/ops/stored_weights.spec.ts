/**
 * Weights are stored as the conversions of src/tensor/dtypes.ts say, packed row by row as they are, and read back as what
 * was stored.
 */
import * as laws from '../../src/verify/ops/stored_weights.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
