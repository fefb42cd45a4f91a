/**
 * A campaign: every reader is given mutants without end, some threads at once, until the time is over.
 *
 * The readers take turns, the one that had the least time first, so that each has the same share of the threads' time.
 * A mutant is known by reader, seed and number alone: a campaign that begins at a later number goes on with an earlier
 * one. Each kind of fault of a reader is kept once.
 */
import { Cell, projectReaders, usualLimits, type Limits } from './cell.ts'
import { minimise, type Finding } from './findings.ts'
import { corpusOf, mutantOf } from './mutate.ts'
import type { Reader } from './reader.ts'
import { type HostileInput } from '../../fixtures/hostile/input.ts'

/** What a campaign is told. */
export interface CampaignOptions {
  readonly module?: URL
  /** Names; all that the module has unless told. */
  readonly readers?: readonly string[]
  readonly seed: number
  /** The number of each reader's first mutant. */
  readonly from?: number
  /** Ends at this number, for each reader. */
  readonly to?: number
  /** Ends after this time. */
  readonly milliseconds?: number
  readonly workers?: number
  readonly limits?: Limits
  readonly signal?: AbortSignal
  readonly onProgress?: (reports: readonly ReaderReport[]) => void
}

/** What was done with one reader. */
export interface ReaderReport {
  readonly name: string
  /** The first mutant that was not tried. */
  next: number
  executions: number
  /** Of all threads together. */
  milliseconds: number
  /** Answers, and how often each was given: "read", or the code of a refusal. */
  readonly answers: Map<string, number>
  readonly findings: Finding[]
}

/** How long a reader is at work before the next one has its turn. */
const TURN = 1000

/** Runs a campaign. Findings are made smaller, and not written: that is the caller's. */
export async function runCampaign(options: CampaignOptions): Promise<ReaderReport[]> {
  const { module = projectReaders, seed, from = 0, to = 2 ** 31 - 1, limits = usualLimits } = options
  const { readers, inputsOf } = (await import(module.href)) as {
    readers: readonly Reader[]
    inputsOf: (name: string) => readonly HostileInput[]
  }
  const chosen = readers.filter(({ name }) => options.readers?.includes(name) ?? true)
  const reports = chosen.map(({ name }): ReaderReport => ({
    name,
    next: from,
    executions: 0,
    milliseconds: 0,
    answers: new Map(),
    findings: [],
  }))
  const end = performance.now() + (options.milliseconds ?? Infinity)
  const busy = new Set<ReaderReport>()
  const isOver = (): boolean => performance.now() >= end || (options.signal?.aborted ?? false)

  const interleave = async (): Promise<void> => {
    const cell = new Cell(module, limits)
    try {
      while (!isOver()) {
        const report = reports
          .filter((one) => !busy.has(one) && one.next < to)
          .toSorted((a, b) => a.milliseconds - b.milliseconds)[0]
        if (report === undefined) return
        busy.add(report)
        const reader = chosen.find(({ name }) => name === report.name) as Reader
        await takeTurn(cell, reader, report)
        busy.delete(report)
        options.onProgress?.(reports)
      }
    } finally {
      await cell.close()
    }
  }

  const takeTurn = async (cell: Cell, reader: Reader, report: ReaderReport): Promise<void> => {
    const start = performance.now()
    const faults: { number: number; what: string }[] = []
    const milliseconds = Math.min(TURN, end - start)
    const job = { reader: reader.name, seed, from: report.next, to, milliseconds }
    report.next = await cell.run(job, (number, outcome) => {
      report.executions++
      const answer =
        outcome.kind === 'refused' ? outcome.code : outcome.kind === 'read' ? 'read' : outcome.what
      report.answers.set(answer, (report.answers.get(answer) ?? 0) + 1)
      if (outcome.kind === 'fault') faults.push({ number, what: outcome.what })
    })
    for (const { number, what } of faults) {
      if (report.findings.some((finding) => finding.what === what)) continue
      const bytes = await mutantOf(reader, await corpusOf(reader, inputsOf(reader.name)), seed, number)
      // What takes minutes to fail is kept as it is.
      const small = what.startsWith('no end') ? bytes : await minimise(cell, reader.name, bytes, what)
      report.findings.push({ reader: reader.name, what, seed, number, bytes: small })
    }
    report.milliseconds += performance.now() - start
  }

  const workers = Math.min(options.workers ?? 1, chosen.length)
  await Promise.all(Array.from({ length: workers }, interleave))
  return reports
}
