/**
 * The bytes of bodies while they come: those of one body, those of all bodies that are being read, and the time that a body takes.
 */
import { nextTurn } from '../platform/pause.ts'
import { now } from '../platform/platform.ts'
import { RequestError } from './refusals.ts'

/** The most bytes of a body. */
export const MAX_BODY = 2 ** 22
/** The most bytes of all bodies that are being read. */
export const MAX_BODIES = 2 ** 26

/** Milliseconds that a body may take. */
export interface BodyPatience {
  /** From its headers to its last byte. */
  readonly whole: number
  /** From one part to the next. */
  readonly part: number
}

/** The patience of a server. */
const usualPatience: BodyPatience = { whole: 60_000, part: 10_000 }

/** The bytes of bodies that a server holds while they come. */
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
        { 'retry-after': '1' },
      )
    this.#count += bytes
  }
}

/**
 * Reads a body.
 * @param held of all bodies of the server; those of this one are given back
 * @throws RequestError BODY_SIZE, BODY_TIME, BODIES
 */
export async function readBytes(request: Request, held: HeldBytes): Promise<Uint8Array> {
  if (Number(request.headers.get('content-length')) > MAX_BODY) throw tooLong()
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
        if (size + next.value.length > MAX_BODY) throw tooLong()
        held.add(next.value.length)
        size += next.value.length
        parts.push(next.value)
      }
    }
  } finally {
    held.add(-size)
    // Nobody waits for it: a body that has stalled may not end.
    if (!isWhole) reader.cancel().catch(() => {})
  }
  const bytes = new Uint8Array(size)
  let at = 0
  for (const one of parts) {
    bytes.set(one, at)
    at += one.length
  }
  return bytes
}

function tooLong(): RequestError {
  return new RequestError(413, 'BODY_SIZE', `body: expected at most ${MAX_BODY} bytes, got more`)
}

function late(what: string, milliseconds: number): RequestError {
  const message = `body: expected ${what} within ${milliseconds / 1000} seconds, got none`
  return new RequestError(408, 'BODY_TIME', message, { connection: 'close' })
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
