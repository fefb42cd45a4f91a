/**
 * `shadowllm worker`: takes jobs from a queue and does them with one model, until it is told to stop.
 */
import type { Command } from 'commander'
import { methodHash } from '../../results/method_hash.ts'
import { hashFiles } from '../../results/provenance.ts'
import { jobThreads } from '../../evaluation/jobs/threads.ts'
import { embeddedName } from '../../io/find_model.ts'
import { findModelFiles } from '../../io/load.ts'
import { openJobStore } from '../../jobs/open_store.ts'
import { runWorker, type WorkerEvent, type WorkerReport } from '../../jobs/queue_worker.ts'
import { addFlags, type SharedFlags } from '../flags.ts'
import { findWithProgress } from '../open_model.ts'
import { connectQueue, queueOf, servedQueue, servedShards } from '../queue_flags.ts'
import type { Session } from '../session.ts'
import { number, whole, addOwnFlags, type FlagsOf } from '../values.ts'
import { shownLine } from '../../tensor/quote.ts'

const help = `
A worker takes jobs of calibrate, eval and reproduce --queue for its own model, its own version of this program and
the bits of its backend. A job that fails is tried again by any free worker; after the third failure it stays where
"shadowllm jobs" shows it. On Ctrl-C or SIGTERM the worker finishes the jobs it has begun; a job that takes longer
than --grace goes back to the queue.

A bucket is opened with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, in AWS_REGION, at AWS_ENDPOINT_URL if it is not Amazon's. A user's name and a password for the server are taken from SHADOWLLM_QUEUE_USER and SHADOWLLM_QUEUE_PASSWORD.

Examples:
  $ shadowllm worker --queue rediss://queue.example --shards /mnt/shards -m DIR --concurrency 2
  $ shadowllm worker --queue redis://127.0.0.1 --shards s3://bucket/shards --idle 60`

const queueFlags = [servedQueue, servedShards] as const

const ownFlags = [
  ['--concurrency <count>', 'jobs at once, each in a thread with a model of its own', whole(1, 64), 1],
  [
    '--grace <seconds>',
    'how long jobs may take to finish after the worker is told to stop',
    number(0, 86400),
    30,
  ],
  ['--idle <seconds>', 'stop after this long without work (default: never)', number(0.1, 86400)],
  [
    '--lock <seconds>',
    'return the jobs of a worker that has been silent for this long to the queue',
    number(1, 3600),
    30,
  ],
  ['--json', 'print each job and the end as JSON, one object in a line'],
] as const

type WorkerFlags = FlagsOf<typeof queueFlags> &
  FlagsOf<typeof ownFlags> &
  SharedFlags<'model' | 'backend' | 'quiet'>

/** Gives the command its arguments, flags and action. */
export function define(command: Command, session: Session): void {
  addOwnFlags(command, queueFlags)
  addFlags(command, 'model', 'backend')
  addOwnFlags(command, ownFlags)
  addFlags(command, 'quiet')
    .addHelpText('after', help)
    .action((flags: WorkerFlags) => work(session, flags))
}

/** The last line of `--json`; each line before it is a `WorkerEvent`. */
export interface WorkerEnd {
  readonly end: WorkerReport
}

async function work(session: Session, flags: WorkerFlags): Promise<void> {
  const { model = embeddedName, backend, concurrency, grace, idle, lock, json } = flags
  const store = await openJobStore(flags.shards)
  // The threads load the model; here only its files are found.
  const { path } = await findWithProgress(session, model, flags)
  const { weights, all } = await findModelFiles(path)
  const hash = await hashFiles(all)
  const start = { path: weights, backend, hash, method: await methodHash() }
  const queue = await queueOf(hash, backend)
  const tools = await connectQueue(session, flags.queue)
  const tell = (event: WorkerEvent): void => {
    void session.print(json ? `${JSON.stringify(event)}\n` : formatEvent(event)).catch(() => {})
  }
  if (!json) await session.print(`queue ${queue}\n`)
  const report = await runWorker({
    tools,
    queue,
    store,
    threads: jobThreads(start),
    concurrency,
    grace: 1000 * grace,
    idle: idle === undefined ? null : 1000 * idle,
    lock: 1000 * lock,
    signal: session.signal,
    onEvent: tell,
  })
  await store.close()
  const end: WorkerEnd = { end: report }
  await session.print(json ? `${JSON.stringify(end)}\n` : formatReport(report))
}

function formatEvent({ what, kind, key, seconds, words }: WorkerEvent): string {
  const line = `${what.padEnd(8)} ${kind.padEnd(9)} ${key.slice(0, 12)} ${seconds.toFixed(2).padStart(8)} s`
  return `${shownLine(`${line}${words === undefined ? '' : `  ${words.replace(/\s+/g, ' ')}`}`)}\n`
}

function formatReport({ done, found, failed, returned }: WorkerReport): string {
  return `${done} done, ${found} were done already, ${failed} failed, ${returned} given back\n`
}
