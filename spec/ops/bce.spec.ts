/**
 * bce is the weighted mean of binary cross-entropies.
 */
import * as laws from '../harness/laws/bce.ts'
import { stateLaws } from '../harness/laws/law.ts'

stateLaws(laws)
