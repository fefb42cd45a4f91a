/**
 * A helper thread: an instance of the kernels over the shared memory, which computes parts from the queue.
 */
import { listenAsThread, now, relax } from '../../platform/platform.ts'
import { instantiateBoth } from './instance.ts'
import { WorkQueue, runPart } from './work_queue.ts'

/** The one message to such a thread. */
export interface ThreadSetup {
  readonly module: WebAssembly.Module
  /** The wide build; null without one. */
  readonly wide: WebAssembly.Module | null
  readonly memory: WebAssembly.Memory
  readonly scratchStart: number
  readonly queue: SharedArrayBuffer
  /** The kernels, by the number that a job has. */
  readonly kernels: readonly string[]
}

/** Looking for a job without sleeping: waking up takes longer than the calls between two that are shared. */
const AWAKE = 0.1 // ms

/** Looks between two looks at the clock. */
const LOOKS = 100

/** Works until the queue ends. @param onArrival called when it begins to look for jobs */
function serve(
  { module, wide, memory, scratchStart, queue: queueMemory, kernels: names }: ThreadSetup,
  onArrival: () => void,
): void {
  const queue = new WorkQueue(queueMemory)
  if (queue.isEnded) return
  const { kernels } = instantiateBoth(module, wide, memory, scratchStart)
  queue.arrive()
  onArrival()
  let lastJob = now()
  let looks = 0
  for (;;) {
    // The end changes the word, so a thread that takes the word before it asks for the end cannot sleep through it.
    const word = queue.look()
    if (queue.isEnded) return
    if (WorkQueue.hasParts(word)) {
      const left = queue.take(word)
      if (left < 0) continue
      const job = queue.read()
      try {
        runPart(kernels[names[job.kernel]], job, job.parts - 1 - left)
      } catch (error) {
        queue.fail()
        throw error
      } finally {
        queue.finish()
      }
      lastJob = now()
    } else if (++looks % LOOKS > 0) relax()
    else if (now() - lastJob > AWAKE) {
      queue.sleep(word)
      lastJob = now()
    }
  }
}

const send = listenAsThread((message) => {
  serve(message as ThreadSetup, () => send?.(null))
})
