/**
 * min_max spreads a row over [0, 1].
 */
import * as laws from '../harness/laws/min_max.ts'
import { stateLaws } from '../harness/laws/law.ts'

stateLaws(laws)
