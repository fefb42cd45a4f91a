/**
 * Threads end when they are asked to, and are terminated if they do not.
 *
 * Tests src/platform/workers.ts.
 */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import fc from 'fast-check'
import { afterAll, afterEach, expect, test, vi } from 'vitest'
import { runtime, startThread, type Thread, type ThreadCode } from '../../src/platform/platform.ts'
import { law } from '../harness/seed.ts'

const code: ThreadCode = (Worker) =>
  new Worker(new URL('./echo_thread.ts', import.meta.url), { type: 'module' })

const terminate = vi.spyOn(Worker.prototype, 'terminate')
afterEach(() => {
  vi.useRealTimers()
  terminate.mockClear()
})
afterAll(() => terminate.mockRestore())

/** A thread whose time to end stands still, and its answers. */
class Echo {
  readonly answers: unknown[] = []
  readonly thread: Thread
  #onAnswer = (): void => {}

  constructor() {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const onMessage = (message: unknown): void => {
      this.answers.push(message)
      this.#onAnswer()
    }
    const onError = (error: Error): void => expect.unreachable(error.message)
    this.thread = startThread(code, { onMessage, onError })
  }

  /** The next answer is to this message. */
  ask(message: string): Promise<void> {
    this.thread.send(message)
    return new Promise((resolve) => (this.#onAnswer = resolve))
  }
}

law(
  'a thread that is asked to end reads all earlier messages, also while it starts',
  { messages: fc.nat(5), turns: fc.oneof(fc.nat(5), fc.nat(5000)) },
  async ({ messages, turns }) => {
    const { thread, answers } = new Echo()
    for (let i = 0; i < messages; i++) thread.send(i)
    for (let i = 0; i < turns && answers.length < messages; i++)
      await new Promise((resolve) => setImmediate(resolve))
    const ended = thread.end()
    thread.send('too late')
    await ended
    expect(answers).toEqual(Array.from({ length: messages }, (_, i) => i))
    expect(terminate).not.toHaveBeenCalled()
    await thread.end()
  },
  { runs: 5 },
)

test('a thread that has something to do is told of its end', async () => {
  const echo = new Echo()
  await echo.ask('wait')
  await echo.thread.end()
  expect(terminate).not.toHaveBeenCalled()
})

test('a thread that does not end is terminated when its time is over', async () => {
  const echo = new Echo()
  await echo.ask('spin')
  const ended = echo.thread.end()
  expect(terminate).not.toHaveBeenCalled()
  vi.runAllTimers()
  await ended
  expect(terminate).toHaveBeenCalledOnce()
})

test.each([
  ['a thread that is asked to end while it starts', 'end'],
  ['a thread that is released and never ends', 'release'],
])('a process ends after %s', (_, what) => {
  const program = fileURLToPath(new URL('./end_program.ts', import.meta.url))
  const options = runtime.name === 'deno' ? ['run', '-A'] : []
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [...options, program, what])
  expect({ status, signal, stdout: stdout.toString() }, stderr.toString()).toEqual({
    status: 0,
    signal: null,
    stdout: `${what}\n`,
  })
})
