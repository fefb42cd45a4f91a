/**
 * The law of how pools end finds ends that helpers do not see: each then waits until the helpers are terminated.
 */
import { WorkQueue } from '../../../src/backends/wasm/work_queue.ts'
import { killsEach, stateLaw } from '../../harness/seed.ts'
import { ASLEEP, endByThemselves, right } from './pool_ends.ts'

stateLaw(endByThemselves, right)

/** Longer than helpers take that see the end. */
const PATIENCE = 5000

class Untold extends WorkQueue {
  override end(): void {}
}

/** It ends as if nobody slept. */
class WakesNobody extends WorkQueue {
  readonly #words: Int32Array

  constructor(memory: SharedArrayBuffer) {
    super(memory)
    this.#words = new Int32Array(memory)
  }

  override end(): void {
    Atomics.store(this.#words, ASLEEP, 0)
    super.end()
  }
}

killsEach('a mutant is killed: %s', endByThemselves, {
  'a queue whose end is not written': { makeQueue: (memory) => new Untold(memory), patience: PATIENCE },
  'an end that wakes nobody': { makeQueue: (memory) => new WakesNobody(memory), patience: PATIENCE },
  'helpers that are terminated at once': { ...right, patience: 0 },
})
