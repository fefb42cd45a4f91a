/**
 * Attention looks at the past and at nothing else. A token over a cache gets the bits of the whole pass; the future and
 * the cache's free places cannot reach it. (That heads cannot reach each other: chosen.spec.ts.)
 */
import { attentionLaws } from '../../src/verify/ops/attention.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(attentionLaws)
