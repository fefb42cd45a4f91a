/**
 * A worker for chaos_law.ts: does the jobs of test_jobs.ts, prints a line when it begins one, and writes the key of each
 * finished one into a file.
 */
import { appendFileSync } from 'node:fs'
import { openQueue, parseQueueUrl, type QueueTools } from '../../src/jobs/connection.ts'
import { openJobStore } from '../../src/jobs/open_store.ts'
import { JobStore } from '../../src/jobs/job_store.ts'
import { runWorker } from '../../src/jobs/queue_worker.ts'
import type { WorkerPlace } from './chaos.ts'
import { testThreads } from './test_jobs.ts'

const place = JSON.parse(process.argv[2]) as WorkerPlace

/** The way may be cut just now. */
async function open(): Promise<QueueTools> {
  for (;;) {
    try {
      return await openQueue(parseQueueUrl(place.url))
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  }
}

const { place: files } = await openJobStore(place.store)
/** A worker that begins a job first looks up its result. */
const read = (name: string): Promise<Uint8Array | null> => {
  process.stdout.write(`${name}\n`)
  return files.read(name)
}

await runWorker({
  tools: await open(),
  queue: place.queue,
  store: new JobStore({ ...files, read }),
  threads: testThreads,
  concurrency: 1,
  grace: 0,
  idle: null,
  lock: 1500,
  signal: new AbortController().signal,
  onEvent: ({ what, key, kind }) => {
    if (what === 'done' && kind === 'echo') appendFileSync(place.log, `${key}\n`)
  },
})
