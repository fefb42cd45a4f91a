/**
 * A refused request, with its status. refusals.ts makes answers of it.
 */
import { ShadowError } from '../tensor/errors.ts'

/** A status of a refusal. */
export type RefusalStatus = 400 | 401 | 403 | 404 | 405 | 408 | 413 | 415 | 429 | 503

/** Seconds after which a refused client may try again. */
export const RETRY_AFTER = '1'

/** What else is known of a refusal. */
interface RefusalDetails {
  /** Further headers of the answer. */
  readonly headers?: Readonly<Record<string, string>>
  /** The field at fault. */
  readonly option?: string
}

/** A refused request. */
export class RequestError extends ShadowError {
  readonly status: RefusalStatus
  readonly headers: Readonly<Record<string, string>>

  constructor(
    status: RefusalStatus,
    code: string,
    message: string,
    { headers = {}, option }: RefusalDetails = {},
  ) {
    super(code, message, 2, { option })
    this.status = status
    this.headers = headers
  }
}
