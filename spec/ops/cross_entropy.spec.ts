/**
 * cross_entropy is the cost of a label in nats, accurate however large the logits are; a position that is not scored
 * costs nothing.
 */
import * as laws from '../../src/verify/ops/cross_entropy.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
