/**
 * The state of a run, which is written after every mutant, and the table made of it.
 */
import type { Mutant } from './derive.ts'
import type { Verdict } from './judge.ts'
import type { Draw } from './sample.ts'

/** A mutant and what is known of it. `invalid`: the type check refuses it. `gone`: the sources no longer have its line. */
export interface Entry extends Mutant, Partial<Omit<Verdict, 'verdict'>> {
  verdict: Verdict['verdict'] | 'waiting' | 'invalid' | 'equivalent' | 'gone'
  /** Why it is equivalent. */
  why?: string
  seconds?: number
}

/** All of a run. */
export interface State {
  /** What was judged. */
  readonly commit: string
  readonly seed: number
  /** How many mutants the rules exclude, by reason. */
  readonly leftOut: Readonly<Record<string, number>>
  readonly mutants: Entry[]
}

/**
 * Takes the mutants of each draw in their order until there are as many valid ones as it asks for; those refused on the way
 * are in the answer too.
 * @param refused the sources that the type check refuses while these mutants, at most one per file, stand in them
 */
export async function chooseValid(
  draws: readonly Draw[],
  refused: (mutants: readonly Mutant[]) => Promise<ReadonlySet<string>>,
): Promise<Entry[]> {
  const lists = draws.map(({ order, count }) => ({ count, order, next: 0, valid: 0 }))
  const entries: Entry[] = []
  for (;;) {
    // As many at once as stand in different files; what the check says of a file is then said of its mutant.
    const batch = new Map<string, { mutant: Mutant; list: (typeof lists)[number] }>()
    for (const list of lists) {
      const missing = Math.min(list.count - list.valid, list.order.length - list.next)
      for (const mutant of list.order.slice(list.next, list.next + missing)) {
        if (batch.has(mutant.file)) break
        batch.set(mutant.file, { mutant, list })
        list.next++
      }
    }
    if (batch.size === 0) return entries
    for (;;) {
      const standing = [...batch.values()].map(({ mutant }) => mutant)
      const files = standing.length === 0 ? new Set<string>() : await refused(standing)
      if (files.size === 0) break
      const guilty = standing.filter(({ file }) => files.has(file))
      // Where only files without a mutant are refused, no one knows by which: each is tried by itself.
      for (const mutant of guilty.length > 0 ? guilty : standing) {
        if (guilty.length === 0 && (await refused([mutant])).size === 0) continue
        entries.push({ ...mutant, verdict: 'invalid' })
        batch.delete(mutant.file)
      }
    }
    for (const { mutant, list } of batch.values()) {
      list.valid++
      entries.push({ ...mutant, verdict: 'waiting' })
    }
  }
}

/** A line per mutant that is one. */
export function tableOf(entries: readonly Entry[]): string {
  return entries
    .filter(({ verdict }) => verdict !== 'invalid')
    .map(({ file, line, kind, before, after, verdict, by, why, tried, of, seconds }) => {
      const change = `${oneLine(before)} -> ${oneLine(after) || '(nothing)'}`
      const test = by ? `${by.spec}: ${by.test || 'outside of the tests'}` : (why ?? '')
      const files = tried === undefined ? '' : `${tried} of ${of} files, ${seconds} s`
      const said = verdict === 'survived' ? 'SURVIVED' : verdict
      return `${[`${file}:${line}`, kind, change, said, files, test].filter(Boolean).join(' | ')}\n`
    })
    .join('')
}

function oneLine(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim()
  return line.length > 70 ? `${line.slice(0, 67)}...` : line
}

/** The rate, and what it leaves out. */
export function summaryOf({ commit, seed, leftOut, mutants }: State): string {
  const count = (...verdicts: Entry['verdict'][]): number =>
    mutants.filter(({ verdict }) => verdicts.includes(verdict)).length
  const found = count('found', 'timeout')
  const judged = found + count('survived')
  const rate = judged === 0 ? 'none' : `${((100 * found) / judged).toFixed(1)} %`
  const excluded = Object.entries(leftOut).map(([why, n]) => `${n} ${why}`)
  return [
    `commit ${commit.slice(0, 12)}, seed ${seed}: ${found} of ${judged} found (${rate})`,
    `${count('timeout')} by a hang; ${count('equivalent')} equivalent, ${count('invalid')} invalid, ${count('gone')} gone, ${count('waiting')} not judged`,
    ...(excluded.length > 0 ? [`excluded by rule: ${excluded.join(', ')}`] : []),
    '',
  ].join('\n')
}
