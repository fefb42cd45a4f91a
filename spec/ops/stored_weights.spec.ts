/**
 * Weights are stored as the conversions of src/tensor/dtypes.ts say, packed row by row as they are, and read back as what
 * was stored.
 */
import * as laws from '../harness/laws/stored_weights.ts'
import { stateLaws } from '../harness/laws/law.ts'

stateLaws(laws)
