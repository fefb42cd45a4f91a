/**
 * cache_append turns keys and values of tokens into the head-major cache, and touches nothing else in it.
 */
import * as laws from '../../src/verify/ops/cache_append.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
