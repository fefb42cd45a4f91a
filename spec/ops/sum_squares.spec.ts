/**
 * sum_squares adds up squares.
 */
import * as laws from '../harness/laws/sum_squares.ts'
import { stateLaws } from '../harness/laws/law.ts'

stateLaws(laws)
