/**
 * cache_append turns keys and values of tokens into the head-major cache, of float32 or of int8 rows, and touches nothing else
 * in it.
 */
import { cacheLaws } from '../../src/verify/ops/cache_append.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(cacheLaws)
