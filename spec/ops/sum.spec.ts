/**
 * sum adds up numbers.
 */
import * as laws from '../harness/laws/sum.ts'
import { stateLaws } from '../harness/laws/law.ts'

stateLaws(laws)
