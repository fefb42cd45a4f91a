/**
 * Where threads find what to do: a job, and which of its parts nobody has taken yet, in memory they share.
 *
 * One thread, the owner, opens a job and takes parts of it like every other thread, until none is left; then it waits for
 * those that others took. A thread that does not get to run takes nothing, and nobody waits for it.
 *
 * The word by which parts are taken holds a number of the job as well: who has slept through a job holds an old word, and
 * takes nothing with it. The job is read after a part of it was taken, when the owner cannot replace it any more. Words
 * are read and written atomically, which also orders all other memory: what was written before a part was finished is
 * seen by who sees it finished.
 */
import type { KernelFunction } from '../checked_ops.ts'
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

/** As many parts as fit into the word that counts them. */
export const MAX_PARTS = 255

// Words. What the owner waits for stands in another cache line than what the others look at.
const OPEN = 0 // a number of the job, and in the lowest eight bits how many of its parts are left
const ASLEEP = 1 // whether a thread may be asleep
const ENDED = 2 // whether there will be no more jobs
const ARRIVED = 3 // threads that look for jobs, the owner left out
const DONE = 16 // parts that others finished
const BROKEN = 17 // whether another thread failed in a part
const WORDS = 32

/** Numbers of a job, behind the words: those of its head, and as many arguments as a kernel has at most. */
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

/** The memory of a new board. */
export function makeBoardMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(4 * WORDS + 8 * (HEAD + MAX_ARGUMENTS))
}

/** One thread's look at the board. */
export class JobBoard {
  readonly #words: Int32Array
  readonly #job: Float64Array

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory, 0, WORDS)
    this.#job = new Float64Array(memory, 4 * WORDS)
  }

  /** Owner: writes a job down. The one before must be settled. */
  write({ kernel, parts, units, grain, call }: Job): void {
    const job = this.#job
    job[0] = kernel
    job[1] = parts
    job[2] = units
    job[3] = grain
    job[4] = call.length
    for (let i = 0; i < call.length; i++) job[HEAD + i] = Number(call[i])
    Atomics.store(this.#words, DONE, 0)
  }

  /** Owner: lets the parts of the job that was written be taken, from 1 to MAX_PARTS of them; wakes who sleeps. */
  open(parts: number): void {
    const number = (Atomics.load(this.#words, OPEN) >> 8) + 1
    Atomics.store(this.#words, OPEN, (number << 8) | parts)
    this.#wake()
  }

  /** Whether the word that `look` gave has parts left. */
  static hasParts(word: number): boolean {
    return (word & MAX_PARTS) !== 0
  }

  /** The word by which a part may be taken. */
  look(): number {
    return Atomics.load(this.#words, OPEN)
  }

  /** Takes the first part that is left; says how many are left then, or -1 if another thread was faster. */
  take(word: number): number {
    return Atomics.compareExchange(this.#words, OPEN, word, word - 1) === word ? (word & MAX_PARTS) - 1 : -1
  }

  /** The job of which a part was taken. */
  read(): Job {
    const [kernel, parts, units, grain, length] = this.#job
    return { kernel, parts, units, grain, call: Array.from(this.#job.subarray(HEAD, HEAD + length)) }
  }

  /** Not the owner: says that it looks for jobs from now on. */
  arrive(): void {
    Atomics.add(this.#words, ARRIVED, 1)
  }

  /** How many have arrived. */
  get arrived(): number {
    return Atomics.load(this.#words, ARRIVED)
  }

  /** Not the owner: says that a part is finished. */
  finish(): void {
    Atomics.add(this.#words, DONE, 1)
  }

  /** Not the owner: says that a part could not be finished. */
  fail(): void {
    Atomics.store(this.#words, BROKEN, 1)
  }

  /** Owner: whether others have finished this many parts. */
  isSettled(parts: number): boolean {
    return Atomics.load(this.#words, DONE) === parts
  }

  /** Owner: whether another thread failed. */
  get isBroken(): boolean {
    return Atomics.load(this.#words, BROKEN) === 1
  }

  /** Not the owner: sleeps until the word is another than this, or the board ends. */
  sleep(word: number): void {
    Atomics.store(this.#words, ASLEEP, 1)
    Atomics.wait(this.#words, OPEN, word)
  }

  /** Owner: there will be no more jobs. */
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
