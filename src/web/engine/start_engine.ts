/**
 * Starts an engine in a thread of its own.
 */
import { startThread, type ThreadCode } from '../../platform/platform.ts'
import { MissingError } from '../../tensor/errors.ts'
import { CallLine } from './seam.ts'

const code: ThreadCode = (Worker) =>
  new Worker(new URL('./engine_worker.ts', import.meta.url), { type: 'module' })

/** A line to a fresh engine, and what ends it. */
export interface Engine {
  readonly line: CallLine
  end(): Promise<void>
}

/** Starts one. If its thread fails, every call on the line fails with ENGINE_ENDED. */
export function startEngine(): Engine {
  const line = new CallLine((message) => thread.send(message))
  const fail = (why: string): void =>
    line.break(new MissingError('ENGINE_ENDED', `engine: expected a thread that runs, got one that ${why}`))
  const thread = startThread(code, {
    onMessage: line.receive,
    onError: ({ message }) => fail(`failed: ${message || 'its code did not load'}`),
    onEnd: () => fail('ended'),
  })
  return { line, end: () => thread.end() }
}
