/**
 * Seeded random numbers: xoshiro128** (Blackman and Vigna), its state filled by splitmix32.
 *
 * It uses integer arithmetic only, so a seed gives the same numbers on every engine. It is not cryptographic.
 */

/** The state of a generator: four numbers of 32 bits, not all 0. */
export type RandomState = readonly [number, number, number, number]

/** A stream of random numbers; the same seed gives the same stream. */
export class Random {
  readonly #state = new Uint32Array(4)

  /** @param seed any number; its lowest 32 bits count */
  constructor(seed: number) {
    let x = seed >>> 0
    for (let i = 0; i < 4; i++) {
      x = (x + 0x9e3779b9) >>> 0
      let z = x
      z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
      z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
      this.#state[i] = z ^ (z >>> 16)
    }
  }

  /** A stream from the state of the generator. */
  static fromState(...state: RandomState): Random {
    const random = new Random(0)
    random.state = state
    return random
  }

  /** From where the stream goes on: a stream that is set to it draws the same numbers. */
  get state(): RandomState {
    const [a, b, c, d] = this.#state
    return [a, b, c, d]
  }

  set state(state: RandomState) {
    this.#state.set(state)
  }

  /** A stream that goes on as this one would from here on. */
  copy(): Random {
    const random = new Random(0)
    random.#state.set(this.#state)
    return random
  }

  /** A whole number in [0, 2^32). */
  uint32(): number {
    const s = this.#state
    const result = Math.imul(rotateLeft(Math.imul(s[1], 5), 7), 9) >>> 0
    const shifted = s[1] << 9
    s[2] ^= s[0]
    s[3] ^= s[1]
    s[1] ^= s[2]
    s[0] ^= s[3]
    s[2] ^= shifted
    s[3] = rotateLeft(s[3], 11)
    return result
  }

  /** A float32 number in [0, 1): a multiple of 2^-24. */
  uniform(): number {
    return (this.uint32() >>> 8) / 2 ** 24
  }

  /** A whole number in [0, limit), each equally likely. @param limit from 1 to 2^32 */
  below(limit: number): number {
    let drawn = this.uint32()
    // A draw below this is below the largest multiple of the limit, whose remainder takes longer than the draw.
    if (drawn >= 2 ** 32 - limit) {
      const fair = 2 ** 32 - (2 ** 32 % limit)
      while (drawn >= fair) drawn = this.uint32()
    }
    return drawn % limit
  }

  /**
   * A number of mean 0 and deviation 1, nearly normal: the sum of twelve uniform numbers of sixteen bits, centred. It
   * stays in [-6, 6], and needs no logarithm, which engines round differently.
   */
  normal(): number {
    let total = 0
    for (let i = 0; i < 6; i++) {
      const bits = this.uint32()
      total += (bits & 0xffff) + (bits >>> 16)
    }
    return (total + 6) / 65536 - 6
  }

  /** The numbers 0..length-1 in random order (Fisher-Yates). @param length how many */
  permutation(length: number): Int32Array {
    const order = new Int32Array(length).map((_, i) => i)
    for (let i = length - 1; i > 0; i--) {
      const j = this.below(i + 1)
      const kept = order[i]
      order[i] = order[j]
      order[j] = kept
    }
    return order
  }
}

function rotateLeft(x: number, by: number): number {
  return (x << by) | (x >>> (32 - by))
}
