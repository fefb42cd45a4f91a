/**
 * Errors of the form "subject: expected X, got Y", in one line.
 */
import { HubError, InputError, type ErrorDetails } from '../tensor/errors.ts'
import { quote } from '../tensor/quote.ts'

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

/** The InputError of one tensor of a file. */
export function refuseTensor(
  code: string,
  file: string,
  tensor: string,
  expected: string,
  got: string,
): InputError {
  return refusal(code, `${file} tensor ${quote(tensor)}`, expected, got, { tensor })
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
