/**
 * cache_append_i8 turns keys and values of tokens into a head-major cache of int8 rows, and touches nothing else in it.
 */
import { brokenRowsShow, quantizesTokens } from '../harness/laws/cache_append_i8.ts'
import { stateLaws } from '../harness/laws/law.ts'

stateLaws([quantizesTokens, brokenRowsShow])
