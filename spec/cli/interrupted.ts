/**
 * The command line in a process that interrupts itself: a real signal, at a moment that is an event and no time.
 *
 * Events are what a run does that can be seen from outside, in the same order in each run: a stage of progress begins, text
 * is printed, a file is moved to its name. At the event of a number the process sends the signal to itself; text and files
 * then wait until it was heard. Progress is counted as on a terminal, and not written.
 *
 * SHADOWLLM_INTERRUPT is `{ signal, at, log }`: which signal, at which event (0: none), and the file that all events are
 * written to when the process ends. At `exit` the signals are for others to send: the process writes a line to stderr when
 * none of its code is left to run, and goes on to end when the file `<log>.go` is there.
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

/** Counts an event, sends the signal if it is the one, and resolves when nothing more is to be heard. */
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
