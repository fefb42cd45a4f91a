/**
 * The bytes of bodies while they come: those of one body, those of all bodies that are being read, and the time that a body takes.
 */
import { nextTurn } from '../platform/pause.ts'
import { now } from '../platform/platform.ts'
import { expectAmount, MAX_BODIES } from './amounts.ts'
import { RequestError, RETRY_AFTER } from './request_error.ts'

/** Milliseconds that a body may take. */
export interface BodyPatience {
  /** From its headers to its last byte. */
  readonly whole: number
  /** From one part to the next. */
  readonly part: number
}

/** The patience of a server. */
const usualPatience: BodyPatience = { whole: 60_000, part: 10_000 }

/** The bytes of bodies that a server holds until they have been read. */
export class HeldBytes {
  readonly patience: BodyPatience
  #count = 0

  constructor(patience = usualPatience) {
    this.patience = patience
  }

  /** Takes more bytes, or gives some back. @throws RequestError BODIES for more than there is room for */
  add(bytes: number): void {
    if (bytes > 0 && this.#count + bytes > MAX_BODIES)
      throw new RequestError(
        503,
        'BODIES',
        `bodies: expected at most ${MAX_BODIES} bytes of them at a time, got more; try again`,
        { headers: { 'retry-after': RETRY_AFTER } },
      )
    this.#count += bytes
  }
}

/**
 * Takes a body.
 * @param held of all bodies of the server; those of this one too, until the caller gives them back
 * @throws RequestError BODY_SIZE, BODY_TIME, BODIES
 */
export async function readBytes(request: Request, held: HeldBytes): Promise<Uint8Array> {
  expectAmount('bytes', 'body', Number(request.headers.get('content-length')))
  if (request.body === null) return new Uint8Array(0)
  const reader = request.body.getReader()
  const { whole, part } = held.patience
  const started = now()
  const parts: Uint8Array[] = []
  let size = 0
  let isWhole = false
  try {
    while (!isWhole) {
      const left = whole - (now() - started)
      const next = left > 0 ? await within(reader.read(), Math.min(part, left)) : null
      if (next === null) throw left > part ? late('another part', part) : late('its end', whole)
      if (next.done) isWhole = true
      else {
        expectAmount('bytes', 'body', size + next.value.length)
        held.add(next.value.length)
        size += next.value.length
        parts.push(next.value)
      }
    }
  } finally {
    // Nobody waits for its end: a body that has stalled may not end.
    if (!isWhole) {
      held.add(-size)
      reader.cancel().catch(() => {})
    }
  }
  const bytes = new Uint8Array(size)
  let at = 0
  for (const one of parts) {
    bytes.set(one, at)
    at += one.length
  }
  return bytes
}

function late(what: string, milliseconds: number): RequestError {
  const message = `body: expected ${what} within ${milliseconds / 1000} seconds, got none`
  return new RequestError(408, 'BODY_TIME', message, { headers: { connection: 'close' } })
}

/** What work gives, or null if it takes longer than so many milliseconds. */
async function within<T>(work: Promise<T>, milliseconds: number): Promise<T | null> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const over = new Promise<null>((resolve) => {
    // A step of a model may have held up the event loop: what has come meanwhile is in time.
    timer = setTimeout(() => void nextTurn().then(() => resolve(null)), milliseconds)
  })
  try {
    return await Promise.race([work, over])
  } finally {
    clearTimeout(timer)
  }
}
