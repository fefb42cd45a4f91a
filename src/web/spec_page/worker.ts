/**
 * The workers of the annotated specification: one computes the steps of the method, another tries laws and checks values.
 */
import { listenAsThread } from '../../platform/platform.ts'
import { serveCalls, type CallTable } from '../engine/worker_rpc.ts'
import { computeSteps, openSpecModel, type SpecModel } from './method.ts'
import { plants } from './plants.ts'
import type { Settings } from './settings.ts'

const opened = new Map<'spec' | 'engine', Promise<SpecModel>>()

const calls: CallTable = {
  /** Steps, with whole texts by the specification or the engine. Progress is the bytes of the model that have come. */
  async *steps({ progress }, settings, by) {
    const own = by === 'spec' ? 'spec' : 'engine'
    const model = opened.get(own) ?? openSpecModel(own, (loaded, total) => progress({ loaded, total }))
    opened.set(own, model)
    model.catch(() => opened.delete(own)) // so that the next call tries again
    yield* computeSteps(await model, settings as Settings)
  },
  // The laws and their copies are loaded on use.
  async tryLaw({ signal }, address, law, cases, seed) {
    const planted = typeof address === 'string' ? await plants[address]() : await import('./try_law.ts')
    return planted.tryLaw(law as string, cases as number, seed as number, address !== null, signal)
  },
}

const receive = serveCalls(calls, (answer) => send?.(answer))
const send = listenAsThread(receive)
