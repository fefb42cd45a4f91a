/**
 * What a client sees of an error: a status, and an object in the form of the OpenAI API with a code of this project.
 *
 *   { "error": { "message": "max_tokens: expected ..., got ...", "type": "invalid_request_error", "param": "max_tokens", "code": "FIELD" } }
 *
 * Every ShadowError that a request causes is the fault of the request (400, unless it has a status of its own): the model was
 * opened before. Only a model whose logits are not finite is no fault of the request: 500 with its code, which others than the
 * client must mend. Any other error is a bug: its status is 500, and its text stays on this side.
 */
import { LOGITS_NOT_FINITE } from '../engine/finite_logits.ts'
import { ShadowError } from '../tensor/errors.ts'
import { RequestError, type RefusalStatus } from './request_error.ts'
import { fieldOf } from './requests.ts'

/** Where the key of a server may stand, as a refusal of another key says. */
export const KEY_VARIABLE = 'SHADOWLLM_API_KEY'

/** An error as it is answered. */
export interface Refusal {
  readonly status: RefusalStatus | 500
  readonly headers: Readonly<Record<string, string>>
  readonly body: { readonly error: ErrorBody }
}

/** The error object of the OpenAI API. */
export interface ErrorBody {
  readonly message: string
  readonly type: string
  /** The field at fault, known or not; null where it is none. */
  readonly param: string | null
  readonly code: string
}

const types: Readonly<Partial<Record<Refusal['status'], string>>> = {
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  429: 'rate_limit_error',
  500: 'server_error',
  503: 'server_error',
}

/** The answer to a request that failed. */
export function refusalOf(error: unknown): Refusal {
  const known = error instanceof ShadowError
  const isOfRequest = known && error.code !== LOGITS_NOT_FINITE
  const status = error instanceof RequestError ? error.status : isOfRequest ? 400 : 500
  return {
    status,
    headers: error instanceof RequestError ? error.headers : {},
    body: {
      error: {
        message: known ? error.message : 'internal error: expected an answer, got a bug',
        type: types[status] ?? 'invalid_request_error',
        param: isOfRequest && error.option !== undefined ? fieldOf(error.option) : null,
        code: known ? error.code : 'BUG',
      },
    },
  }
}
