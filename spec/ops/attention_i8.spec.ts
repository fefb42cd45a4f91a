/**
 * Attention over a cache of int8 is attention over what the cache stands for, within a bound; it looks at the past and at
 * nothing else, and a token over a cache gets the bits of the whole pass.
 */
import * as laws from '../../src/verify/ops/attention_i8.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
