/**
 * A page that does nothing but compare: `comparePeers` of its global scope, for who drives it from outside.
 *
 * Both sides compute in workers of their own, and a call is a message there and one back, which is timed with the rest.
 */
import { startThread, type ThreadCode } from '../../../src/platform/platform.ts'
import { RpcClient } from '../../../src/web/engine/worker_rpc.ts'
import type { Arm, Decoder } from '../decoder.ts'
import { Roster, timeArms, type LeftOut } from '../measure.ts'
import type { Subject } from '../models.ts'
import { exactReference, ourArms } from '../our_arms.ts'
import { withoutModel, type Group } from '../report.ts'
import type { PageOrder } from './order.ts'
import { wllamaArms } from './wllama_arms.ts'

const code: ThreadCode = (Worker) =>
  new Worker(new URL('./engine_thread.ts', import.meta.url), { type: 'module' })

/** A decoder of the worker. */
class RemoteDecoder implements Decoder {
  readonly #rpc: RpcClient
  readonly #arm: number

  constructor(rpc: RpcClient, arm: number) {
    this.#rpc = rpc
    this.#arm = arm
  }

  begin(prompt: Int32Array, read: boolean): Promise<Float32Array> {
    return this.#rpc.call('begin', [this.#arm, prompt, read]) as Promise<Float32Array>
  }

  next(token: number, read: boolean): Promise<Float32Array> {
    return this.#rpc.call('next', [this.#arm, token, read]) as Promise<Float32Array>
  }

  dispose(): void {}
}

/** Loads, checks and times everything on so many threads. @throws what `Roster.load` throws */
async function comparePeers(
  order: PageOrder,
  wllama: string,
): Promise<Group & { leftOut: readonly LeftOut[] }> {
  const rpc = new RpcClient((message) => thread.send(message))
  const thread = startThread(code, {
    onMessage: rpc.receive,
    onError: (error) => rpc.break(error),
    onEnd: () => rpc.break(new Error('the worker ended')),
  })
  await rpc.call('open', [order])
  // What our arms are is known here, and they are made there.
  const subject = order as PageOrder & Subject
  const remote = ourArms(subject, order.threads).map((arm, i): Arm<null> => ({
    ...arm,
    async make() {
      await rpc.call('make', [i])
      return new RemoteDecoder(rpc, i)
    },
  }))
  const { vocabulary } = order.config
  const roster = new Roster(vocabulary, {
    error: exactReference(subject).error,
    samples: (format) => rpc.call('exact', [format]) as Promise<Float32Array[]>,
  })
  const ours = await roster.load(remote, null)
  const peers = await roster.load(wllamaArms(order, wllama), null)
  const timed = await timeArms([...ours, ...peers], vocabulary, order.rounds)
  for (const { decoder } of peers) await decoder.dispose()
  await thread.end()
  const [ourRows, peerRows] = [ours, peers].map((arms) => arms.map(withoutModel))
  return { model: order.name, ours: ourRows, peers: peerRows, timed, leftOut: roster.leftOut }
}

Object.assign(globalThis, { comparePeers })
