/**
 * Tokens do not see each other (law 5, op by op): an op over T tokens is the same op over the first few and then over
 * the others, bit for bit. So a sequence gets the same numbers alone, in a batch, in one pass or token by token.
 * Attention, which is how tokens see each other, has a chapter of its own.
 */
import { stateLaws } from '../harness/state.ts'
import { tokenOps, tokensApart } from '../../src/verify/ops/tokens.ts'

stateLaws(tokenOps().map(tokensApart))
