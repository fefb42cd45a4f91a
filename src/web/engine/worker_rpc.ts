/**
 * Remote procedure calls between the page and its worker: a table of calls on one side, promises and iterators on the
 * other.
 *
 *   { kind: 'call', id, name, args }     starts a call
 *   { kind: 'stop', id }                 cancels it
 *   { kind: 'progress' | 'step', id, value }   during the call, any number of them
 *   { kind: 'value', id, value } or { kind: 'error', id, error }   once, at the end
 *
 * Messages are untrusted. A message of another form is dropped, and so is one that names no call, belongs to a call that
 * is over or cancelled, or repeats the id of a running call. A call checks its own arguments.
 */
import { packError, unpackError } from '../../tensor/packed_error.ts'
import { isObject } from '../../tensor/arguments.ts'

/** The context of a call, besides its arguments. */
interface CallContext {
  /** Aborted when the caller cancels. */
  readonly signal: AbortSignal
  progress(value: unknown): void
}

/** A call: it returns a value, or yields steps and then returns a value. Its arguments are unchecked. */
type Call = (
  context: CallContext,
  ...args: unknown[]
) => Promise<unknown> | AsyncGenerator<unknown, unknown, void>

/** Calls by name. */
export type CallTable = Readonly<Record<string, Call>>

type Send = (message: unknown) => void

interface Message {
  readonly kind: unknown
  readonly id: number
}

function readMessage(data: unknown): (Message & Readonly<Record<string, unknown>>) | null {
  if (!isObject(data) || !('id' in data) || !('kind' in data)) return null
  return Number.isSafeInteger(data.id) ? (data as Message & Record<string, unknown>) : null
}

/**
 * The side that answers.
 * @returns the receiver of all messages
 */
export function serveCalls(calls: CallTable, send: Send): (data: unknown) => void {
  const running = new Map<number, AbortController>()
  return (data) => {
    const message = readMessage(data)
    if (!message) return
    const { kind, id, name, args } = message
    if (kind === 'stop') return running.get(id)?.abort()
    if (kind !== 'call' || running.has(id) || !Array.isArray(args)) return
    const call = typeof name === 'string' && Object.hasOwn(calls, name) ? calls[name] : null
    if (!call) return
    const controller = new AbortController()
    running.set(id, controller)
    void answer(call, args as unknown[], id, controller.signal, send).finally(() => running.delete(id))
  }
}

async function answer(
  call: Call,
  args: readonly unknown[],
  id: number,
  signal: AbortSignal,
  send: Send,
): Promise<void> {
  const tell = (kind: string, value: unknown): void => {
    if (!signal.aborted) send({ kind, id, value })
  }
  try {
    const result = call({ signal, progress: (value) => tell('progress', value) }, ...args)
    if (!isGenerator(result)) return tell('value', await result)
    try {
      for (;;) {
        const { done, value } = await result.next()
        if (done) return tell('value', value)
        if (signal.aborted) return
        tell('step', value)
      }
    } finally {
      await result.return(undefined)
    }
  } catch (error) {
    if (!signal.aborted) send({ kind: 'error', id, error: packError(error) })
  }
}

function isGenerator(value: object): value is AsyncGenerator<unknown, unknown, void> {
  return Symbol.asyncIterator in value
}

/** How a call is made. */
export interface CallOptions {
  /** Cancels: the promise rejects with its reason at once, and the other side is notified. */
  readonly signal?: AbortSignal
  readonly onProgress?: (value: unknown) => void
}

interface Pending {
  step(value: unknown): void
  progress(value: unknown): void
  settle(end: { value: unknown } | { error: Error }): void
}

/** The side that calls. */
export class RpcClient {
  readonly #send: Send
  readonly #pending = new Map<number, Pending>()
  #next = 1
  #broken: Error | null = null

  constructor(send: Send) {
    this.#send = send
  }

  /** How many calls are pending. */
  get waiting(): number {
    return this.#pending.size
  }

  /** The receiver of all messages. */
  readonly receive = (data: unknown): void => {
    const message = readMessage(data)
    const pending = message && this.#pending.get(message.id)
    if (!pending) return
    const { kind, value } = message
    if (kind === 'progress') pending.progress(value)
    else if (kind === 'step') pending.step(value)
    else if (kind === 'value') pending.settle({ value })
    else if (kind === 'error') pending.settle({ error: unpackError(message.error) })
  }

  /** The other side is gone: pending and later calls fail with this error. */
  break(error: Error): void {
    this.#broken = error
    for (const pending of this.#pending.values()) pending.settle({ error })
  }

  /** Calls for a value. @throws what the call threw; the signal's reason; DataCloneError for arguments that cannot be sent */
  async call(name: string, args: readonly unknown[], options: CallOptions = {}): Promise<unknown> {
    const steps = this.iterate(name, args, options)
    for (;;) {
      const { done, value } = await steps.next()
      if (done) return value
    }
  }

  /** Calls for steps and, after the last one, a value. Leaving the loop cancels. @throws as `call` */
  async *iterate(
    name: string,
    args: readonly unknown[],
    { signal, onProgress }: CallOptions = {},
  ): AsyncGenerator<unknown, unknown, void> {
    signal?.throwIfAborted()
    if (this.#broken) throw this.#broken
    const id = this.#next++
    const steps: unknown[] = []
    let end: { value: unknown } | { error: Error } | null = null
    let wake = (): void => {}
    const settle: Pending['settle'] = (how) => {
      end ??= how
      this.#pending.delete(id)
      wake()
    }
    const step = (value: unknown): void => {
      steps.push(value)
      wake()
    }
    const giveUp = (): void => settle({ error: signal?.reason as Error })
    this.#pending.set(id, { step, progress: (value) => onProgress?.(value), settle })
    signal?.addEventListener('abort', giveUp)
    try {
      this.#send({ kind: 'call', id, name, args })
      for (;;) {
        const given = signal?.aborted ? [] : steps.splice(0)
        for (const value of given) {
          if (signal?.aborted) break
          yield value
        }
        if (given.length > 0) continue
        const ended = end as { value: unknown } | { error: Error } | null
        if (ended && 'error' in ended) throw ended.error
        if (ended) return ended.value
        await new Promise<void>((resolve) => (wake = resolve))
      }
    } finally {
      signal?.removeEventListener('abort', giveUp)
      if (this.#pending.delete(id) || signal?.aborted) this.#send({ kind: 'stop', id })
    }
  }
}
