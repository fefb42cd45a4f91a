/**
 * A thread that reads requests (readers.ts).
 */
import { listenAsThread, shareBytes } from '../platform/platform.ts'
import { packError, type PackedError } from '../tensor/packed_error.ts'
import { RequestError, type RefusalStatus } from './request_error.ts'
import { unpackModel } from './packed_model.ts'
import { RequestReader, type Reading } from './reading.ts'
import type { BodyName } from './requests.ts'

/** The first message is a packed model, every other one a request. */
export type ToReader =
  | { readonly model: Uint8Array }
  | { readonly name: BodyName; readonly bytes: Uint8Array }

/** That it has its model, and one answer to each request. */
export type FromReader =
  | { readonly ready: true }
  | { readonly reading: Reading[BodyName] }
  | {
      readonly failure: PackedError
      readonly status: RefusalStatus | null
      readonly stack: string | undefined
    }

let reader: RequestReader | null = null

const answer = listenAsThread((message) => {
  const told = message as ToReader
  if ('model' in told) {
    reader = new RequestReader(unpackModel(told.model))
    answer?.({ ready: true } satisfies FromReader)
  } else answer?.(read(told.name, told.bytes))
})

function read(name: BodyName, bytes: Uint8Array): FromReader {
  try {
    // Text is not decoded from shared memory.
    const reading = (reader as RequestReader).read(name, bytes.slice(), true) as Reading[BodyName]
    return { reading: reading instanceof Uint8Array ? shareBytes(reading) : reading }
  } catch (error) {
    const status = error instanceof RequestError ? error.status : null
    return { failure: packError(error), status, stack: (error as Error).stack }
  }
}
