/**
 * Jobs for laws about queues, whose results are known beforehand.
 *
 *   echo     waits `milliseconds` or until there is a file `gate`, then gives its `value` and the text of its input
 *   poison   fails each time
 *   once     fails unless it finds the file `marker`, which it makes
 */
import { existsSync, writeFileSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import type { DoJob, Job } from '../../src/jobs/job.ts'
import type { JobStore } from '../../src/jobs/job_store.ts'
import type { ThreadSource } from '../../src/jobs/job_threads.ts'
import { InputError } from '../../src/tensor/errors.ts'

const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)
const encode = (text: string): Uint8Array => new TextEncoder().encode(text)

/** Does the jobs of this file. */
export const doTestJob: DoJob = async ({ kind, settings }, { read, onProgress, signal }) => {
  const { value, milliseconds, gate, marker } = settings
  if (typeof milliseconds === 'number') await wait(milliseconds, undefined, { signal })
  if (typeof gate === 'string') while (!existsSync(gate)) await wait(10, undefined, { signal })
  if (kind === 'poison') throw new Error(`job ${String(value)} cannot be done`)
  if (kind === 'once' && !existsSync(String(marker))) {
    writeFileSync(String(marker), '')
    throw new Error('not the first time')
  }
  if (kind !== 'echo' && kind !== 'once') throw new InputError('SHARD_FORMAT', `kind: got ${kind}`)
  onProgress?.({ done: 1, total: 1 })
  return encode(`${String(value)} ${decode(await read('input'))}`)
}

/** A thread that does them. */
export const testThreads: ThreadSource = {
  code: (Worker) => new Worker(new URL('./test_thread.ts', import.meta.url), { type: 'module' }),
  start: null,
}

/** Jobs of these values, and what comes of them. */
export async function echoJobs(
  store: JobStore,
  count: number,
  more: Partial<Job['settings']> = {},
  first = 0,
): Promise<{ jobs: Job[]; expected: string[] }> {
  const input = await store.add(encode('of the input'))
  const values = Array.from({ length: count }, (_, i) => first + i)
  return {
    jobs: values.map((value) => ({
      kind: 'echo',
      settings: { value, ...more } as Job['settings'],
      files: { input },
    })),
    expected: values.map((value) => `${value} of the input`),
  }
}

/** Results as texts. */
export async function texts(results: AsyncIterable<Uint8Array>): Promise<string[]> {
  const all: string[] = []
  for await (const result of results) all.push(decode(result))
  return all
}
