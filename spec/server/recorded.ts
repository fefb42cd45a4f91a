/**
 * What lm-evaluation-harness 0.4.13 asked and what it must get, where somebody has it: beside the checkout, or
 * where SHADOWLLM_LM_EVAL says. Tests that want it are skipped without.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const folder =
  process.env.SHADOWLLM_LM_EVAL ?? fileURLToPath(new URL('../../../shared/lm-eval', import.meta.url))

export const hasRecorded: boolean = existsSync(folder)

/** The rows of each task that were asked. */
export const recordedRows: string = join(folder, 'rows')

/** One request. */
export interface RecordedRequest {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Readonly<Record<string, unknown>> | null
}

/** What is right for one prompt: log-probabilities in float64, rounded to five decimals. */
export interface ExpectedAnswer {
  readonly request: number
  readonly prompt: number
  readonly token_logprobs: readonly (number | null)[]
  readonly top_ids: readonly (number | null)[]
  readonly top_logprobs: readonly (number | null)[]
  readonly next_id: number
}

/** What the harness said of one answer to a question. */
export interface ExpectedItem {
  readonly task: string
  readonly doc: number
  readonly choice: number
  readonly context: string
  readonly continuation: string
  readonly loglikelihood: number
  readonly is_greedy: boolean
  readonly acc?: number
  /** Null for a task that does not measure it. */
  readonly acc_norm?: number | null
}

function readLines<T>(...path: string[]): T[] {
  if (!hasRecorded) return []
  const text = readFileSync(join(folder, ...path), 'utf8')
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as T)
}

/** The requests of one run. */
export function recordedRequests(name: string): RecordedRequest[] {
  return readLines('requests', `${name}.jsonl`)
}

/** The right answers to the requests that a model was asked with ids. */
export function expectedAnswers(model: string): ExpectedAnswer[] {
  return readLines('expected', `${model}.answers.jsonl`)
}

/** What the harness said of a model. */
export function expectedItems(model: string): ExpectedItem[] {
  return readLines('expected', `${model}.items.jsonl`)
}
