/**
 * Amounts: every place of every file is made larger (places.ts), and its reader must read the file or refuse it in bounded time
 * and memory, and in a time that grows no faster than the file.
 *
 * Each place is tried at 4 MiB. Where that takes long, it is tried at a quarter as well: time that grows by more than GROWTH
 * where the file grows by 4 is a finding if it does so again. Where 4 MiB are refused and a valid file is read, the largest
 * amount that is read is looked for, and judged in the same way. Time is processor time of this process, in which nothing else runs.
 */
import type { Cell } from './cell.ts'
import type { Form } from './forms.ts'
import type { Outcome } from './judge.ts'
import { growthsOf, type Growth } from './places.ts'
import type { Reader } from './reader.ts'

/** One reading. */
interface Reading {
  readonly bytes: number
  readonly milliseconds: number
  /** "read", the code of a refusal, or the fault. */
  readonly answer: string
  readonly isFault: boolean
}

/** What was found at a place: the slowest reading of it, and what is wrong. */
export interface AmountReport extends Reading {
  readonly reader: string
  readonly what: string
  /** What is wrong; null if nothing is. */
  readonly finding: string | null
  /** The largest amount that is read, where a larger one is refused. */
  readonly limit: number | null
}

/** Times below this are not compared. In milliseconds, of reading twice. */
const FLOOR = 300
/** Time may grow by this much where a file grows by 4: 4 is linear, 16 is quadratic. */
const GROWTH = 10
/** From here on it is looked at again, with four times as much. */
const SUSPECT = 5.5
/** The longest time for a file: a constant, and so much for each MiB. */
const [LONGEST, LONGEST_PER_MIB] = [4000, 3000]

export interface AmountOptions {
  /** The size of the largest case; default: 4 MiB. */
  readonly size?: number
  /** The places of which this holds; all unless given. */
  readonly only?: (what: string) => boolean
  readonly onReport?: (report: AmountReport) => void
  /** Ends early. */
  readonly isOver?: () => boolean
}

/** Tries every place of a reader's valid files. */
export async function tryAmounts(
  cell: Pick<Cell, 'run'>,
  reader: Pick<Reader, 'name' | 'valid'>,
  forms: readonly Form[],
  options: AmountOptions = {},
): Promise<AmountReport[]> {
  const reports: AmountReport[] = []
  const tried = new Set<string>()
  for (const file of await reader.valid())
    for (const form of forms)
      for (const growth of await growthsOf(form, file, (options.size ?? 2 ** 22) * (form.share ?? 1))) {
        if (tried.has(growth.what) || !(options.only?.(growth.what) ?? true)) continue
        if (options.isOver?.()) return reports
        // The same place of another valid file has other values, but not another structure.
        tried.add(growth.what)
        const report = await new Trial(cell, reader.name, growth).run()
        if (report === null) continue
        reports.push(report)
        options.onReport?.(report)
      }
  return reports
}

class Trial {
  readonly #cell: Pick<Cell, 'run'>
  readonly #reader: string
  readonly #growth: Growth
  #worst: Reading | null = null

  constructor(cell: Pick<Cell, 'run'>, reader: string, growth: Growth) {
    this.#cell = cell
    this.#reader = reader
    this.#growth = growth
  }

  async run(): Promise<AmountReport | null> {
    const { amounts } = this.#growth
    if (amounts !== undefined) {
      let finding: string | null = null
      for (const amount of amounts) finding ??= this.#faultOf(await this.#read(amount))
      return this.#report(finding, null)
    }
    const most = await this.#amountOf(this.#growth.size)
    if (most === null) return null
    const large = await this.#read(most)
    if (large === null) return null
    const finding = await this.#findingAt(most, large)
    if (finding !== null || large.answer === 'read') return this.#report(finding, null)
    const limit = this.#growth.hasLimit ? await this.#limitBelow(most) : 0
    const atLimit = limit > 1 ? await this.#findingAt(limit, await this.#read(limit)) : null
    return this.#report(atLimit, limit > 0 ? limit : null)
  }

  #report(finding: string | null, limit: number | null): AmountReport | null {
    if (this.#worst === null) return null
    return { reader: this.#reader, what: this.#growth.what, ...this.#worst, finding, limit }
  }

  /** The amount that makes a file of a size. */
  async #amountOf(size: number): Promise<number | null> {
    const { make, from = 0 } = this.#growth
    const [few, many] = [await make(from + 8), await make(from + 72)]
    if (few === null || many === null) return null
    // A byte each at least: what is compressed could hold more than this process can make.
    const each = Math.max(1, (many.length - few.length) / 64)
    return many.length > few.length ? from + Math.max(8, Math.floor((size - few.length) / each)) : null
  }

  async #read(amount: number): Promise<Reading | null> {
    const bytes = await this.#growth.make(amount)
    if (bytes === null) return null
    const reading = await readingOf(this.#cell, this.#reader, bytes)
    if (this.#worst === null || reading.milliseconds > this.#worst.milliseconds) this.#worst = reading
    return reading
  }

  #faultOf(reading: Reading | null): string | null {
    if (reading === null) return null
    if (reading.isFault) return reading.answer
    const longest = LONGEST + (LONGEST_PER_MIB * reading.bytes) / 2 ** 20
    return reading.milliseconds > longest ? `longer than ${Math.round(longest)} ms` : null
  }

  /** What is wrong with a reading: itself, or that it takes much longer than a quarter of it. */
  async #findingAt(amount: number, large: Reading | null): Promise<string | null> {
    const fault = this.#faultOf(large)
    if (fault !== null || large === null || large.milliseconds < FLOOR || amount < 16) return fault
    const quarter = Math.floor(amount / 4)
    let [slow, quick] = [large, (await this.#read(quarter)) ?? large]
    const growth = (): number => slow.milliseconds / Math.max(quick.milliseconds, FLOOR / 16)
    for (let again = 0; again < 3; again++) {
      if (growth() < SUSPECT) return null
      // Whatever else the machine did made one of them slower, never faster.
      slow = faster(slow, await this.#read(amount))
      quick = faster(quick, await this.#read(quarter))
    }
    // A heap that has to grow looks like that once. Four times as much tells, where it is answered in the same way.
    const larger = await this.#read(4 * amount)
    if (larger?.answer === 'no end in time') return `${larger.answer} for ${larger.bytes} bytes`
    if (larger?.answer === large.answer) {
      ;[slow, quick] = [larger, slow]
      for (let again = 0; again < 2 && growth() >= GROWTH; again++)
        slow = faster(slow, await this.#read(4 * amount))
    }
    if (growth() < GROWTH) return null
    const [before, after] = [quick, slow].map(({ milliseconds }) => Math.round(milliseconds))
    return `${after} ms, and ${before} ms for a quarter`
  }

  /** The largest amount below `most` that is read; 0 if none is. */
  async #limitBelow(most: number): Promise<number> {
    const isRead = async (amount: number): Promise<boolean> => (await this.#read(amount))?.answer === 'read'
    let [low, high] = [0, most]
    for (let amount = 2; amount < most; amount *= 8) {
      if (!(await isRead(amount))) {
        high = amount
        break
      }
      low = amount
    }
    while (low > 0 && high - low > 1) {
      const middle = Math.floor((low + high) / 2)
      if (await isRead(middle)) low = middle
      else high = middle
    }
    return low
  }
}

function faster(one: Reading, other: Reading | null): Reading {
  return other !== null && other.milliseconds < one.milliseconds ? other : one
}

async function readingOf(cell: Pick<Cell, 'run'>, reader: string, bytes: Uint8Array): Promise<Reading> {
  let [outcome, milliseconds]: [Outcome | null, number] = [null, 0]
  const before = process.cpuUsage()
  await cell.run({ reader, from: 0, to: 1, inputs: [bytes] }, (_, one, time) => {
    outcome = one
    milliseconds = time
  })
  const { kind } = outcome as unknown as Outcome
  // A reader that was ended tells no time.
  if (milliseconds === 0) {
    const { user, system } = process.cpuUsage(before)
    milliseconds = (user + system) / 1000
  }
  const answer = answerOf(outcome as unknown as Outcome)
  return { bytes: bytes.length, milliseconds, answer, isFault: kind === 'fault' }
}

function answerOf(outcome: Outcome): string {
  if (outcome.kind === 'fault') return outcome.what
  return outcome.kind === 'read' ? 'read' : outcome.code
}

/** The slowest readings, a line each. */
export function worstOf(reports: readonly AmountReport[], count = 10): string[] {
  return reports
    .toSorted((a, b) => b.milliseconds - a.milliseconds)
    .slice(0, count)
    .map(lineOf)
}

/** A report in one line. */
export function lineOf({ reader, what, bytes, milliseconds, answer, finding, limit }: AmountReport): string {
  const facts = [`${bytes} bytes`, `${Math.round(milliseconds)} ms`, answer]
  if (limit !== null) facts.push(`read up to ${limit}`)
  if (finding !== null) facts.push(`FINDING: ${finding}`)
  return `${reader} ${what.slice(0, 120)}: ${facts.join(', ')}`
}
