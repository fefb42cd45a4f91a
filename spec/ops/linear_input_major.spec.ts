/**
 * A linear layer stored one row per input is the same product.
 */
import * as laws from '../harness/laws/linear_input_major.ts'
import { stateLaws } from '../harness/laws/law.ts'

stateLaws(laws)
