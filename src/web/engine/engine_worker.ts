/**
 * The worker of the engine: it answers calls until the page ends it.
 */
import { listenAsThread } from '../../platform/platform.ts'
import { createEngine } from './engine.ts'
import { serveCalls } from './worker_rpc.ts'

const receive = serveCalls(createEngine(), (answer) => send?.(answer))
const send = listenAsThread(receive)
