/**
 * Errors of the form "subject: expected X, got Y", in one line.
 */
import { HubError, InputError, type ErrorDetails } from '../tensor/errors.ts'

export { quote } from '../tensor/quote.ts'

/** An InputError of this form. `got` may be omitted. */
export function refusal(
  code: string,
  subject: string,
  expected: string,
  got?: string,
  details?: ErrorDetails,
): InputError {
  return new InputError(code, line(subject, expected, got), details)
}

/** A HubError of this form. */
export function hubRefusal(
  code: string,
  subject: string,
  expected: string,
  got?: string,
  details?: ErrorDetails,
): HubError {
  return new HubError(code, line(subject, expected, got), details)
}

function line(subject: string, expected: string, got: string | undefined): string {
  // An empty path has no name.
  return `${subject === '' ? 'path' : subject}: expected ${expected}${got === undefined ? '' : `, got ${got}`}`
}
