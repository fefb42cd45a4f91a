/**
 * cache_append turns keys and values of tokens into the head-major cache, and touches nothing else in it.
 */
import * as laws from '../harness/laws/cache_append.ts'
import { stateLaws } from '../harness/laws/law.ts'

stateLaws(laws)
