/**
 * A program that starts a thread, asks it to `end` at once or does `release` it when it answers, and says so when that is done.
 */
import { startThread, type ThreadCode } from '../../src/platform/platform.ts'

const code: ThreadCode = (Worker) =>
  new Worker(new URL('./echo_thread.ts', import.meta.url), { type: 'module' })

const [, , what] = process.argv
const thread = startThread(code, {
  onMessage() {
    if (what !== 'release') return
    thread.release()
    process.stdout.write('release\n')
  },
  onError(error) {
    throw error
  },
})
thread.send('wait')
if (what === 'end') void thread.end().then(() => process.stdout.write('end\n'))
