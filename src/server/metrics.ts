/**
 * What a server has done, in the text format of Prometheus. Labels have few values: nothing of a request becomes one.
 */
import type { Sparsity } from '../masks/achieved.ts'

/** The current state, beside the counters. */
export interface MetricsNow {
  readonly seated: number
  readonly queued: number
}

/** Upper bounds of the seconds of requests. */
const BOUNDS = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300]

/** Counts what a server does. */
export class Metrics {
  /** Requests by path and status. */
  readonly #requests = new Map<string, number>()
  readonly #seconds = { buckets: BOUNDS.map(() => 0), sum: 0, count: 0 }
  #promptTokens = 0
  #cachedTokens = 0
  #generatedTokens = 0
  #stepSeconds = 0
  readonly #skipped = { heads: 0, neurons: 0, weights: 0, texts: 0 }

  /** An answer was begun. @param path one of the server's own, with ID for the name of a model, or `other` */
  request(path: string, status: number): void {
    const labels = `path="${path}",status="${status}"`
    this.#requests.set(labels, (this.#requests.get(labels) ?? 0) + 1)
  }

  /** A request for texts has ended. */
  ended(seconds: number): void {
    const at = BOUNDS.findIndex((bound) => seconds <= bound)
    if (at >= 0) this.#seconds.buckets[at]++
    this.#seconds.sum += seconds
    this.#seconds.count++
  }

  /** A step of computing. */
  step(seconds: number): void {
    this.#stepSeconds += seconds
  }

  /** A prompt has been read. */
  prompt(tokens: number): void {
    this.#promptTokens += tokens
  }

  /** So many tokens of a prompt had been read before. */
  cached(tokens: number): void {
    this.#cachedTokens += tokens
  }

  /** A token was generated. */
  generated(): void {
    this.#generatedTokens++
  }

  /** A text was written under a mask. */
  text({ heads, neurons, weights }: Sparsity): void {
    this.#skipped.heads += heads
    this.#skipped.neurons += neurons
    this.#skipped.weights += weights
    this.#skipped.texts++
  }

  /** The text of `/metrics`. */
  render({ seated, queued }: MetricsNow): string {
    const { buckets, sum, count } = this.#seconds
    let below = 0
    const cumulative = buckets.map((more, i) => `_bucket{le="${BOUNDS[i]}"} ${(below += more)}`)
    const { texts, ...skipped } = this.#skipped
    const families: readonly (readonly [name: string, type: string, help: string, samples: string[]])[] = [
      [
        'requests_total',
        'counter',
        'Requests by path and status.',
        [...this.#requests].map(([labels, value]) => `{${labels}} ${value}`),
      ],
      ['prompt_tokens_total', 'counter', 'Tokens of prompts.', [` ${this.#promptTokens}`]],
      [
        'cached_tokens_total',
        'counter',
        'Tokens of prompts that were not read anew.',
        [` ${this.#cachedTokens}`],
      ],
      ['generated_tokens_total', 'counter', 'Tokens that were generated.', [` ${this.#generatedTokens}`]],
      ['step_seconds_total', 'counter', 'Seconds of computing.', [` ${this.#stepSeconds}`]],
      [
        'request_seconds',
        'histogram',
        'Seconds from a request for texts to its end.',
        [...cumulative, `_bucket{le="+Inf"} ${count}`, `_sum ${sum}`, `_count ${count}`],
      ],
      ['texts_total', 'counter', 'Texts that were written to their end.', [` ${texts}`]],
      [
        'skipped_share_sum',
        'counter',
        'Shares of units and of weights that were skipped, summed over texts.',
        Object.entries(skipped).map(([of, value]) => `{of="${of}"} ${value}`),
      ],
      ['active_requests', 'gauge', 'Requests that compute.', [` ${seated}`]],
      ['queue_length', 'gauge', 'Requests that wait.', [` ${queued}`]],
    ]
    return families
      .map(([name, type, help, samples]) => {
        const full = `shadowllm_${name}`
        const lines = samples.map((sample) => `${full}${sample}\n`).join('')
        return `# HELP ${full} ${help}\n# TYPE ${full} ${type}\n${lines}`
      })
      .join('')
  }
}
