/**
 * transpose moves [o, i] to [i, o].
 */
import * as laws from '../harness/laws/transpose.ts'
import { stateLaws } from '../harness/laws/law.ts'

stateLaws(laws)
