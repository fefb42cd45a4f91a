/**
 * Refuses what a model computes if it is not finite. Every weight is finite when it is read, but products of large ones exceed
 * float32: logits are then infinite or NaN, and a text or a score that is made of them means nothing.
 *
 * It is asked of numbers that are there anyway, the logit of a chosen token or the cost of a scored one, and reads no logits for
 * it. So a token is chosen beside others whose logits are NaN, if its own logit is finite and the highest.
 */
import { InputError } from '../tensor/errors.ts'

/** The code of the refusal: the model is at fault, not the one who asks. */
export const LOGITS_NOT_FINITE = 'LOGITS_NOT_FINITE'

/** @param value a logit, or made of logits. @throws InputError LOGITS_NOT_FINITE */
export function expectFinite(value: number): void {
  if (Number.isFinite(value)) return
  throw new InputError(
    LOGITS_NOT_FINITE,
    `logits: expected finite numbers, got ${value}; weights of the model are too large for float32`,
  )
}
