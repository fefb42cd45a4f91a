/**
 * cross_entropy is the cost of a label in nats, accurate however large the logits are; a position that is not scored
 * costs nothing.
 */
import * as laws from '../harness/laws/cross_entropy.ts'
import { stateLaws } from '../harness/laws/law.ts'

stateLaws(laws)
