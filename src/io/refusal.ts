/**
 * How this room refuses: one line, "subject: expected X, got Y", whatever a file put into its names.
 */
import { HubError, InputError, type ErrorDetails } from '../tensor/errors.ts'

export { quote } from '../tensor/quote.ts'

/** An InputError in the house form. `got` may be left out where there is nothing to show. */
export function refusal(
  code: string,
  subject: string,
  expected: string,
  got?: string,
  details?: ErrorDetails,
): InputError {
  return new InputError(code, line(subject, expected, got), details)
}

/** A HubError in the same form. */
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
  // An empty path has no name to be called by.
  return `${subject === '' ? 'path' : subject}: expected ${expected}${got === undefined ? '' : `, got ${got}`}`
}
