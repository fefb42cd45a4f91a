/**
 * Errors between machines: an unreachable queue or store, and jobs that failed.
 */
import { ShadowError, type ErrorDetails } from '../tensor/errors.ts'

/** A queue or a store that cannot be reached: exit code 5. */
export class JobError extends ShadowError {
  constructor(code: string, message: string, details?: ErrorDetails) {
    super(code, message, 5, details)
  }
}

/** Jobs that failed on every attempt, after all others were done: exit code 1. */
export class JobsFailed extends ShadowError {
  /** @param failures the message of each, by key */
  constructor(failures: ReadonlyMap<string, string>, total: number) {
    const [[key, words]] = failures
    const others = failures.size > 1 ? ` and ${failures.size - 1} more` : ''
    super(
      'SHARDS_FAILED',
      `expected ${total} jobs, ${failures.size} failed: ${key.slice(0, 12)} (${words})${others}; "shadowllm jobs" lists them`,
      1,
    )
  }
}
