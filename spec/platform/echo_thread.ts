/**
 * The thread of workers.spec.ts: it answers each message with the message. At `spin` it never returns to its event loop, and
 * after `wait` it has something to do until it is asked to end.
 */
import { listenAsThread } from '../../src/platform/platform.ts'

let waiting: ReturnType<typeof setInterval> | undefined

const send = listenAsThread(
  (message) => {
    send?.(message)
    if (message === 'wait') waiting = setInterval(() => {}, 1000)
    if (message === 'spin') for (;;);
  },
  () => clearInterval(waiting),
)
