/**
 * The worker of the annotated specification: it computes the steps of the method, and tries laws.
 */
import { listenAsThread } from '../../platform/platform.ts'
import { serveCalls, type CallTable } from '../engine/worker_rpc.ts'
import { computeSteps, openSpecModel, type SpecModel } from './method.ts'
import { plants } from './plants.ts'
import type { Settings } from './settings.ts'

let opened: Promise<SpecModel> | null = null

const calls: CallTable = {
  async *steps(_, settings) {
    opened ??= openSpecModel()
    yield* computeSteps(await opened, settings as Settings)
  },
  // The laws and their copies are loaded on use.
  async tryLaw({ signal }, address, law, cases, seed) {
    const planted = typeof address === 'string' ? await plants[address]() : await import('./try_law.ts')
    return planted.tryLaw(law as string, cases as number, seed as number, address !== null, signal)
  },
  /** Loads them now, so that nothing is asked of the network later. */
  async loadLaws() {
    await Promise.all([import('./try_law.ts'), ...Object.values(plants).map((load) => load())])
  },
}

const receive = serveCalls(calls, (answer) => send?.(answer))
const send = listenAsThread(receive)
