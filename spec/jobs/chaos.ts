/**
 * Chaos: a run over a queue while workers are killed, the server is killed and started again, and the network between
 * them is cut. The workers are processes of their own, and reach the server through a proxy that can be cut.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Random } from '../../src/tensor/random.ts'
import type { Proxy, TestServer } from './server.ts'

/** Processes that work, each of which is started again when it ends. */
export class Workers {
  readonly #start: () => ChildProcess
  readonly #children: (ChildProcess | null)[]
  #isOver = false
  #onWork: (child: ChildProcess) => void = () => {}

  /** @param start starts a process that prints something whenever it begins a job */
  constructor(count: number, start: () => ChildProcess) {
    this.#start = start
    this.#children = Array.from({ length: count }, () => null)
    for (const place of this.#children.keys()) this.#fill(place)
  }

  /** The next process that begins a job. */
  working(): Promise<ChildProcess> {
    return new Promise((resolve) => (this.#onWork = resolve))
  }

  /** Ends one at once; it is started again. */
  async kill(child: ChildProcess): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await ended
  }

  async end(): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#children.map((child) => child && this.kill(child)))
  }

  #fill(place: number): void {
    if (this.#isOver) return
    const child = this.#start()
    this.#children[place] = child
    child.stdout?.on('data', () => this.#onWork(child))
    child.once('exit', () => this.#fill(place))
  }
}

const program = fileURLToPath(new URL('./chaos_worker.ts', import.meta.url))

/** What a worker of chaos_worker.ts is told. */
export interface WorkerPlace {
  readonly url: string
  readonly queue: string
  readonly store: string
  /** Where it writes a line for each job that it has done. */
  readonly log: string
}

/** Starts a worker of chaos_worker.ts. */
export function spawnWorker(place: WorkerPlace): ChildProcess {
  return spawn(process.execPath, [program, JSON.stringify(place)], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
}

/** What is done to a run, how often, each at a moment of its own. */
export interface Mishaps {
  readonly kills: number
  readonly restarts: number
  readonly cuts: number
}

/** The targets of failures, and how long a job takes, in milliseconds. */
export interface Scene {
  readonly workers: Workers
  readonly server: TestServer
  readonly proxy: Proxy
  readonly jobTime: number
}

/** Causes failures in a random order, each after a worker has begun a job. @returns how many of each were caused */
export async function makeMishaps(
  { kills, restarts, cuts }: Mishaps,
  { workers, server, proxy, jobTime }: Scene,
  seed: number,
): Promise<Mishaps> {
  const random = new Random(seed)
  const kinds = [
    ...Array.from({ length: kills }, () => 'kills' as const),
    ...Array.from({ length: restarts }, () => 'restarts' as const),
    ...Array.from({ length: cuts }, () => 'cuts' as const),
  ]
  const happened = { kills: 0, restarts: 0, cuts: 0 }
  const wait = (most: number): Promise<void> =>
    new Promise((resolve) => setTimeout(resolve, Math.ceil(most * (0.2 + 0.8 * random.uniform()))))
  for (const place of random.permutation(kinds.length)) {
    const worker = await workers.working()
    await wait(jobTime)
    const kind = kinds[place]
    if (kind === 'kills') await workers.kill(worker)
    else if (kind === 'restarts') await server.restart()
    else {
      proxy.cut()
      await wait(6 * jobTime)
      proxy.mend()
    }
    happened[kind]++
  }
  return happened
}

/** How often each job was done, by its key. */
export function doneBy(log: string): Map<string, number> {
  const counts = new Map<string, number>()
  for (const key of readFileSync(join(log), 'utf8').split('\n'))
    if (key !== '') counts.set(key, (counts.get(key) ?? 0) + 1)
  return counts
}
