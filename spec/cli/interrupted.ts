/**
 * The command line in a process that sends itself a signal at an event, so that no test depends on time.
 *
 * An event is visible from outside and has the same order in each run: a stage of progress begins, text is printed, a file is
 * renamed. At the chosen event the process sends itself the signal; text and files then wait until it is handled. Progress
 * counts as on a terminal, and is not written.
 *
 * SHADOWLLM_INTERRUPT is `{ signal, at, log }`: the signal, the number of the event (0: none), and the file to which all events
 * are written when the process ends. With `exit` another process sends the signals: this process writes a line to stderr in
 * its exit handler, and ends when the file `<log>.go` exists.
 */
import { existsSync, promises, writeFileSync, writeSync } from 'node:fs'

/** When a run is interrupted. */
export interface Interrupt {
  readonly signal: NodeJS.Signals
  readonly at: number | 'exit'
  readonly log: string
}

const { signal, at, log } = JSON.parse(process.env.SHADOWLLM_INTERRUPT ?? '') as Interrupt
const events: string[] = []

/** Counts an event. At the chosen one it sends the signal and waits until it is handled. */
async function happens(event: string): Promise<void> {
  events.push(event)
  if (events.length !== at) return
  // A listener alone does not keep a process alive.
  const alive = setInterval(() => {}, 1000)
  const heard = new Promise<void>((resolve) => process.once(signal, () => resolve()))
  process.kill(process.pid, signal)
  await heard
  clearInterval(alive)
}

const { stdout, stderr } = process
stderr.isTTY = true

const print = stdout.write.bind(stdout) as (text: string, done: (error?: Error | null) => void) => boolean
stdout.write = ((text: string, done: (error?: Error | null) => void) => {
  void happens('print').then(() => print(text, done))
  return true
}) as typeof stdout.write

const complain = stderr.write.bind(stderr) as typeof print
const stages = new Set<string>()
stderr.write = ((text: string, done: (error?: Error | null) => void) => {
  if (!text.startsWith('\r\x1b[K')) return complain(text, done)
  const stage = text.slice('\r\x1b[K'.length).split('[')[0].trim()
  if (stage !== '' && !stages.has(stage)) void happens(stage)
  stages.add(stage)
  done()
  return true
}) as typeof stderr.write

const { rename } = promises
promises.rename = async (from, to) => {
  await happens('file')
  await rename(from, to)
}

process.on('exit', () => {
  writeFileSync(log, JSON.stringify(events))
  if (at !== 'exit') return
  writeSync(stderr.fd, 'exit\n')
  while (!existsSync(`${log}.go`)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
})
await import('../../src/cli/main.ts')
