/**
 * `npm run fuzz`: gives damaged files to every reader without end (spec/hostile/campaign.ts). A file that a reader neither reads
 * nor refuses is kept under fixtures/hostile/findings.
 *
 *   npm run fuzz -- --minutes 30                       all readers, on two threads (--workers); 30 minutes in all
 *   npm run fuzz -- --minutes 5 --reader zip,torch     these readers
 *   npm run fuzz -- --minutes 5 --seed 7 --from 90000  resumes a campaign of seed 7
 *
 * Every reader has an equal share of the threads' time. ctrl-C ends it with the same summary. Exit code 1 if there are
 * findings, 2 for a wrong flag.
 */
import { relative } from 'node:path'
import { parseArgs } from 'node:util'
import { runCampaign, type ReaderReport } from '../spec/hostile/campaign.ts'
import { writeFinding } from '../spec/hostile/findings.ts'
import { readers } from '../spec/hostile/readers.ts'

interface Flags {
  minutes: number
  readers: string[]
  seed: number
  from: number
  workers: number
}

function readFlags(): Flags {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '1' },
      reader: { type: 'string' },
      seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
      from: { type: 'string', default: '0' },
      workers: { type: 'string', default: '2' },
    },
  })
  const number = (name: 'minutes' | 'seed' | 'from' | 'workers', least: number): number => {
    const value = Number(values[name])
    if (values[name].trim() !== '' && Number.isFinite(value) && value >= least) return value
    throw new TypeError(`--${name}: expected a number from ${least}, got ${values[name]}`)
  }
  const names = readers.map(({ name }) => name)
  const chosen = values.reader?.split(',') ?? names
  const unknown = chosen.find((name) => !names.includes(name))
  if (unknown !== undefined) throw new TypeError(`--reader: expected ${names.join(', ')}, got ${unknown}`)
  return {
    minutes: number('minutes', 0),
    readers: chosen,
    seed: Math.trunc(number('seed', 0)),
    from: Math.trunc(number('from', 0)),
    workers: Math.max(1, Math.trunc(number('workers', 1))),
  }
}

/** One line of where a campaign is. */
function progressLine(reports: readonly ReaderReport[], seconds: number): string {
  const total = reports.reduce((sum, { executions }) => sum + executions, 0)
  const answers = reports.reduce((sum, report) => sum + report.answers.size, 0)
  const findings = reports.reduce((sum, report) => sum + report.findings.length, 0)
  const speed = Math.round(total / Math.max(1, seconds))
  return `${Math.round(seconds)} s: ${total} executions, ${speed}/s, ${answers} answers, ${findings} findings`
}

function table(reports: readonly ReaderReport[]): string {
  const rows = reports.map(({ name, executions, milliseconds, answers, findings, next }) => [
    name,
    String(executions),
    String(Math.round((1000 * executions) / Math.max(1, milliseconds))),
    (milliseconds / 60_000).toFixed(2),
    String(answers.size),
    String(findings.length),
    String(next),
  ])
  const head = ['reader', 'executions', 'per second', 'minutes', 'answers', 'findings', 'next']
  const width = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i].length)))
  const line = (row: readonly string[]): string =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(width[i]) : cell.padStart(width[i]))).join('  ')
  return [head, ...rows].map((row) => `${line(row)}\n`).join('')
}

async function main({ minutes, readers: chosen, seed, from, workers }: Flags): Promise<void> {
  process.stdout.write(`seed ${seed}, ${chosen.length} readers, ${workers} threads, ${minutes} minutes\n`)
  const stop = new AbortController()
  process.once('SIGINT', () => stop.abort())
  process.once('SIGTERM', () => stop.abort())
  const start = performance.now()
  let shown = start
  const reports = await runCampaign({
    readers: chosen,
    seed,
    from,
    milliseconds: minutes * 60_000,
    workers,
    signal: stop.signal,
    onProgress(now) {
      const every = process.stderr.isTTY ? 1000 : 30_000
      if (performance.now() - shown < every) return
      shown = performance.now()
      const line = progressLine(now, (shown - start) / 1000)
      process.stderr.write(process.stderr.isTTY ? `\r${line.padEnd(80)}` : `${line}\n`)
    },
  })
  if (process.stderr.isTTY) process.stderr.write('\n')
  process.stdout.write(`${progressLine(reports, (performance.now() - start) / 1000)}\n${table(reports)}`)
  for (const finding of reports.flatMap(({ findings }) => findings)) {
    const path = relative(process.cwd(), writeFinding(finding))
    process.stdout.write(`${finding.reader}, mutant ${finding.number}: ${finding.what} (${path})\n`)
    process.exitCode = 1
  }
}

try {
  await main(readFlags())
} catch (error) {
  if (!(error instanceof TypeError)) throw error
  process.stderr.write(`fuzz: ${error.message}\n`)
  process.exitCode = 2
}
