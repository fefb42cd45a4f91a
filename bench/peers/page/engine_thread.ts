/**
 * Our side of the page: models in a worker, as src/web/engine has them. Answers the calls of main.ts.
 */
import { serveCalls, type CallTable } from '../../../src/web/engine/worker_rpc.ts'
import { openModelFolder } from '../../../src/io/load.ts'
import { joinPath, listenAsThread, mountFolder } from '../../../src/platform/platform.ts'
import type { Arm, Decoder } from '../decoder.ts'
import type { Format } from '../../../src/io/gguf_formats.ts'
import type { Subject } from '../models.ts'
import { exactReference, ourArms } from '../our_arms.ts'
import type { PageOrder } from './order.ts'

/** The part of a subject that our arms use. */
function subjectOf(order: PageOrder): Subject {
  const file = async (format: Format): Promise<string> => {
    const name = `${format}.gguf`
    const response = await fetch(`${order.files}${name}`)
    if (!response.ok) throw new Error(`${response.url}: expected a file, got status ${response.status}`)
    return joinPath(mountFolder(format, new Map([[name, await response.blob()]])), name)
  }
  const openAs: Subject['openAs'] = async (format) => (await openModelFolder(await file(format))).source
  return { ...order, folder: '', file, openAs, open: () => openAs('F16') }
}

let subject: Subject
let arms: readonly Arm<Subject>[] = []
const decoders = new Map<number, Decoder>()

const calls: CallTable = {
  async open(_, order) {
    subject = subjectOf(order as PageOrder)
    arms = ourArms(subject, (order as PageOrder).threads)
  },
  exact: (_, format) => exactReference(subject).samples(format as Format) as Promise<unknown>,
  async make(_, arm) {
    decoders.set(arm as number, await arms[arm as number].make(subject))
  },
  async begin(_, arm, prompt, read) {
    return said(await decoders.get(arm as number)?.begin(prompt as Int32Array, true), read)
  },
  async next(_, arm, token, read) {
    return said(await decoders.get(arm as number)?.next(token as number, true), read)
  },
}

/** Logits that nobody reads are not sent. */
function said(logits: Float32Array | undefined, read: unknown): Float32Array {
  return read === true && logits ? logits : new Float32Array(0)
}

const receive = serveCalls(calls, (answer) => send?.(answer))
const send = listenAsThread(receive)
