/**
 * `shadowllm jobs`: the queues of a server.
 */
import type { Command } from 'commander'
import { readQueues, retryFailed, type QueueState } from '../../jobs/queue_state.ts'
import { addFlags, type SharedFlags } from '../flags.ts'
import { connectQueue, servedQueue } from '../queue_flags.ts'
import { wrapLines } from '../../results/fold.ts'
import { printResult } from '../report.ts'
import type { Session } from '../session.ts'
import { formatColumns, formatCount, formatDuration } from '../words.ts'
import { addOwnFlags, type FlagsOf } from '../values.ts'
import { shownLine } from '../../tensor/quote.ts'

const help = `
A queue is named by the first digits of the model's hash and of the method's, and by the kind of bits its workers give.
Rates are means of the last ten minutes. --retry puts failed jobs back into the queue.

Examples:
  $ shadowllm jobs --queue redis://127.0.0.1
  $ shadowllm jobs --queue rediss://queue.example --json
  $ shadowllm jobs --queue redis://127.0.0.1 --retry`

const ownFlags = [servedQueue, ['--retry', 'try failed jobs again']] as const

type JobsFlags = FlagsOf<typeof ownFlags> & SharedFlags<'json'>

/** Gives the command its arguments, flags and action. */
export function define(command: Command, session: Session): void {
  addOwnFlags(command, ownFlags)
  addFlags(command, 'json')
    .addHelpText('after', help)
    .action((flags: JobsFlags) => show(session, flags))
}

/** What `--json` prints. */
export interface JobsOutput {
  readonly queues: readonly QueueState[]
  /** How many failed jobs are tried again, with --retry. */
  readonly retried: number
}

async function show(session: Session, { queue, retry, json }: JobsFlags): Promise<void> {
  const tools = await connectQueue(session, queue)
  let retried = 0
  if (retry) for (const { name } of await readQueues(tools)) retried += await retryFailed(tools, name)
  const found: JobsOutput = { queues: await readQueues(tools), retried }
  await printResult(session, { json }, found, ({ queues }, { columns }) => {
    const again = retry ? `${formatCount(retried)} are tried again\n` : ''
    return `${again}${queues.length === 0 ? 'no queue\n' : formatQueues(queues, columns)}`
  })
}

/** Queues as a table, and what failed in them. @param columns characters of a line */
export function formatQueues(queues: readonly QueueState[], columns = Infinity): string {
  const headings = ['queue', 'workers', 'waiting', 'later', 'active', 'failed', 'per minute', 'left']
  const rows = queues.map(({ name, workers, counts, perMinute, secondsLeft }) => [
    name,
    formatCount(workers),
    formatCount(counts.waiting),
    formatCount(counts.delayed),
    formatCount(counts.active),
    formatCount(counts.failed),
    perMinute === null ? '-' : perMinute.toFixed(1),
    secondsLeft === null ? '-' : formatDuration(secondsLeft),
  ])
  const failures = queues.flatMap(({ failures: all }) =>
    all.map(
      ({ key, kind, attempts, words }) =>
        `failed ${kind} ${key.slice(0, 12)} after ${attempts} tries: ${words.replace(/\s+/g, ' ')}`,
    ),
  )
  const table = formatColumns([headings, ...rows], [1, 2, 3, 4, 5, 6, 7], { columns })
  return `${table}${failures.map((line) => `${wrapLines(shownLine(line), columns, '  ')}\n`).join('')}`
}
