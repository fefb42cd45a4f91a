/**
 * Starts an engine in a worker.
 */
import { startThread, type ThreadCode } from '../../platform/platform.ts'
import { MissingError } from '../../tensor/errors.ts'
import { RpcClient } from './worker_rpc.ts'

const code: ThreadCode = (Worker) =>
  new Worker(new URL('./engine_worker.ts', import.meta.url), { type: 'module' })

/** A new engine: its client, and a function that ends it. */
export interface Engine {
  /** What calls go through. */
  readonly rpc: RpcClient
  /** Ends its worker. */
  end(): Promise<void>
}

/**
 * Starts a thread in which models run: its `rpc` is what `RemoteModel.fromPretrained` opens one through. `end` it. If the thread fails,
 * every call fails with MissingError ENGINE_ENDED.
 */
export function startEngine(): Engine {
  const rpc = new RpcClient((message) => thread.send(message))
  const fail = (why: string): void => rpc.break(new MissingError('ENGINE_ENDED', `engine: the worker ${why}`))
  const thread = startThread(code, {
    onMessage: rpc.receive,
    onError: ({ message }) => fail(`failed: ${message || 'its code did not load'}`),
    onEnd: () => fail('ended'),
  })
  return { rpc, end: () => thread.end() }
}
