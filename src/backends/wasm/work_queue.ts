/**
 * The work queue of the threads of a backend: one job at a time, and which of its parts are left, in shared memory.
 *
 * One thread, the owner, opens a job and takes parts of it like every other thread, until none is left. It then waits for
 * the parts that others took. A thread that is not scheduled takes no part, so the owner does not wait for it.
 *
 * The word by which parts are taken also holds the number of the job. A thread that slept through a job holds an old word,
 * so it can take no part with it. A thread reads the job after it took a part of it, when the owner can no longer replace
 * the job. Words are read and written atomically, which also orders all other memory: what a thread wrote before it
 * finished a part is visible to a thread that sees the part finished.
 */
import type { KernelFunction } from '../calls.ts'
import { partStart, type Call } from './split.ts'

/** A job: a kernel, and its call in parts of units (split.ts). */
export interface Job {
  /** Which kernel, by the number all threads know it by. */
  readonly kernel: number
  readonly parts: number
  readonly units: number
  readonly grain: number
  /** What the kernel is given before the part; null is the null address. */
  readonly call: Call
}

/** The largest number of parts: it fits into the byte that counts them. */
export const MAX_PARTS = 255

// Indices of words. The owner waits for words in another cache line than those the other threads poll.
const OPEN = 0 // the number of the job; in the lowest eight bits how many of its parts are left
const ASLEEP = 1 // whether a thread may be asleep
const ENDED = 2 // whether the queue has ended
const ARRIVED = 3 // threads that poll for jobs, without the owner
const DONE = 16 // parts finished by threads other than the owner
const BROKEN = 17 // whether another thread failed in the job
const WORDS = 32

/** The numbers of a job follow the words: its head, then the arguments of the kernel. */
const HEAD = 5
const MAX_ARGUMENTS = 27

/** Computes one part of a job. */
export function runPart(
  kernel: KernelFunction<number>,
  { parts, units, grain, call }: Job,
  part: number,
): void {
  kernel(...call, partStart(part, parts, units, grain), partStart(part + 1, parts, units, grain))
}

/** The memory of a new queue. */
export function makeQueueMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(4 * WORDS + 8 * (HEAD + MAX_ARGUMENTS))
}

/** The queue as one thread sees it. */
export class WorkQueue {
  readonly #words: Int32Array
  readonly #job: Float64Array

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory, 0, WORDS)
    this.#job = new Float64Array(memory, 4 * WORDS)
  }

  /** Owner: writes a job. The previous job must be settled. */
  write({ kernel, parts, units, grain, call }: Job): void {
    const job = this.#job
    job[0] = kernel
    job[1] = parts
    job[2] = units
    job[3] = grain
    job[4] = call.length
    for (let i = 0; i < call.length; i++) job[HEAD + i] = Number(call[i])
    Atomics.store(this.#words, DONE, 0)
    Atomics.store(this.#words, BROKEN, 0)
  }

  /** Owner: opens the job that was written, with 1 to MAX_PARTS parts, and wakes sleeping threads. */
  open(parts: number): void {
    const number = (Atomics.load(this.#words, OPEN) >> 8) + 1
    Atomics.store(this.#words, OPEN, (number << 8) | parts)
    this.#wake()
  }

  /** Whether a word from `look` has parts left. */
  static hasParts(word: number): boolean {
    return (word & MAX_PARTS) !== 0
  }

  /** The word by which a part may be taken. */
  look(): number {
    return Atomics.load(this.#words, OPEN)
  }

  /** Takes a part. @returns how many parts are left then, or -1 if another thread was faster */
  take(word: number): number {
    return Atomics.compareExchange(this.#words, OPEN, word, word - 1) === word ? (word & MAX_PARTS) - 1 : -1
  }

  /** The job; call it after taking a part. */
  read(): Job {
    const [kernel, parts, units, grain, length] = this.#job
    return { kernel, parts, units, grain, call: Array.from(this.#job.subarray(HEAD, HEAD + length)) }
  }

  /** Not the owner: this thread polls for jobs from now on. */
  arrive(): void {
    Atomics.add(this.#words, ARRIVED, 1)
  }

  /** How many threads have arrived. */
  get arrived(): number {
    return Atomics.load(this.#words, ARRIVED)
  }

  /** Not the owner: a part is finished, or has failed. */
  finish(): void {
    Atomics.add(this.#words, DONE, 1)
  }

  /** Not the owner: a part failed; call it before `finish`. */
  fail(): void {
    Atomics.store(this.#words, BROKEN, 1)
  }

  /** Owner: whether other threads have finished this many parts. */
  isSettled(parts: number): boolean {
    return Atomics.load(this.#words, DONE) === parts
  }

  /** Owner: whether another thread failed in the job. */
  get isBroken(): boolean {
    return Atomics.load(this.#words, BROKEN) === 1
  }

  /** Not the owner: sleeps until the word changes or the queue ends. */
  sleep(word: number): void {
    Atomics.store(this.#words, ASLEEP, 1)
    Atomics.wait(this.#words, OPEN, word)
  }

  /** Owner: ends the queue; there are no more jobs. */
  end(): void {
    Atomics.store(this.#words, ENDED, 1)
    Atomics.add(this.#words, OPEN, 1 << 8)
    this.#wake()
  }

  get isEnded(): boolean {
    return Atomics.load(this.#words, ENDED) === 1
  }

  #wake(): void {
    if (Atomics.exchange(this.#words, ASLEEP, 0) === 1) Atomics.notify(this.#words, OPEN)
  }
}
