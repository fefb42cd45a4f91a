/**
 * A linear layer stored one row per output is the product the mathematics means.
 */
import * as laws from '../harness/laws/linear.ts'
import { stateLaws } from '../harness/laws/law.ts'

stateLaws(laws)
