/**
 * cache_append_i8 turns keys and values of tokens into a head-major cache of int8 rows, and touches nothing else in it.
 */
import { brokenRowsShow, quantizesTokens } from '../../src/verify/ops/cache_append_i8.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws([quantizesTokens, brokenRowsShow])
